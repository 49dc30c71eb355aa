"""Hardhat for the end-to-end tests: a set of packages of its own, for it needs a newer Node.js than
the other clients. Where the machine's is too old, that comes from npm with them.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pytest
from filelock import FileLock

from chain.crypto.keccak import keccak
from tests.support.javascript import CLIENTS, REPOSITORY, install, node_modules

_NODE_VERSION_MIN: Final = (22, 13)
_CACHE: Final = REPOSITORY / ".cache" / "hardhat"
_FOLDER: Final = CLIENTS / "hardhat"
_BUILD_SECONDS_MAX: Final = 180
_CHAIN_ID: Final = 31337


def order(folder: Path) -> Mapping[str, Any]:
    """What clients/hardhat.py needs beside the usual: Node.js and a compiled project."""
    node = newer_node()
    modules = install(_FOLDER, node)
    if not isinstance(modules, Path):
        _unavailable(modules)
        raise AssertionError
    project = folder / "hardhat"
    shutil.copytree(_built(node, modules), project, symlinks=True)
    return {"node": node, "project": str(project)}


@cache
def newer_node() -> str:
    """The path of a Node.js that Hardhat takes; skips the test when there is none."""
    here = shutil.which("node")
    if here is not None:
        text = subprocess.run([here, "--version"], capture_output=True, text=True, check=True)
        major, minor = text.stdout.strip().lstrip("v").split(".")[:2]
        if (int(major), int(minor)) >= _NODE_VERSION_MIN:
            return here
    found = sorted(node_modules().glob("node-*/bin/node"))
    if not found:
        _unavailable("Hardhat needs Node.js 22.13 or later")
    return str(found[0])


def _unavailable(reason: str) -> None:
    message = f"Hardhat is unavailable: {reason}"
    if os.environ.get("CHAIN_REQUIRE_CLIENTS") == "1":
        pytest.fail(message)
    pytest.skip(message)


def _built(node: str, modules: Path) -> Path:
    """A project in which everything is compiled."""
    sources = {
        "package.json": _FOLDER / "package.json",
        "hardhat.config.js": _FOLDER / "hardhat.config.js",
        "contracts/Voucher.sol": CLIENTS.parent / "contracts" / "Voucher.sol",
        "ignition/modules/Shop.js": _FOLDER / "Shop.js",
        "scripts/scenarios.js": _FOLDER / "scenarios.js",
    }
    digest = sha256(b"".join(part.read_bytes() for part in sources.values()))
    digest.update(str(modules).encode())
    folder = _CACHE / digest.hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "complete").exists():
            for name, source in sources.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, folder / name)
            (folder / "node_modules").unlink(missing_ok=True)
            (folder / "node_modules").symlink_to(modules)
            key = "0x" + keccak(b"compiling needs a key, not an account").hex()
            ledger = f'{{"rpc": "http://127.0.0.1:1", "key": "{key}", "chainId": {_CHAIN_ID}}}'
            done = subprocess.run(
                [node, "node_modules/hardhat/dist/src/cli.js", "build"],
                cwd=folder,
                env=os.environ | {"LEDGER": ledger, "CI": "1"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_BUILD_SECONDS_MAX,
                check=False,
            )
            assert done.returncode == 0, f"hardhat build failed:\n{done.stdout}\n{done.stderr}"
            (folder / "complete").touch()
    return folder
