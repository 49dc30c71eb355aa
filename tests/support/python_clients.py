"""Python clients whose dependencies are not ours: each in an environment of its own, made once.

Its packages are pinned by tests/end_to_end/clients/NAME-requirements.txt. Without the network the
tests that need it are skipped with one line, unless CHAIN_REQUIRE_CLIENTS=1 (as in .ci/run).
"""

import os
import subprocess
import sys
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final

import pytest
from filelock import FileLock

from tests.support.javascript import CLIENTS, REPOSITORY

_CACHE: Final = REPOSITORY / ".cache" / "python"
_INSTALL_SECONDS_MAX: Final = 400


def interpreter(name: str) -> str:
    """The path of the Python that has a client; makes its environment at the first use."""
    found = _made(name)
    if isinstance(found, Path):
        return str(found)
    message = f"{name} is unavailable: {found}"
    if os.environ.get("CHAIN_REQUIRE_CLIENTS") == "1":
        pytest.fail(message)
    pytest.skip(message)


@cache
def _made(name: str) -> Path | str:
    """The interpreter, or why there is none: one attempt for all tests of a process."""
    pins = CLIENTS / f"{name}-requirements.txt"
    digest = sha256(pins.read_bytes() + sys.version.encode()).hexdigest()[:16]
    folder = _CACHE / f"{name}-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    python = folder / "bin" / "python"
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "complete").exists():
            pip = [str(python), "-m", "pip", "--disable-pip-version-check"]
            steps = (
                [sys.executable, "-m", "venv", str(folder)],
                [*pip, "install", "--quiet", "--no-deps", "-r", str(pins)],
            )
            for step in steps:
                try:
                    done = subprocess.run(
                        step,
                        capture_output=True,
                        text=True,
                        timeout=_INSTALL_SECONDS_MAX,
                        check=False,
                    )
                except subprocess.TimeoutExpired:
                    return f"pip did not finish within {_INSTALL_SECONDS_MAX} s"
                if done.returncode:
                    lines = done.stderr.strip().splitlines() or ["no message"]
                    return f"pip failed: {lines[0][:200]}"
            (folder / "complete").touch()
    return python
