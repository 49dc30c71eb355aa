"""Processes: none outlives the one that started it."""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from chain.errors import Reason, Rejected
from node.commands.manifest import NodeEntry
from node.up.children import Child, Guard, State
from tests.support.daemon import wait_until

PARENT = """\
import subprocess, sys, time
from node.up.children import Guard
with Guard() as guard:
    child = subprocess.Popen(
        [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"],
        process_group=guard.group,
        stdout=subprocess.PIPE,
    )
    child.stdout.readline()
    print(child.pid, flush=True)
    sys.stdin.read()
"""


def is_gone(pid: int) -> bool:
    """Whether a process is no more, or waits for its parent to notice."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] == "Z"


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, None])
def test_no_child_outlives_its_parent(how: signal.Signals | None, paused: bool) -> None:
    """However the parent ends (None: by itself), its child is killed; a paused one as well."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert parent.stdin is not None and parent.stdout is not None
    pid = int(parent.stdout.readline())
    if paused:
        os.kill(pid, signal.SIGSTOP)
    try:
        if how is None:
            parent.stdin.close()
        else:
            parent.send_signal(how)
        parent.wait(30)
        wait_until(lambda: is_gone(pid), 30)
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        parent.stdout.close()


def entry(folder: Path) -> NodeEntry:
    return NodeEntry("node0", str(folder), "http://127.0.0.1:1", "00@127.0.0.1:2", None, "00")


def test_a_node_that_ends_by_itself_is_seen(tmp_path: Path) -> None:
    """Given a folder without a ledger, its node says why it ends, and with which status."""
    lines: list[str] = []

    async def scenario() -> Child:
        with Guard() as guard:
            child = Child(entry(tmp_path / "none"), guard, lines.append)
            await child.start()
            await child.wait()
        return child

    child = asyncio.run(scenario())
    assert (child.state, child.exit_status, child.pid) == (State.ENDED, 5, None)
    assert any("bad_genesis" in line for line in lines)
    assert lines[-1] == "ended by itself with exit status 5"


def test_orders_to_a_node_that_does_not_run_are_refused(tmp_path: Path) -> None:
    with Guard() as guard:
        child = Child(entry(tmp_path), guard, lambda line: None)
        for order in (child.kill, child.pause, child.resume):
            with pytest.raises(Rejected) as caught:
                order()
            assert caught.value.reason is Reason.BAD_SETTING
        asyncio.run(child.stop())
        assert child.state is State.STOPPED
