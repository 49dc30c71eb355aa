"""A real anvil for the end-to-end tests, from npm, in a set of packages of its own."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from tests.support.daemon import Rpc, wait_until
from tests.support.javascript import CLIENTS, install

_FOLDER: Final = CLIENTS / "anvil"
_STOP_SECONDS: Final = 30.0
_LISTENING: Final = "Listening on "


@cache
def anvil_binary() -> Path:
    """The program; skips the test where there is none for this machine."""
    node = shutil.which("node")
    found = "Node.js is not installed" if node is None else install(_FOLDER, node)
    if isinstance(found, Path):
        programs = sorted(found.glob("@foundry-rs/anvil-*/bin/anvil"))
        if programs:
            return programs[0]
        found = "anvil has no binary for this machine on npm"
    if os.environ.get("CHAIN_REQUIRE_CLIENTS") == "1":
        pytest.fail(f"anvil is unavailable: {found}")
    pytest.skip(f"anvil is unavailable: {found}")


@contextmanager
def anvil(folder: Path, *arguments: str) -> Iterator[Rpc]:
    """A running anvil on a free port, which keeps what it prints in `folder`."""
    printed = folder / "anvil.txt"
    with printed.open("w") as output:
        process = subprocess.Popen(
            [str(anvil_binary()), "--port", "0", *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
        )
    try:

        def where() -> str | None:
            assert process.poll() is None, printed.read_text()
            _, _, rest = printed.read_text().partition(_LISTENING)
            return rest.split()[0] if "\n" in rest else None

        yield Rpc("http://" + wait_until(where))
    finally:
        process.terminate()
        process.wait(_STOP_SECONDS)
