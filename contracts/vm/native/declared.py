"""The body of a kernel that Python's tools see and Python never runs."""

from typing import NoReturn


def compiled() -> NoReturn:
    """Stands where native code is: what calls this was not compiled."""
    raise NotImplementedError("kernels are compiled, not run")
