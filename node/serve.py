"""`chain-node dev`, `run` and `init`: from settings to a running node, and back down.

Kept apart from `__main__` so that asking for help loads nothing heavy.
"""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from random import SystemRandom
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from msgspec.structs import replace

from chain.crypto.secp256k1 import address_of
from chain.errors import Fault
from chain.forked import Origin
from chain.genesis import Genesis, dev_genesis
from chain.ledger import Ledger
from chain.storage.store import Store
from chain.types import Address
from contracts.vm import Interpreter
from node import datadir, dev, identity, keys
from node.consensus.committed import Committed
from node.consensus.log_file import DiskFile
from node.devchain.aloud import Aloud, CodeOf, Ears
from node.devchain.artefacts import Artefacts
from node.devchain.autopsy import Autopsy
from node.devchain.compose import Developing
from node.devchain.contracts import first_contracts
from node.devchain.fork.beginning import ForkPoint
from node.devchain.fork.opening import Forking, open_fork
from node.devchain.stack_trace import StackTracer
from node.node import Node
from node.rpc.server import RpcServer
from node.settings import DevSettings, Settings
from node.watch import logs
from node.watch.console import Console
from node.watch.standstill import pace_of, watch_standstill

if TYPE_CHECKING:
    from node.networking import NetworkFactory

_COIN: Final = 10**18
_NO_FORK: Final = Forking()
_REPORTS_MAX: Final = 1_000  # blocks that wait to be told of
_EXPLAINING_SECONDS: Final = 1.0  # of a call that failed
_log: Final = logging.getLogger("node")


class AddressInUse(Exception):
    """The RPC address can't be listened on."""


class BadFolder(Exception):
    """The data folder is corrupt or can't be read or written."""


class Prepared(Struct, frozen=True):
    """An open ledger and the keys that go with it."""

    settings: Settings
    folder: Path | None
    ledger: Ledger
    accounts: Mapping[Address, bytes]
    validator_key: bytes | None
    node_key: bytes
    dev: bool
    fork: ForkPoint | None = None
    forks: Path | None = None  # the folder for what forks' sources say


class _ConsoleHandler(logging.Handler):
    def __init__(self, console: Console, format: str) -> None:
        super().__init__()
        self._console = console
        self.setFormatter(logs.formatter(format))

    def emit(self, record: logging.LogRecord) -> None:
        self._console.say(self.format(record))


def prepare(
    settings: Settings, folder: Path | None, *, dev: bool, forking: Forking = _NO_FORK
) -> Prepared:
    """Open the ledger and the keys. `folder` None: everything in memory.

    Rejected as `datadir.open_ledger`; BadFolder when the disk or what is on it is no good;
    SourceFailed when what is to be forked can't be had.
    """
    accounts: Mapping[Address, bytes] = {}
    genesis: Genesis | None = None
    if settings.chain.genesis:
        genesis = datadir.read_genesis(Path(settings.chain.genesis))
    if dev:
        accounts = keys.dev_accounts(settings.dev.mnemonic, settings.dev.accounts)
    point: ForkPoint | None = None

    def begin(store: Store) -> tuple[Genesis, Origin | None]:
        nonlocal point
        made, point = open_fork(store, forking, int(time.time()), partial(_genesis, settings))
        return made, None if point is None else point.origin

    key: bytes | None = None
    try:
        if folder is not None and _is_to_begin(folder, genesis, dev=dev):
            # Before the ledger, so that a crash in between leaves no ledger without a key.
            key = identity.make_validator_key(folder)
        ledger = datadir.open_ledger(
            folder,
            genesis,
            retain_heights=settings.chain.retain_heights,
            begin=begin if dev and genesis is None else None,
        )
    except Fault as fault:
        raise BadFolder(str(fault)) from fault
    with ExitStack() as undo:
        undo.callback(ledger.close)
        if folder is None:
            key, node_key = keys.new_key(), keys.new_key()
        else:
            if key is None:
                make = identity.make_validator_key if dev else identity.load_validator_key
                key = make(folder)
            node_key = identity.make_node_key(folder)
        undo.pop_all()  # whoever serves it closes it
    return Prepared(settings, folder, ledger, accounts, key, node_key, dev, point, forking.answers)


