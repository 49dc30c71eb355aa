"""The conformance samples: official vectors that live beside the repository, not in it.

CHAIN_CONFORMANCE names their folder (default ../shared/conformance). Each suite is one
archive, unpacked once into a cache; tests that need an absent one are skipped.
"""

import os
import tarfile
from functools import cache
from pathlib import Path
from typing import Final

import pytest
from filelock import FileLock

REPOSITORY: Final = Path(__file__).resolve().parents[2]

_CACHE: Final = REPOSITORY / ".cache" / "conformance"


@cache
def samples(suite: str) -> Path:
    """The folder of a suite's files, unpacked. Skips the test when the suite is absent."""
    folder = os.environ.get("CHAIN_CONFORMANCE") or str(REPOSITORY / "../shared/conformance")
    archive = Path(folder) / suite / f"{suite}.tar.xz"
    if not archive.is_file():
        pytest.skip(f"no conformance samples of {suite} (CHAIN_CONFORMANCE={folder})")
    unpacked = _CACHE / suite
    stamp = f"{archive.stat().st_size} {archive.stat().st_mtime_ns}"
    _CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(_CACHE / f"{suite}.lock"):  # test processes run side by side
        complete = unpacked / ".complete"
        if not complete.is_file() or complete.read_text() != stamp:
            with tarfile.open(archive) as content:
                content.extractall(unpacked, filter="data")
            complete.write_text(stamp)
    return unpacked
