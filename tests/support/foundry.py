"""Foundry for the end-to-end tests: its binaries come with the JavaScript clients, from npm, and
its compiler is theirs too. The project is compiled once into a cache, and copied for each use.
"""

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pytest
from filelock import FileLock

from tests.support.javascript import CLIENTS, REPOSITORY, node_modules

_CACHE: Final = REPOSITORY / ".cache" / "foundry"
_CONTRACTS: Final = CLIENTS.parent / "contracts"
_BUILD_SECONDS_MAX: Final = 180

_SETTINGS: Final = """\
[profile.default]
src = "src"
out = "out"
libs = []
remappings = ["@openzeppelin/={modules}/@openzeppelin/"]
allow_paths = ["{modules}"]
solc = "{compiler}"
optimizer = true
offline = true
"""


def binary(name: str) -> str:
    """The path of forge or cast."""
    found = sorted(node_modules().glob(f"@foundry-rs/{name}-*/bin/{name}"))
    if not found:
        message = f"Foundry's {name} has no binary for this machine on npm"
        if os.environ.get("CHAIN_REQUIRE_CLIENTS") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return str(found[0])


def order(folder: Path) -> Mapping[str, Any]:
    """What clients/foundry.py needs beside the usual: the binaries and a project, in `folder`."""
    forge, cast = binary("forge"), binary("cast")
    project = folder / "foundry"
    shutil.copytree(_built(forge), project)
    return {"forge": forge, "cast": cast, "project": str(project)}


def _built(forge: str) -> Path:
    """A compiled project."""
    modules = node_modules()
    sources = {
        "src/Voucher.sol": _CONTRACTS / "Voucher.sol",
        "script/Deploy.s.sol": CLIENTS / "foundry" / "Deploy.s.sol",
        "test/Fork.t.sol": CLIENTS / "foundry" / "Fork.t.sol",
    }
    parts = [Path(__file__), CLIENTS / "solc.cjs", *sources.values()]
    digest = sha256(b"".join(part.read_bytes() for part in parts) + str(modules).encode())
    folder = _CACHE / digest.hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "complete").exists():
            for name, source in sources.items():
                (folder / name).parent.mkdir(exist_ok=True)
                shutil.copy(source, folder / name)
            compiler = folder / "solc"
            command = shlex.join(["node", str(CLIENTS / "solc.cjs"), str(modules)])
            compiler.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
            compiler.chmod(0o755)
            settings = _SETTINGS.format(modules=modules, compiler=compiler)
            (folder / "foundry.toml").write_text(settings)
            done = subprocess.run(
                [forge, "build", "--root", str(folder)],
                capture_output=True,
                text=True,
                timeout=_BUILD_SECONDS_MAX,
                check=False,
            )
            assert done.returncode == 0, f"forge build failed:\n{done.stdout}\n{done.stderr}"
            (folder / "complete").touch()
    return folder
