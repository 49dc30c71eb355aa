"""The processes of a network.

They share a process group whose first member is a guard: it reads a pipe that only we hold
open. However we end, the pipe closes, and the guard kills the group. Nodes need not know of
it, and a paused one dies as well.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import StrEnum
from types import TracebackType
from typing import Final, Self

from chain.errors import Fault, Reason, Rejected
from node.commands.manifest import NodeEntry

STOP_SECONDS: Final = 30.0  # after SIGTERM, before SIGKILL
_LINE_BYTES_MAX: Final = 64 * 1024  # longer lines are cut into pieces
_GUARD: Final = """\
import os, signal
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
while os.read(0, 1):
    pass
os.killpg(0, signal.SIGKILL)
"""


class Guard:
    """The process group that nodes run in; `with` kills whatever is left in it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _GUARD], stdin=subprocess.PIPE, process_group=0
        )

    @property
    def group(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.group, signal.SIGKILL)
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


class State(StrEnum):
    STARTING = "starting"  # the process runs; its RPC has not answered yet
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    STOPPED = "stopped"  # as it was told
    KILLED = "killed"  # as it was told, too
    ENDED = "ended"  # by itself


class Child:
    """One node of the network and its process, while there is one."""

    def __init__(
        self,
        entry: NodeEntry,
        guard: Guard,
        on_line: Callable[[str], None],
        flags: Sequence[str] = (),
    ) -> None:
        """`on_line` hears each line that the node prints; `flags` follow its settings."""
        self.entry = entry
        self.state = State.STOPPED
        self.exit_status: int | None = None  # of the last process; below 0: a signal's number
        self._guard = guard
        self._on_line = on_line
        self._flags = tuple(flags)
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process' number; None when there is none."""
        return self._process.pid if self._process is not None else None

    async def start(self) -> None:
        """Start the node; Rejected(BAD_SETTING) when it runs already, Fault when it can't."""
        if self._process is not None:
            raise Rejected(Reason.BAD_SETTING, f"{self.entry.name} is {self.state}")
        if not self._guard.alive:
            raise Fault("the guard of the nodes' processes is gone")
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "node", "run", "--datadir", self.entry.datadir),
                *self._flags,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                process_group=self._guard.group,
            )
        except OSError as error:
            raise Fault(f"{self.entry.name} can't be started: {error}") from error
        self._process = process
        self.state = State.STARTING
        self._reading = asyncio.create_task(self._follow(process))

    def answered(self) -> None:
        """Its RPC answered."""
        if self.state is State.STARTING:
            self.state = State.RUNNING

    def kill(self) -> None:
        """kill -9."""
        self._signal(signal.SIGKILL)
        self.state = State.KILLED

    def pause(self) -> None:
        """SIGSTOP: it keeps its connections and says nothing."""
        self._signal(signal.SIGSTOP)
        self.state = State.PAUSED

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)
        if self.state is State.PAUSED:
            self.state = State.RUNNING

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL when it does not end in time. Nothing if there is no process."""
        if self._process is None or self._reading is None:
            return
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)  # a paused process takes no other signal before
        if self.state is not State.KILLED:
            self.state = State.STOPPING
        try:
            await asyncio.wait_for(asyncio.shield(self._reading), STOP_SECONDS)
        except TimeoutError:
            self._on_line(f"did not stop within {STOP_SECONDS:g} s: killed")
            self.kill()
            await self._reading

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def wait(self) -> None:
        """Until there is no process."""
        if self._reading is not None:
            await asyncio.shield(self._reading)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            raise Rejected(Reason.BAD_SETTING, f"{self.entry.name} does not run ({self.state})")
        with suppress(ProcessLookupError):  # it ended at this moment
            self._process.send_signal(number)

    async def _follow(self, process: asyncio.subprocess.Process) -> None:
        """Hand on what the process prints, until it ends."""
        assert process.stdout is not None
        rest = b""
        while data := await process.stdout.read(_LINE_BYTES_MAX):
            *lines, rest = (rest + data).split(b"\n")
            if len(rest) >= _LINE_BYTES_MAX:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self._on_line(line.decode("utf-8", "replace"))
        if rest:
            self._on_line(rest.decode("utf-8", "replace"))
        self.exit_status = await process.wait()
        self._process = None
        if self.state is State.STOPPING:
            self.state = State.STOPPED
        elif self.state is not State.KILLED:
            self.state = State.ENDED
            self._on_line(f"ended by itself with exit status {self.exit_status}")
