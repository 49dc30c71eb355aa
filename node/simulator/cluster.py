"""A network of real nodes on virtual time: made from a plan, run to its end, judged."""

import asyncio
import gc
from collections.abc import Sequence
from random import Random
from typing import Final

from msgspec import Struct

from chain.crypto.keccak import keccak
from chain.crypto.secp256k1 import address_of
from chain.errors import Fault, Rejected
from chain.genesis import Genesis, GenesisAccount, new_genesis
from chain.ledger import Ledger
from chain.ledger_rules import GenesisValidator, LedgerRules
from chain.staking import STAKING_ADDRESS
from chain.types import Height
from chain.validators import Domain, Validator, ValidatorSet, encode_record, validator_set
from contracts.system.genesis import validators_alloc
from contracts.vm import Interpreter
from node.consensus.committed import Committed
from node.net.network import PeerId, Receiver
from node.settings import ConsensusSettings, Settings, VmSettings
from node.simulator.byzantine import MISDEEDS, HostileLinks, Liar
from node.simulator.disk import SOUND, Disk
from node.simulator.faults import Faults, Misfortune
from node.simulator.invariants import Invariants
from node.simulator.loop import Stuck, VirtualLoop
from node.simulator.network import Identity, Internet, Links
from node.simulator.process import EPOCH_S, Machine, Process, track_tasks
from node.simulator.trace import Trace
from node.simulator.weather import Quality, Weather, cloud, flat
from node.simulator.workload import Workload

CHAIN_ID: Final = 77
_CLIENTS: Final = 8
_BALANCE: Final = 10**24
_VALIDATOR_BALANCE: Final = 10**21
_POWER: Final = 10
_CHAOS: Final = 0.6  # the part of a run in which faults happen
_PROGRESS_S: Final = 10.0  # after healing, for every honest node to have new blocks
_PROGRESS_AMONG_LIARS_S: Final = 30.0  # each view that one of them leads may cost a timeout
_PROGRESS_HEIGHTS: Final = 2
_RESTART_S: Final = 0.5  # after a node failed with its disk
_WORK_S: Final = (0.0001, 0.0015)  # of a call in a thread
_FINALITIES_MAX: Final = 200_000
# A hundred nodes are millions of objects: looking through them often takes half of the time.
_GC_THRESHOLDS: Final = (200_000, 50, 100)


class Plan(Struct, frozen=True, kw_only=True):
    """Everything that a run depends on."""

    seed: int
    validators: int = 4
    byzantine: int = 0
    misdeeds: frozenset[str] = frozenset(MISDEEDS)
    seconds: float = 30.0
    faults: Faults = Faults()
    distance: str = "lan"  # lan: half a millisecond; wan: 30 ms; cloud: ten regions
    rate: float = 10.0  # transfers per second
    interval_ms: int = 200
    empty_blocks: bool = True
    epoch_length: int = 0
    delta_ms: int | None = None  # None: what fits the distance


class Outcome(Struct, frozen=True, kw_only=True):
    """What came of it."""

    digest: str
    events: int
    violations: tuple[str, ...]
    heights: tuple[int, ...]  # of the honest nodes
    receipts: int
    latencies: tuple[float, ...]  # seconds from submission to receipt, sorted
    finalities: tuple[float, ...]  # seconds from a block's time to its finality, sorted
    messages: int
    bytes: int
    seconds: float  # of virtual time
    tail: tuple[str, ...]  # the last lines of the trace


def run(plan: Plan) -> Outcome:
    """Run a plan to its end. The same plan gives the same outcome, always."""
    thresholds = gc.get_threshold()
    gc.set_threshold(*_GC_THRESHOLDS)
    try:
        loop = VirtualLoop()
        cluster = Cluster(plan, loop)
        try:
            loop.run(cluster.live())
        except Stuck as stuck:
            cluster.invariants.broken(str(stuck))
        return cluster.outcome()
    finally:
        gc.set_threshold(*thresholds)


