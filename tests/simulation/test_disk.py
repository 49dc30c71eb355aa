"""The simulated disk: what was synced stays."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.errors import Fault
from node.simulator.disk import Disk, DiskFaults


def _values(disk: Disk) -> dict[bytes, bytes]:
    return dict(disk.store().scan("t", b""))


@given(st.integers(0, 1000), st.lists(st.booleans(), max_size=12))
def test_a_crash_takes_only_the_newest_unsynced_writes(seed: int, syncs: list[bool]) -> None:
    """The state after a crash is one that the disk was in, not older than the last sync."""
    disk = Disk(Random(seed))
    store = disk.store()
    states = [_values(disk)]
    synced = 0
    for number, sync in enumerate(syncs):
        store.write(
            [("t", bytes((number % 3,)), bytes((number,))), ("t", b"gone", None)], sync=sync
        )
        states.append(_values(disk))
        if sync:
            synced = number + 1
    disk.crash()
    assert _values(disk) in states[synced:]


def test_who_opened_the_disk_before_a_crash_can_write_no_more() -> None:
    """A process that is gone leaves no late writes."""
    disk = Disk(Random(1))
    store = disk.store()
    disk.crash()
    with pytest.raises(Fault):
        store.write([("t", b"k", b"v")], sync=True)


@given(st.integers(0, 1000), st.binary(max_size=20), st.binary(max_size=20))
def test_a_crash_may_tear_an_unsynced_append(seed: int, safe: bytes, torn: bytes) -> None:
    """Synced bytes stay; of the rest a piece may be there."""
    disk = Disk(Random(seed))
    file = disk.file("votes.log")
    assert file.read() is None
    file.replace(b"head")
    file.append(safe)
    file.write(torn)
    disk.crash()
    data = disk.file("votes.log").read()
    assert data is not None
    assert data.startswith(b"head" + safe)
    assert (b"head" + safe + torn).startswith(data)


def test_a_failing_disk_says_so() -> None:
    """EIO and ENOSPC reach the ledger as faults and the vote log as errors of the system."""
    disk = Disk(Random(1), DiskFaults(enospc=1.0))
    store = disk.store()
    with pytest.raises(Fault, match="ENOSPC"):
        store.write([("t", b"k", b"v")], sync=True)
    assert _values(disk) == {}
    with pytest.raises(OSError):
        disk.file("votes.log").replace(b"data")
    disk.faults = DiskFaults()
    with pytest.raises(Fault):
        store.write([("t", b"k", b"v")], sync=True)


def test_a_wiped_disk_is_empty() -> None:
    """Nothing of tables and files is left."""
    disk = Disk(Random(1))
    disk.store().write([("t", b"k", b"v")], sync=True)
    disk.file("votes.log").replace(b"data")
    disk.wipe()
    assert _values(disk) == {}
    assert disk.file("votes.log").read() is None
