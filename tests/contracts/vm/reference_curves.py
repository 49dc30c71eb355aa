"""The curves of py_ecc, imported so that the process stays as it was.

The import raises the limit of recursion so far that deeply nested input in other
tests would overrun the C stack; here it goes back.
"""

import sys

_limit = sys.getrecursionlimit()

from py_ecc import optimized_bls12_381, optimized_bn128  # noqa: E402
from py_ecc.fields import optimized_bn128_FQ2  # noqa: E402

sys.setrecursionlimit(_limit)

__all__ = ["optimized_bls12_381", "optimized_bn128", "optimized_bn128_FQ2"]