def _genesis(settings: Settings, chain_id: int | None, timestamp: int) -> Genesis:
    """A developer's first block; `chain_id` None: that of the settings."""
    return dev_genesis(
        settings.dev.chain_id if chain_id is None else chain_id,
        accounts=list(keys.dev_accounts(settings.dev.mnemonic, settings.dev.accounts)),
        balance=settings.dev.balance * _COIN,
        timestamp=timestamp,
        contracts=first_contracts(),
    )


def _is_to_begin(folder: Path, genesis: Genesis | None, *, dev: bool) -> bool:
    """Whether starting makes this a validator: of a new ledger that is this node's alone.

    Where a genesis names validators, a node without a key observes; `init` makes keys.
    """
    if datadir.has_ledger(folder):
        return False
    return dev or (genesis is not None and not genesis.config.ledger.validators)


def init(settings: Settings, folder: Path, *, follower: bool = False) -> None:
    """Begin a ledger in `folder`, or make the one that is there this node's to build on.

    A `follower` gets no validator's key, and only observes.
    """
    genesis = None
    if settings.chain.genesis:
        genesis = datadir.read_genesis(Path(settings.chain.genesis))
    ledger = datadir.open_ledger(folder, genesis)
    try:
        key = identity.load_validator_key(folder)
        if not follower:
            key = identity.make_validator_key(folder)
        node = address_of(identity.make_node_key(folder))
        print(f"data folder  {folder}")
        print(f"chain id     {ledger.config.chain_id}")
        print(f"genesis      0x{ledger.genesis_hash.hex()}")
        print(f"validator    {'none' if key is None else '0x' + address_of(key).hex()}")
        print(f"node id      {node.hex()}")
    finally:
        ledger.close()


def serve(prepared: Prepared, version: str) -> None:
    """Run until SIGTERM or SIGINT. Raises AddressInUse, BadFolder, Rejected or Fault."""
    console = Console()
    errors = Console(sys.stderr)
    logging.basicConfig(
        level=prepared.settings.log.level.upper(),
        handlers=[_ConsoleHandler(errors, prepared.settings.log.format)],
        force=True,
    )
    try:
        asyncio.run(_serve(prepared, version, console))
    finally:
        console.close()
        errors.close()
        logging.getLogger().handlers.clear()


async def _serve(prepared: Prepared, version: str, console: Console) -> None:
    settings, folder = prepared.settings, prepared.folder
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _on_signal, stopping)
    as_json = settings.log.format == "json"
    shows_runs = prepared.dev and settings.log.transactions and not as_json
    # With named validators, blocks are theirs to agree on.
    developing: Developing | None = None
    if prepared.dev and not prepared.ledger.config.ledger.validators:
        notes = None if folder is None else folder / datadir.NOTES
        developing = Developing(notes, prepared.fork, prepared.forks)
    try:
        reporter = _Reporter(prepared, console) if shows_runs else None
        if developing is not None and reporter is not None:
            developing = replace(developing, ears=reporter.ears())
        node = Node(
            settings,
            prepared.ledger,
            accounts=prepared.accounts,
            validator_key=prepared.validator_key,
            votes=None if folder is None else DiskFile(folder / datadir.VOTES),
            pool=None if folder is None else folder / datadir.POOL,
            network=_network(prepared, version),
            developing=developing,
            on_commit=None if reporter is None else reporter.report,
        )
    except BaseException as error:
        prepared.ledger.close()
        if isinstance(error, Fault):
            raise BadFolder(str(error)) from error
        raise
    server = RpcServer(settings.rpc, node)
    listening = False
    watching: asyncio.Task[None] | None = None
    try:
        try:
            await node.start()
        except Fault as fault:
            raise BadFolder(str(fault)) from fault
        await _begin_with_file(node, settings.dev)
        try:
            await server.start()
        except OSError as error:
            address = f"{settings.rpc.host}:{settings.rpc.port}"
            # A name that has no address comes with a number of the resolver's, not the system's.
            resolved = not isinstance(error, socket.gaierror)
            why = os.strerror(error.errno or 0) if resolved else error.strerror
            raise AddressInUse(f"address_in_use: can't listen on {address}: {why}") from None
        listening = True
        _calm_collector()
        if as_json:
            _log.info("ready", extra=_facts(prepared, node, version, server.port))
        else:
            console.say(_greeting(prepared, node, version, server.port))
        node.machines.prepare()
        pace = pace_of(prepared.ledger.config.ledger, settings.chain)
        if developing is None:  # a developer may have blocks stand still
            watching = asyncio.create_task(watch_standstill(node, pace, loop.time))
        await _until(stopping, node.failed)
        _log.info("stopping at height %d", prepared.ledger.height)
        listening = False
        await server.stop()
        await _leave_file(node, settings.dev)
    finally:
        if watching is not None:
            watching.cancel()
        if listening:
            await server.stop()
        if reporter is not None:
            await asyncio.to_thread(reporter.close)
        await node.stop()


