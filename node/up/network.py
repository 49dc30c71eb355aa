"""A network that is up: its children, their answers, and what is shown of them."""

import asyncio
import errno
import os
import signal
import socket
import sys
import termios
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import aiohttp

from chain.errors import Reason, Rejected
from node import keys
from node.commands.manifest import RUN_FOLDER, Manifest, NodeEntry, lock_folder
from node.datadir import read_genesis
from node.settings import TEST_MNEMONIC
from node.up import control
from node.up.children import Child, Guard, State
from node.up.control import Keyboard, Order, Reply
from node.up.screen import Screen
from node.up.status import Answer, Row, ask, table
from node.watch.console import Console

_FUNDED_MAX: Final = 10  # of the well-known phrase's accounts, that are looked for
_FRAME_SECONDS: Final = 0.1
_POLL_SECONDS: Final = 1.0
_PLAIN_TABLE_SECONDS: Final = 30.0  # where no table is live, a printed one now and then
_DONE: Final = 0
_FAILED: Final = 1


class Network:
    """The running network: its children, their answers, and what is shown of them."""

    def __init__(
        self, manifest: Manifest, guard: Guard, screen: Screen, flags: Sequence[str]
    ) -> None:
        self._manifest = manifest
        self._screen = screen
        self._answers: dict[str, Answer | None] = {}
        self._over = asyncio.Event()
        self._closing = False
        self._orders = asyncio.Lock()  # one order at a time
        self.children = [
            Child(entry, guard, self._teller(entry.name), flags) for entry in manifest.nodes
        ]

    def _teller(self, name: str) -> Callable[[str], None]:
        def tell(text: str) -> None:
            self._screen.line(name, text)

        return tell

    # -- life --------------------------------------------------------------------------------------

    async def run(self, folder: Path) -> int:
        """Until it is told to stop, or no node is left; the exit status."""
        async with control.listening(folder / RUN_FOLDER, self.obey), asyncio.TaskGroup() as tasks:
            for child in self.children:
                await child.start()
            background = [
                tasks.create_task(self._poll()),
                tasks.create_task(self._draw()),
            ]
            await self._over.wait()
            for task in background:
                task.cancel()
            failed = not self._closing
            await asyncio.gather(*(child.stop() for child in self.children))
        self._screen.table(table(self._rows()))
        self._screen.close()
        return _FAILED if failed else _DONE

    def close(self) -> None:
        """Stop every node; asked again, without waiting for them."""
        if self._closing:
            for child in self.children:
                if child.pid is not None:
                    child.kill()
        self._closing = True
        self._over.set()

    # -- orders ------------------------------------------------------------------------------------

    async def obey(self, order: Order) -> Reply:
        """Carry out an order."""
        if order.do == "stop":
            self.close()
            return Reply(True, "stopping")
        if order.do == "status":
            return Reply(True, control.status_text(self._status()))
        async with self._orders:
            try:
                text = await self._carry_out(order)
            except Rejected as rejected:
                return Reply(False, rejected.detail)
        self._screen.line("", text)
        return Reply(True, text)

    async def _carry_out(self, order: Order) -> str:
        name = self._manifest.node(order.node).name
        child = next(child for child in self.children if child.entry.name == name)
        match order.do:
            case "kill":
                child.kill()
                await child.wait()
                return f"{name} killed"
            case "pause":
                if child.state is State.PAUSED:
                    child.resume()  # the same key again
                    return f"{name} resumed"
                child.pause()
                return f"{name} paused"
            case "resume":
                child.resume()
                return f"{name} resumed"
            case "restart":
                await child.restart()
                return f"{name} restarted"
            case _:
                raise Rejected(Reason.BAD_SETTING, f"no order {order.do!r}")

    def _status(self) -> list[dict[str, object]]:
        return [
            {
                "name": child.entry.name,
                "state": child.state.value,
                "pid": child.pid,
                "exit_status": child.exit_status,
                "rpc_url": child.entry.rpc_url,
            }
            for child in self.children
        ]

    # -- what is shown -----------------------------------------------------------------------------

    def _rows(self) -> list[Row]:
        return [
            Row(child.entry.name, child.state.value, self._answers.get(child.entry.name))
            for child in self.children
        ]

    async def _poll(self) -> None:
        loop = asyncio.get_running_loop()
        shown = loop.time()
        states: list[str] = []
        async with aiohttp.ClientSession() as session:
            while True:
                await asyncio.gather(*(self._ask(session, child) for child in self.children))
                rows = self._rows()
                self._screen.table([*table(rows), *_hints()])
                now, before = loop.time(), states
                states = [row.state for row in rows]
                changed = states != before and State.STARTING not in states
                if self._screen.tells_tables and (changed or now - shown > _PLAIN_TABLE_SECONDS):
                    shown = now
                    for line in table(rows):
                        self._screen.line("", line)
                await asyncio.sleep(_POLL_SECONDS)

    async def _ask(self, session: aiohttp.ClientSession, child: Child) -> None:
        answer = None
        if child.state in (State.STARTING, State.RUNNING):
            answer = await ask(session, child.entry.rpc_url)
        if answer is not None:
            child.answered()
        self._answers[child.entry.name] = answer

    async def _draw(self) -> None:
        while True:
            await asyncio.sleep(_FRAME_SECONDS)
            self._screen.draw()
            if all(child.state is State.ENDED for child in self.children):
                self._screen.line("", "every node has ended by itself")
                self._over.set()
                return


