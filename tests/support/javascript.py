"""JavaScript clients for the end-to-end tests: fetched once by npm into a cache of their own.

The versions are pinned by tests/end_to_end/clients/package-lock.json. Without Node.js or
the network the tests that need them are skipped with one line, unless
CHAIN_REQUIRE_CLIENTS=1 (as in .ci/run): then they fail.
"""

import os
import shutil
import subprocess
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final, NoReturn

import pytest
from filelock import FileLock

REPOSITORY: Final = Path(__file__).resolve().parents[2]
CLIENTS: Final = REPOSITORY / "tests" / "end_to_end" / "clients"

_CACHE: Final = REPOSITORY / ".cache" / "npm"
_INSTALL_SECONDS_MAX: Final = 180
_SCRIPT_SECONDS_MAX: Final = 60


@cache
def node_modules() -> Path:
    """The folder of the installed packages; installs them at the first use."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        _unavailable("Node.js with npm is not installed")
    lock = (CLIENTS / "package-lock.json").read_bytes()
    folder = _CACHE / sha256(lock).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):  # test processes run side by side
        complete = folder / "complete"
        if not complete.exists():
            _install(folder)
            complete.touch()
    return folder / "node_modules"


def run_script(name: str, *arguments: str, stdin: str = "") -> str:
    """The standard output of clients/`name` with the packages at hand; fails with its stderr."""
    finished = subprocess.run(
        ["node", str(CLIENTS / name), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=_SCRIPT_SECONDS_MAX,
        env=os.environ | {"CLIENT_MODULES": str(node_modules())},
        check=False,
    )
    if finished.returncode:
        pytest.fail(f"{name} ended with {finished.returncode}:\n{finished.stderr[-4000:]}")
    return finished.stdout


def _install(folder: Path) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(CLIENTS / name, folder / name)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        finished = subprocess.run(
            [*command, f"--cache={_CACHE / 'downloads'}"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_INSTALL_SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        _unavailable(f"npm ci did not finish within {_INSTALL_SECONDS_MAX} s")
    if finished.returncode:
        lines = finished.stderr.strip().splitlines() or ["no message"]
        errors = [line for line in lines if "error" in line] or lines
        _unavailable(f"npm ci failed: {errors[0][:200]}")


def _unavailable(reason: str) -> NoReturn:
    message = f"JavaScript clients are unavailable: {reason}"
    if os.environ.get("CHAIN_REQUIRE_CLIENTS") == "1":
        pytest.fail(message)
    pytest.skip(message)
