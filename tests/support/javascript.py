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
from typing import Final

import pytest
from filelock import FileLock

REPOSITORY: Final = Path(__file__).resolve().parents[2]
CLIENTS: Final = REPOSITORY / "tests" / "end_to_end" / "clients"

_CACHE: Final = REPOSITORY / ".cache" / "npm"
_INSTALL_SECONDS_MAX: Final = 180
_SCRIPT_SECONDS_MAX: Final = 60


def node_modules() -> Path:
    """The folder of the installed packages; installs them at the first use."""
    found = _installed()
    if isinstance(found, Path):
        return found
    message = f"JavaScript clients are unavailable: {found}"
    if os.environ.get("CHAIN_REQUIRE_CLIENTS") == "1":
        pytest.fail(message)
    pytest.skip(message)


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


@cache
def _installed() -> Path | str:
    """The packages' folder, or why there is none: one attempt for all tests of a process."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return "Node.js with npm is not installed"
    return install(CLIENTS, node)


def install(pins: Path, node: str) -> Path | str:
    """The folder of the packages that `pins` (a folder with a lock file) names, or why there is
    none; fetched at the first use, by the npm of this machine on a Node.js at the path `node`."""
    lock = (pins / "package-lock.json").read_bytes()
    folder = _CACHE / sha256(lock).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):  # test processes run side by side
        complete = folder / "complete"
        if not complete.exists():
            problem = _install(pins, folder, node)
            if problem is not None:
                return problem
            complete.touch()
    return folder / "node_modules"


def _install(pins: Path, folder: Path, node: str) -> str | None:
    """Fetch the pinned packages into `folder`; the reason when that fails."""
    for name in ("package.json", "package-lock.json"):
        shutil.copy(pins / name, folder / name)
    # Not `npm ci`: the lock lacks binaries for other platforms where a registry lacks them.
    command = ["npm", "install", "--no-save", "--ignore-scripts"]
    command += ["--no-audit", "--no-fund", "--loglevel=error"]
    limits = ["--fetch-retries=1", "--fetch-timeout=30000", f"--cache={_CACHE / 'downloads'}"]
    try:
        finished = subprocess.run(
            command + limits,
            cwd=folder,
            env=os.environ | {"PATH": f"{Path(node).parent}{os.pathsep}{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=_INSTALL_SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"npm install did not finish within {_INSTALL_SECONDS_MAX} s"
    if finished.returncode:
        lines = finished.stderr.strip().splitlines() or ["no message"]
        errors = [line for line in lines if "error" in line] or lines
        return f"npm install failed: {errors[0][:200]}"
    return None