class Cluster:
    """The nodes of one run with all that surrounds them."""

    def __init__(self, plan: Plan, loop: VirtualLoop) -> None:
        self.plan = plan
        self.trace = Trace()
        self._loop = loop
        track_tasks(loop)
        self._random = Random(f"{plan.seed}/cluster")
        keys = [_key("validator", number) for number in range(plan.validators)]
        clients = [_key("client", number) for number in range(_CLIENTS)]
        self.genesis = _genesis(plan, keys, clients)
        self._ids = [PeerId(address_of(_key("node", n))) for n in range(plan.validators)]
        self._names = {peer: f"n{number}" for number, peer in enumerate(self._ids)}
        # The last ones lie: numbers of honest nodes are the same with and without liars.
        self._honest = range(plan.validators - plan.byzantine)
        self.invariants = Invariants(
            self.genesis, {self._ids[n]: address_of(keys[n]) for n in self._honest}
        )
        jitter = {"lan": 0.0005, "wan": 0.003, "cloud": 0.004}[plan.distance]
        distance = cloud if plan.distance == "cloud" else flat(_DISTANCES[plan.distance])
        self._calm = Quality(jitter_s=jitter)
        self.weather = Weather(
            Random(f"{plan.seed}/weather"), distance, plan.faults.quality(self._random, jitter)
        )
        for peer in self._ids:
            self.weather.number(peer)
        self.internet = Internet(
            loop, self.weather, self.trace, self._names.__getitem__, self.invariants
        )
        self._machines = [self._machine(n, key) for n, key in enumerate(keys)]
        self.processes: list[Process | None] = [None] * plan.validators
        self._starts: set[asyncio.Task[None]] = set()
        self._finalities: list[float] = []
        self.workload = Workload(
            clients,
            CHAIN_ID,
            plan.rate,
            self._entrances,
            self.invariants,
            Random(f"{plan.seed}/workload"),
        )

    def _machine(self, number: int, key: bytes) -> Machine:
        plan = self.plan
        random = Random(f"{plan.seed}/node/{number}")
        work = Random(f"{plan.seed}/work/{number}")
        honest = number in self._honest
        delta = plan.delta_ms if plan.delta_ms is not None else _DELTAS_MS[plan.distance]
        disk = Disk(Random(f"{plan.seed}/disk/{number}"))
        # A validator's vote log is made with its key, before the node first starts and its
        # disk begins to fail.
        disk.file("votes.log").replace(b"")
        if honest:
            disk.faults = plan.faults.disk()
        return Machine(
            name=self._names[self._ids[number]],
            id=self._ids[number],
            settings=Settings(
                consensus=ConsensusSettings(delta_ms=delta), vm=VmSettings(tier="python")
            ),
            genesis=self.genesis,
            key=key,
            disk=disk,
            random=random,
            skew_s=plan.faults.skew(self._random),
            cost=lambda: work.uniform(*_WORK_S),
            connect=lambda receiver: self._connect(number, receiver),
            opened=lambda ledger: self._opened(number, ledger),
            committed=self._committed,
        )

    def _connect(self, number: int, receiver: Receiver) -> Links | HostileLinks:
        machine = self._machines[number]
        assert machine.key is not None
        links = self.internet.links(Identity(machine.id, address_of(machine.key)), receiver)
        if number in self._honest:
            return links
        liar = Liar(
            machine.key,
            self.domain,
            self.validators,
            self.plan.misdeeds,
            Random(f"{self.plan.seed}/liar/{number}"),
        )
        return HostileLinks(links, liar)

    # -- the run -----------------------------------------------------------------------------------

    async def live(self) -> None:
        """Chaos, healing, progress, and a last look at what was promised."""
        loop, plan = self._loop, self.plan
        for number in range(plan.validators):
            self.restart(number)
        work = loop.create_task(self.workload.run())
        misfortune = loop.create_task(
            Misfortune(plan.faults, self, Random(f"{plan.seed}/faults")).run()
        )
        await asyncio.sleep(plan.seconds * _CHAOS)
        misfortune.cancel()
        self._heal()
        await self._progress()
        await asyncio.sleep(max(0.0, plan.seconds - loop.time()))
        work.cancel()
        for task in (work, misfortune):
            if task.done() and not task.cancelled() and task.exception() is not None:
                self.invariants.broken(f"the simulator failed: {task.exception()!r}")
        self._look_up_receipts()

    def _heal(self) -> None:
        self.trace.add(self._loop.time(), "-", "healed")
        self.weather.quality = self._calm
        self.weather.slowness.clear()
        self.internet.heal()
        for machine in self._machines:
            machine.disk.faults = SOUND
        for number in range(self.plan.validators):
            self.restart(number)

    async def _progress(self) -> None:
        """Within a bounded time after healing every honest node has new blocks."""
        bound = _PROGRESS_AMONG_LIARS_S if self.plan.byzantine else _PROGRESS_S
        end = self._loop.time() + bound
        goal = max(self._heights(), default=0) + _PROGRESS_HEIGHTS
        while min(self._heights(), default=goal) < goal:
            if self._loop.time() > end:
                heights = ", ".join(map(str, self._heights()))
                self.invariants.broken(
                    f"no progress to height {goal} within {bound:.0f} s: {heights}"
                )
                return
            await asyncio.sleep(0.05)

    def _heights(self) -> list[int]:
        return [self._height(number) for number in self._honest]

    def _height(self, number: int) -> int:
        process = self.processes[number]
        return process.node.ledger.height if process is not None and process.node is not None else 0

    def _look_up_receipts(self) -> None:
        """A receipt that was served is at its place in every honest node that is as far."""
        for number in self._honest:
            process = self.processes[number]
            if process is None or process.node is None:
                continue
            ledger = process.node.ledger
            for transaction, location in self.invariants.acknowledged.items():
                if location.height > ledger.height:
                    continue
                found = ledger.locate(transaction)
                if (
                    found is None
                    or found[0] != location.height
                    or ledger.hash_at(Height(location.height)) != location.block_hash
                ):
                    self.invariants.broken(f"a served receipt is lost at {process.name}")

    def _opened(self, number: int, ledger: Ledger) -> None:
        if number in self._honest:
            machine = self._machines[number]
            self.invariants.opened(machine.id, machine.name, ledger)

    def _committed(self, process: Process, committed: Committed) -> None:
        now, machine = self._loop.time(), process.machine
        executed = committed.executed
        self.trace.add(
            now, machine.name, f"final {executed.block.header.number} {executed.hash.hex()[:12]}"
        )
        if machine.id in self._ids[: len(self._honest)]:
            record = encode_record(committed.record)
            self.invariants.committed(machine.id, machine.name, executed, record)
            self.workload.committed(machine.name, executed, now)
            if len(self._finalities) < _FINALITIES_MAX:
                built = committed.record.timestamp_ms / 1000 - EPOCH_S
                self._finalities.append(now - built)

    def _entrances(self) -> Sequence[Process]:
        found = [self.processes[number] for number in self._honest]
        return [process for process in found if process is not None]

    # -- what can happen to nodes (node.simulator.faults.Victims) ----------------------------------

    @property
    def size(self) -> int:
        return len(self._honest)

    def crash(self, number: int) -> None:
        """The process is gone, in the middle of whatever it did."""
        process = self.processes[number]
        if process is not None:
            self.trace.add(self._loop.time(), process.name, "crash")
            self.processes[number] = None
            process.kill()
            self.internet.leave(process.machine.id)

    def restart(self, number: int) -> None:
        """Start a node that is not running."""
        if self.processes[number] is None:
            process = self.processes[number] = Process(self._machines[number])
            self.trace.add(self._loop.time(), process.name, "start")
            self._keep(self._loop.create_task(self._start(number, process)))

    def wipe(self, number: int) -> None:
        machine = self._machines[number]
        machine.disk.wipe()
        self.invariants.wiped(machine.id)

    def split(self, groups: Sequence[Sequence[int]]) -> None:
        self._log_weather(f"split {groups}")
        parts = [[self._ids[number] for number in group] for group in groups]
        parts[0] += self._ids[len(self._honest) :]  # liars stand with one side
        self.weather.split(parts)

    def cut(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        self._log_weather(f"cut {sources} {targets}")
        self.weather.cut(
            [self._ids[number] for number in sources], [self._ids[number] for number in targets]
        )

    def heal_network(self) -> None:
        self._log_weather("ways open")
        self.internet.heal()

    def reset(self, first: int, second: int) -> None:
        self._log_weather(f"reset {first} {second}")
        self.internet.reset(self._ids[first], self._ids[second])

    def slow(self, number: int, seconds: float) -> None:
        self.weather.slowness[self._ids[number]] = seconds

    def _log_weather(self, what: str) -> None:
        self.trace.add(self._loop.time(), "-", what)

    async def _start(self, number: int, process: Process) -> None:
        """Bring a process up and watch over it until it ends."""
        machine, disk = process.machine, process.machine.disk
        failures = disk.failures
        try:
            await process.start()
            node = process.node
            if node is None or self.processes[number] is not process:
                return  # crashed while it started
            await asyncio.shield(node.failed)
        except (Fault, Rejected) as error:
            if self.processes[number] is not process:
                return
            self.trace.add(self._loop.time(), machine.name, f"fails: {error}")
            if disk.failures == failures and number in self._honest:
                self.invariants.broken(f"{machine.name} stopped by itself: {error}")
            self.crash(number)
            self._loop.call_later(_RESTART_S, self.restart, number)

    def _keep(self, task: "asyncio.Task[None]") -> None:
        self._starts.add(task)
        task.add_done_callback(self._starts.discard)

    # -- the end -----------------------------------------------------------------------------------

    @property
    def validators(self) -> ValidatorSet:
        """The genesis' set."""
        named = self.genesis.config.ledger.validators
        return validator_set([Validator(item.address, item.power) for item in named])

    @property
    def domain(self) -> Domain:
        """What signatures on this ledger are for."""
        for process in self.processes:
            if process is not None and process.node is not None:
                return Domain(CHAIN_ID, process.node.ledger.genesis_hash)
        raise Fault("no node has opened its ledger")

    def outcome(self) -> Outcome:
        return Outcome(
            digest=self.trace.digest,
            events=self.trace.events,
            violations=tuple(self.invariants.violations),
            heights=tuple(self._heights()),
            receipts=self.workload.receipts,
            latencies=tuple(sorted(self.workload.latencies)),
            finalities=tuple(sorted(self._finalities)),
            messages=self.internet.messages,
            bytes=self.internet.bytes,
            seconds=self._loop.time(),
            tail=tuple(self.trace.tail(200)),
        )


_DISTANCES: Final = {"lan": 0.0005, "wan": 0.03}
_DELTAS_MS: Final = {"lan": 100, "wan": 300, "cloud": 500}


def _key(kind: str, number: int) -> bytes:
    """Insecure on purpose: anybody can make the same."""
    return bytes(keccak(f"simulated {kind} {number}".encode()))


def _genesis(plan: Plan, keys: Sequence[bytes], clients: Sequence[bytes]) -> Genesis:
    addresses = [address_of(key) for key in keys]
    rules = LedgerRules(
        validators=tuple(GenesisValidator(address, _POWER) for address in addresses),
        block_interval_ms=plan.interval_ms,
        empty_blocks=plan.empty_blocks,
        heartbeat_ms=2_000,
        epoch_length=plan.epoch_length,
    )
    alloc = {STAKING_ADDRESS: validators_alloc(rules, Interpreter())}
    alloc |= {address: GenesisAccount(_VALIDATOR_BALANCE) for address in addresses}
    alloc |= {address_of(key): GenesisAccount(_BALANCE) for key in clients}
    return new_genesis(CHAIN_ID, alloc=alloc, rules=rules, timestamp=int(EPOCH_S))
