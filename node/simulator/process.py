"""A node's process in a simulation: it starts on a disk, crashes, and starts again."""

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from random import Random
from typing import Any, Final

from msgspec import Struct

from chain.errors import Fault
from chain.genesis import Genesis
from chain.ledger import Ledger
from chain.types import Address, Hash
from node.consensus.committed import Committed
from node.environment import Environment
from node.net.network import PeerId, Receiver
from node.node import Node
from node.settings import Settings
from node.simulator.byzantine import HostileLinks
from node.simulator.disk import Disk
from node.simulator.loop import VirtualExecutor
from node.simulator.network import Links

EPOCH_S: Final = 1_700_000_000.0  # the date on which every simulation begins
_CACHE_ENTRIES: Final = 4_096  # of a simulated ledger, so that a hundred fit into memory

_owner: ContextVar["Tasks | None"] = ContextVar("simulated process", default=None)


class Tasks:
    """The tasks that a process has started, so that they end with it."""

    def __init__(self) -> None:
        self._running: dict[int, asyncio.Task[Any]] = {}
        self._count = 0
        self.dead = False

    def own(self, task: "asyncio.Task[Any]") -> None:
        self._count += 1
        number = self._count
        self._running[number] = task
        task.add_done_callback(lambda _: self._running.pop(number, None))

    def kill(self) -> None:
        """They run no further; what they still do while they end reaches nobody."""
        self.dead = True
        for number in sorted(self._running):
            self._running[number].cancel()


def track_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """From now on every task belongs to the process that started it."""

    def make(
        loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any
    ) -> "asyncio.Task[Any]":
        task = asyncio.Task(coroutine, loop=loop, **options)
        owner = _owner.get()
        if owner is not None:
            owner.own(task)
        return task

    loop.set_task_factory(make)


class Machine(Struct, frozen=True):
    """What a process runs on, and what outlives it."""

    name: str
    id: PeerId
    settings: Settings
    genesis: Genesis
    key: bytes | None  # the validator's
    disk: Disk
    random: Random
    skew_s: float
    cost: Callable[[], float]  # seconds of a call in a thread
    connect: Callable[[Receiver], Links | HostileLinks]
    opened: Callable[[Ledger], None]  # before anything else happens
    committed: Callable[["Process", Committed], None]


class Process:
    """One life of a node, from start to crash."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.node: Node | None = None
        self.starting = True
        self._loop = asyncio.get_running_loop()
        self._tasks = Tasks()
        self._executors: list[VirtualExecutor] = []

    @property
    def name(self) -> str:
        return self.machine.name

    @property
    def serving(self) -> bool:
        """Whether clients get answers here."""
        node = self.node
        return node is not None and not self.starting and not node.failed.done()

    @property
    def failure(self) -> BaseException | None:
        """Why the node stopped by itself."""
        node = self.node
        return node.failed.exception() if node is not None and node.failed.done() else None

    async def start(self) -> None:
        """Open the disk and start the node, in tasks of its own."""
        token = _owner.set(self._tasks)
        try:
            task = self._loop.create_task(self._start(), name=f"start {self.name}")
        finally:
            _owner.reset(token)
        await asyncio.gather(task, return_exceptions=True)
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error

    async def _start(self) -> None:
        machine = self.machine
        ledger = Ledger.open(machine.disk.store(), machine.genesis, cache_entries=_CACHE_ENTRIES)
        machine.opened(ledger)
        self.node = Node(
            machine.settings,
            ledger,
            accounts={},
            validator_key=machine.key,
            votes=machine.disk.file("votes.log"),
            network=machine.connect,
            environment=self._environment(),
            on_commit=self._committed,
        )
        await self.node.start()
        self.starting = False

    def _environment(self) -> Environment:
        machine, loop = self.machine, self._loop
        return Environment(
            clock=lambda: EPOCH_S + loop.time() + machine.skew_s,
            monotonic=loop.time,
            stopwatch=loop.time,
            random=machine.random,
            threads=self._threads,
        )

    def _threads(self, workers: int, name: str) -> VirtualExecutor:
        executor = VirtualExecutor(self._loop, workers, self.machine.cost)
        self._executors.append(executor)
        return executor

    def _committed(self, committed: Committed) -> None:
        if not self._tasks.dead:
            self.machine.committed(self, committed)

    def kill(self) -> None:
        """The process is gone between two events."""
        self._tasks.kill()
        for executor in self._executors:
            executor.kill()
        self.machine.disk.crash()

    async def submit(self, raw: bytes) -> Hash:
        """A client's transaction; Fault when the process dies meanwhile."""
        if self.node is None or not self.serving:
            raise Fault("not serving")
        task = self._loop.create_task(self.node.submit(raw))
        self._tasks.own(task)
        await asyncio.wait([task])
        if task.cancelled():
            raise Fault("the process is gone")
        return task.result()

    def next_nonce(self, account: Address) -> int:
        """Of the committed state."""
        assert self.node is not None
        found = self.node.ledger.view().account(account)
        return 0 if found is None else found.nonce