async def _begin_with_file(node: Node, wanted: DevSettings) -> None:
    """Load the state that is wanted; that of --state only where nothing has happened yet."""
    developer, ledger = node.developer, node.ledger
    name = wanted.load_state or wanted.state
    if developer is None or not name:
        return
    from node.rpc import dev_files  # few need it

    path = Path(name)
    if wanted.load_state or (ledger.height == ledger.first and dev_files.is_there(path)):
        await dev_files.begin_with(developer, path)


async def _leave_file(node: Node, wanted: DevSettings) -> None:
    name = wanted.dump_state or wanted.state
    if node.developer is None or not name:
        return
    from node.rpc import dev_files

    history = wanted.preserve_historical_states and node.developer.fork is None
    try:
        await asyncio.to_thread(dev_files.save_file, Path(name), node.ledger, history=history)
    except Fault as fault:
        raise BadFolder(str(fault)) from fault


class _Reporter:
    """Prints what ran in each block. With artefacts, which take time, in a thread of its own."""

    def __init__(self, prepared: Prepared, console: Console) -> None:
        """Rejected(BAD_SETTING) where artefacts can't be read."""
        self._ledger = prepared.ledger
        self._console = console
        self._artefacts = Artefacts(map(Path, prepared.settings.dev.artifacts))
        self._machine = Interpreter()
        self._thread: Executor | None = None
        self._room = BoundedSemaphore(_REPORTS_MAX)
        if len(self._artefacts):
            self._thread = ThreadPoolExecutor(1, "report")

    def report(self, committed: Committed) -> None:
        if self._thread is None:
            self._console.say(dev.block_lines(committed, self._artefacts, self._code_of))
        elif self._room.acquire(blocking=False):
            self._thread.submit(self._explain, committed)
        else:
            number = committed.executed.block.header.number
            self._console.say(f"block {number} is not told: too many wait to be")

    def ears(self) -> Ears:
        """Who tells of calls, too."""
        explains = self._stack_tracer if len(self._artefacts) else None
        return Ears(self._report_call, explains)

    def _stack_tracer(self, code_of: CodeOf) -> StackTracer:
        end = time.monotonic() + _EXPLAINING_SECONDS
        return StackTracer(self._artefacts, code_of, lambda: time.monotonic() > end)

    def _report_call(self, call: Aloud) -> None:
        if self._thread is None:
            self._say_call(call)
        elif self._room.acquire(blocking=False):
            self._thread.submit(self._explain_call, call)

    def _explain_call(self, call: Aloud) -> None:
        self._room.release()
        self._say_call(call)

    def _say_call(self, call: Aloud) -> None:
        self._console.say(dev.call_lines(call, self._artefacts, self._code_of))

    def _explain(self, committed: Committed) -> None:
        self._room.release()
        try:
            autopsy = Autopsy(
                self._ledger, self._machine, self._artefacts, committed.executed, time.monotonic
            )
            lines = dev.block_lines(committed, self._artefacts, self._code_of, autopsy.explain)
        except Exception:  # sources and artefacts are anybody's; the block stands
            number = committed.executed.block.header.number
            _log.exception("what ran in block %d can't be told", number)
            return
        self._console.say(lines)

    def _code_of(self, address: Address) -> bytes:
        view = self._ledger.view()
        account = view.account(address)
        return b"" if account is None else view.code(account.code_hash)

    def close(self) -> None:
        """Tell what is left, before the ledger is closed."""
        if self._thread is not None:
            self._thread.shutdown()