def _hints() -> list[str]:
    return ["keys: k2 kill, p2 pause and resume, r2 restart node 2; q stop"]


# -- before anything runs --------------------------------------------------------------------------


def check_ports(nodes: Sequence[NodeEntry]) -> None:
    """Rejected(ADDRESS_IN_USE) names the first port that somebody else listens on."""
    for node in nodes:
        for what, text in (("RPC", node.rpc_url), ("peer-to-peer", node.p2p)):
            host, _, port = text.replace("/", "@").rpartition("@")[2].rpartition(":")
            try:
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind((host, int(port)))
            except OSError as error:
                why = "is in use" if error.errno == errno.EADDRINUSE else str(error.strerror)
                raise Rejected(
                    Reason.ADDRESS_IN_USE, f"{node.name}: its {what} port {host}:{port} {why}"
                ) from None


def greeting(folder: Path, manifest: Manifest) -> list[str]:
    """What is shown first: where the nodes answer, and who has coins."""
    lines = [f"{len(manifest.nodes)} nodes of {folder}, chain id {manifest.chain_id}"]
    for node in manifest.nodes:
        role = f"validator {node.validator}" if node.validator else "follower"
        lines.append(f"  {node.name}  {node.rpc_url}  {role}")
    if manifest.insecure:
        lines.append("INSECURE: the nodes' keys follow from a seed. For tests only.")
    genesis = Path(manifest.genesis)
    funded = _funded(genesis)
    if funded:
        lines.append("funded accounts (the keys are public: never use them for anything of value)")
        lines += [f"  0x{address}  0x{key}" for address, key in funded]
        lines.append(f"  mnemonic: {TEST_MNEMONIC}")
    return lines


def _funded(genesis: Path) -> list[tuple[str, str]]:
    """Address and key, in hex, of the well-known accounts that the genesis gives coins."""
    alloc = read_genesis(genesis).alloc
    return [
        (address.hex(), key.hex())
        for address, key in keys.dev_accounts(TEST_MNEMONIC, _FUNDED_MAX).items()
        if address in alloc
    ]


@contextmanager
def single_keys(stream: int) -> Iterator[None]:
    """Read keys as they are pressed, unseen, while the block runs; Ctrl-C still interrupts."""
    before = termios.tcgetattr(stream)
    changed = termios.tcgetattr(stream)
    changed[3] &= ~(termios.ICANON | termios.ECHO)
    termios.tcsetattr(stream, termios.TCSADRAIN, changed)
    try:
        yield
    finally:
        termios.tcsetattr(stream, termios.TCSADRAIN, before)


# -- running ---------------------------------------------------------------------------------------


def run_network(folder: Path, manifest: Manifest, flags: Sequence[str], *, json: bool) -> int:
    """Run every node of a folder's network until told to stop; the exit status.

    `flags` follow each node's settings; `json`: one object per line of the log. Rejected:
    DATADIR_IN_USE when the network is up already, ADDRESS_IN_USE.
    """
    with ExitStack() as held:
        lock_folder(folder, held)
        check_ports(manifest.nodes)
        console = Console()
        held.callback(console.close)
        guard = held.enter_context(Guard())
        keyboard = _foreground()
        if keyboard:
            held.enter_context(single_keys(sys.stdin.fileno()))
        flags = list(flags)
        if json:
            flags += ["--log-format", "json"]
        else:
            for line in greeting(folder, manifest):
                console.say(line)
        screen = Screen(
            console,
            [node.name for node in manifest.nodes],
            terminal=sys.stdout.isatty(),
            json=json,
        )
        return asyncio.run(_up(folder, manifest, guard, screen, flags, keyboard=keyboard))


def _foreground() -> bool:
    """Whether the keyboard is ours to read."""
    if not sys.stdin.isatty():
        return False
    return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()


async def _up(
    folder: Path,
    manifest: Manifest,
    guard: Guard,
    screen: Screen,
    flags: Sequence[str],
    *,
    keyboard: bool,
) -> int:
    loop = asyncio.get_running_loop()
    network = Network(manifest, guard, screen, flags)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, network.close)
    carrying_out: set[asyncio.Task[Reply]] = set()
    if keyboard:
        pressed = Keyboard(len(manifest.nodes))

        def read_keys() -> None:
            for key in os.read(sys.stdin.fileno(), 64).decode("ascii", "ignore"):
                if (order := pressed.press(key)) is not None:
                    task = loop.create_task(network.obey(order))
                    carrying_out.add(task)
                    task.add_done_callback(carrying_out.discard)

        loop.add_reader(sys.stdin.fileno(), read_keys)
    try:
        return await network.run(folder)
    finally:
        if keyboard:
            loop.remove_reader(sys.stdin.fileno())