def _network(prepared: Prepared, version: str) -> "NetworkFactory | None":
    """The links of a ledger whose genesis names validators; a developer's chain has none."""
    ledger = prepared.ledger
    if not ledger.config.ledger.validators:
        return None
    # A developer's chain starts in two thirds of the time without them.
    from node.net.handshake import Identity
    from node.net.peers import Peers

    identity = Identity(
        node_key=prepared.node_key,
        validator_key=prepared.validator_key,
        chain_id=ledger.config.chain_id,
        genesis_hash=ledger.genesis_hash,
        agent=f"chain-node/{version}",
    )
    return lambda door: Peers(
        prepared.settings.net,
        identity,
        door,
        clock=time.time,
        random=SystemRandom(),
        folder=prepared.folder,
        allowed=ledger.config.ledger.allowed_nodes,
        favours=door.favours,
        broken=door.broken,
    )


def _calm_collector() -> None:
    """Look for reference cycles seldom: blocks and transactions are large and have none.

    What is there now stays: looking for the little that could go takes 30 ms.

    A transfer from socket to disk takes 72 instead of 81 us of processor time (two cores,
    15,000 transfers in batches of 1,000 over HTTP, minimum of three runs each).
    """
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
    gc.enable()


async def _until(stopping: asyncio.Event, failed: "asyncio.Future[None]") -> None:
    """Wait for the signal to stop; raises what the node failed with, if that comes first."""
    stop = asyncio.ensure_future(stopping.wait())
    waited: set[asyncio.Future[Any]] = {stop, failed}
    await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if failed.done():
        failed.result()


def _on_signal(stopping: asyncio.Event) -> None:
    if stopping.is_set():  # asked twice: the ledger is safe at any moment
        os._exit(130)
    stopping.set()


def _facts(prepared: Prepared, node: Node, version: str, port: int) -> dict[str, Any]:
    """The greeting for machines."""
    return {
        "version": version,
        "chain_id": prepared.ledger.config.chain_id,
        "height": prepared.ledger.height,
        "datadir": None if prepared.folder is None else str(prepared.folder),
        "rpc_host": prepared.settings.rpc.host,
        "rpc_port": port,
        "validator": node.validator,
    }


def _greeting(prepared: Prepared, node: Node, version: str, port: int) -> str:
    settings, folder = prepared.settings, prepared.folder
    rules = prepared.ledger.config.ledger
    host = settings.rpc.host
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if node.validator is None:
        mode = "none: no validator key here, this node only serves (make one: chain-node init)"
    elif rules.validators and rules.block_interval_ms:
        mode = f"every {rules.block_interval_ms} ms"
        mode += "" if rules.empty_blocks else " while transactions come in"
    elif settings.chain.block_time:
        mode = f"every {settings.chain.block_time:g} s"
    else:
        mode = "as transactions come in"
    return dev.banner(
        version=version,
        accounts=prepared.accounts,
        balance=settings.dev.balance * _COIN,
        mnemonic=settings.dev.mnemonic,
        chain_id=prepared.ledger.config.chain_id,
        address=address,
        folder="none: in memory, lost at the end" if folder is None else str(folder),
        height=prepared.ledger.height,
        mode=mode,
    )
