"""A developer's chain over HTTP beside anvil and hardhat's.

    python -m tests.benchmarks.bench_rpc [--rivals anvil,hardhat] [--rows reads,transactions,...]

All chains run at the same time, with a block each second, 10^9 gas a block and everything
in memory; they are asked in turn, so that all see the same machine. Requests are made
beforehand and go over 16 keep-alive connections; batches have 100 calls. Transactions are
counted until the last receipt is there. Each call and query is of another account but for those
named otherwise; balances are of ten thousand.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import count, islice
from time import perf_counter, sleep
from typing import Final

from chain.crypto.keccak import keccak
from chain.crypto.secp256k1 import address_of
from chain.genesis import DEV_MNEMONIC
from chain.transactions import Kind, build_transaction, sign_transaction
from chain.transition import contract_address
from chain.types import Address, Hash
from node.keys import dev_accounts
from tests.benchmarks import load, rivals, table
from tests.benchmarks.programs import COMPUTE, TOKEN, call_data
from tests.benchmarks.rivals import Chain

BATCH: Final = 100
SECONDS: Final = 1.0  # that a row of reads takes
TRANSACTIONS: Final = 16_000  # in a row of them, so that it takes some blocks
ROUNDS: Final = 3
LOG_BLOCKS: Final = 100
_GAS_PRICE: Final = 10**12
_KEYS: Final = list(dev_accounts(DEV_MNEMONIC, 10).values())
_DEPLOYER: Final = address_of(_KEYS[0])
_MINT: Final = """
@external
def mint():
    self.balanceOf[msg.sender] = 10 ** 30
"""

Row = tuple[str, dict[str, list[float]]]


def account(number: int) -> Address:
    return Address(keccak(b"account" + number.to_bytes(8, "big"))[12:])


def hexed(data: bytes) -> str:
    return "0x" + data.hex()


class Sender:
    """Signs for the developer's accounts in turn; knows their nonces."""

    def __init__(self) -> None:
        self._nonces = [0] * len(_KEYS)
        self.last: list[Hash] = []

    def sign(
        self, to: Address | None, data: bytes = b"", *, value: int = 0, gas: int, who: int = 0
    ) -> bytes:
        unsigned = build_transaction(
            kind=Kind.DYNAMIC_FEE,
            chain_id=rivals.CHAIN_ID,
            nonce=self._nonces[who],
            gas_limit=gas,
            max_fee=_GAS_PRICE,
            max_priority_fee=1,
            to=to,
            value=value,
            data=data,
        )
        self._nonces[who] += 1
        signed = sign_transaction(unsigned, _KEYS[who])
        self.last.append(signed.hash)
        return signed.raw

    def many(
        self, count_: int, what: Callable[[int], tuple[Address, bytes, int, int]]
    ) -> tuple[list[bytes], list[Hash]]:
        """So many transactions (to, data, value, gas), and the hashes of each account's last."""
        self.last.clear()
        raws = []
        for number in range(count_):
            to, data, value, gas = what(number)
            raws.append(self.sign(to, data, value=value, gas=gas, who=number % len(_KEYS)))
        return raws, self.last[-len(_KEYS) :]


def calls_of(raws: Iterable[bytes]) -> list[bytes]:
    return [load.call("eth_sendRawTransaction", hexed(raw)) for raw in raws]


def batches(calls: Iterable[bytes]) -> Iterator[bytes]:
    source = iter(calls)
    while piece := list(islice(source, BATCH)):
        yield load.batch(piece)


def until_mined(chain: Chain, hashes: Sequence[Hash]) -> None:
    """Wait for the receipts; RuntimeError when one does not come."""
    body = load.batch(load.call("eth_getTransactionReceipt", hexed(each)) for each in hashes)
    deadline = perf_counter() + 120
    while not all(answer.get("result") for answer in chain.ask(body)):
        if perf_counter() > deadline:
            raise RuntimeError(f"{chain.name}: a receipt does not come")
        sleep(0.01)


class Bench:
    """The chains with contracts on them, and the rows so far."""

    def __init__(self, chains: Sequence[Chain], rounds: int) -> None:
        import vyper

        self.chains = chains
        self.rounds = rounds
        self.rows: list[Row] = []
        self.shares: dict[str, list[float]] = {}
        self.sender = Sender()
        made = [
            vyper.compile_code(source, output_formats=["bytecode"])["bytecode"]
            for source in (TOKEN + _MINT, COMPUTE)
        ]
        self.token = contract_address(_DEPLOYER, 0)
        self.compute = contract_address(_DEPLOYER, 1)
        raws = [self.sender.sign(None, bytes.fromhex(each[2:]), gas=5_000_000) for each in made]
        raws += [
            self.sender.sign(self.token, call_data("mint()"), gas=200_000, who=who)
            for who in range(len(_KEYS))
        ]
        self.submit(raws, self.sender.last)

    def submit(self, raws: Sequence[bytes], hashes: Sequence[Hash]) -> None:
        """Have all chains run the transactions."""
        for chain in self.chains:
            for answer in chain.ask(load.batch(calls_of(raws))):
                if "error" in answer:
                    raise RuntimeError(f"{chain.name}: {answer['error']}")
        for chain in self.chains:
            until_mined(chain, hashes)

    # -- reads -----------------------------------------------------------------------------------

    def reads(self, name: str, make: Callable[[int], bytes]) -> None:
        """Two rows: calls a second, alone and in batches."""
        for title, size in ((name, 1), (f"{name}, batches", BATCH)):
            found: dict[str, list[float]] = {}
            numbers = count()
            for _ in range(self.rounds):
                for chain in self.chains:
                    calls = map(make, numbers)
                    # Made beforehand, so that the generator only sends and receives.
                    most = 40_000 if size == 1 else 150_000
                    bodies = list(islice(calls if size == 1 else batches(calls), most // size))
                    requests = [load.post(body) for body in bodies]
                    before = chain.processor_seconds() or 0.0
                    measured = load.drive(chain.port, requests, seconds=SECONDS)
                    if measured.refused:
                        raise RuntimeError(f"{chain.name}: {title}: {measured.refused} refused")
                    used = (chain.processor_seconds() or 0.0) - before
                    found.setdefault(chain.name, []).append(
                        measured.requests * size / measured.seconds
                    )
                    self.note(title, measured, used)
            self.add(title, found)

    def note(self, title: str, measured: load.Measured, used: float) -> None:
        self.shares.setdefault("generator", []).append(measured.own_seconds / measured.seconds)

    def add(self, title: str, found: dict[str, list[float]]) -> None:
        self.rows.append((title, found))
        line = "  ".join(
            f"{name} {max(values):,.0f} ({', '.join(f'{each:,.0f}' for each in values)})"
            for name, values in found.items()
        )
        print(f"  {title:<34} {line}", file=sys.stderr, flush=True)

    # -- transactions ----------------------------------------------------------------------------

    def transactions(
        self, name: str, what: Callable[[int], tuple[Address, bytes, int, int]]
    ) -> None:
        """Two rows: transactions a second until the last receipt, sent alone and in batches."""
        for title, batched in ((name, False), (f"{name}, batches", True)):
            found: dict[str, list[float]] = {}
            for _ in range(self.rounds):
                raws, last = self.sender.many(TRANSACTIONS, what)
                calls = calls_of(raws)
                bodies = list(batches(calls)) if batched else calls
                requests = [load.post(body) for body in bodies]
                for chain in self.chains:
                    started = perf_counter()
                    measured = load.drive(chain.port, requests)
                    if measured.refused:
                        raise RuntimeError(f"{chain.name}: {title}: {measured.refused} refused")
                    until_mined(chain, last)
                    seconds = perf_counter() - started
                    found.setdefault(chain.name, []).append(TRANSACTIONS / seconds)
            self.add(title, found)

    def transfers(self) -> None:
        self.transactions(
            "transfers/s", lambda number: (account(number), b"", 10**9 + number, 21_000)
        )

    def token_transfers(self) -> None:
        self.transactions(
            "ERC-20 transfers/s",
            lambda number: (
                self.token,
                call_data("transfer(address,uint256)", account(number), 1),
                0,
                100_000,
            ),
        )

    # -- rows ------------------------------------------------------------------------------------

    def balances(self) -> None:
        self.reads(
            "eth_getBalance/s",
            lambda number: load.call("eth_getBalance", hexed(account(number % 10_000)), "latest"),
        )

    def contract_calls(self) -> None:
        to = hexed(self.token)

        def make(number: int) -> bytes:
            data = call_data("balanceOf(address)", account(number))
            return load.call("eth_call", {"to": to, "data": hexed(data)}, "latest")

        self.reads("eth_call/s", make)
        self.reads("eth_call of ten accounts/s", lambda number: make(number % 10))

    def logs(self) -> None:
        """Queries for one account's transfers among those of a hundred blocks."""
        for block in range(LOG_BLOCKS):
            raws = [
                self.sender.sign(
                    self.token,
                    call_data("transfer(address,uint256)", account(block * 10 + which), 1),
                    gas=100_000,
                    who=which,
                )
                for which in range(10)
            ]
            for chain in self.chains:
                chain.ask(load.batch(calls_of(raws)))
                chain.call("evm_mine")
        for chain in self.chains:
            until_mined(chain, self.sender.last[-10:])
        topic = hexed(keccak(b"Transfer(address,address,uint256)"))

        def make(number: int) -> bytes:
            wanted = hexed(bytes(12) + account(number % (LOG_BLOCKS * 10)))
            return load.call(
                "eth_getLogs",
                {
                    "fromBlock": "0x0",
                    "toBlock": "latest",
                    "address": hexed(self.token),
                    "topics": [topic, None, wanted],
                },
            )

        self.reads("eth_getLogs/s", make)

    def traces(self) -> None:
        """A transaction of some million gas, in struct logs and as a tree of calls."""
        raw = self.sender.sign(self.compute, call_data("sieve(uint256)", 2_000), gas=16_000_000)
        self.submit([raw], self.sender.last[-1:])
        name = hexed(self.sender.last[-1])
        for title, options in (
            ("debug_traceTransaction, steps, ms", {}),
            ("debug_traceTransaction, calls, ms", {"tracer": "callTracer"}),
        ):
            body = load.call("debug_traceTransaction", name, options)
            found: dict[str, list[float]] = {}
            for _ in range(self.rounds):
                for chain in self.chains:
                    if chain.name == "hardhat" and options:
                        continue  # it has no such tracer
                    started = perf_counter()
                    measured = load.drive(chain.port, [load.post(body)], connections=1)
                    found.setdefault(chain.name, []).append((perf_counter() - started) * 1e3)
                    if measured.refused:
                        raise RuntimeError(f"{chain.name}: {title} refused")
            self.add(title, found)


def starts(names: Sequence[str], rounds: int) -> Row:
    """Milliseconds from a process's start to the answer to its first transaction."""
    found: dict[str, list[float]] = {}
    raw = Sender().sign(account(1), value=1, gas=21_000)
    body = load.call("eth_sendRawTransaction", hexed(raw))
    for _ in range(rounds):
        for name in names:
            port = rivals.free_port()
            started = perf_counter()
            process = rivals.start(name, port, instant=True)
            try:
                chain = Chain(name, port, process)
                while True:
                    try:
                        if "error" in chain.ask(body):
                            raise RuntimeError(f"{name}: the first transaction is refused")
                        break
                    except OSError:
                        sleep(0.002)
                        if perf_counter() - started > 60:
                            raise
                found.setdefault(name, []).append((perf_counter() - started) * 1e3)
            finally:
                rivals.stop(process)
    return "start to first transaction, ms", found


_ROWS: Final = {
    "transfers": Bench.transfers,
    "tokens": Bench.token_transfers,
    "calls": Bench.contract_calls,
    "balances": Bench.balances,
    "logs": Bench.logs,
}


def main(arguments: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rivals", default="anvil,hardhat")
    parser.add_argument("--rows", default=",".join((*_ROWS, "traces", "start")))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args(arguments)
    wanted = options.rows.split(",")
    names = ["ours"]
    for name in filter(None, options.rivals.split(",")):
        try:
            rivals.COMMANDS[name](0)
            names.append(name)
        except RuntimeError as error:
            print(f"without {name}: {error}", file=sys.stderr)
    print(f"{', '.join(names)} in one run; {table.machine()}")
    rows: list[Row] = []
    share = 0.0
    with ExitStack() as stack:
        chains = [stack.enter_context(rivals.running(name)) for name in names]
        chains[0].call("anvil_setBlockGasLimit", hex(rivals.GAS_LIMIT))
        bench = Bench(chains, options.rounds)
        for name, run in _ROWS.items():
            if name in wanted:
                run(bench)
        rows += bench.rows
        if bench.shares:
            share = max(bench.shares["generator"])
    if "traces" in wanted:
        # anvil notes steps only when it is told so at its start, and then for everything it runs.
        with ExitStack() as stack:
            chains = [stack.enter_context(rivals.running(name, steps=True)) for name in names]
            bench = Bench(chains, options.rounds)
            bench.traces()
            rows += bench.rows
    if "start" in wanted:
        # hardhat's begins with a project and its compilers; it takes seconds.
        rows.append(starts([name for name in names if name != "hardhat"], options.rounds))
    show(rows, names)
    print(f"\nthe best of {options.rounds} rounds each", end="")
    print(f"; the generator used at most {share:.0%} of a processor" if share else "")


def show(rows: Sequence[Row], names: Sequence[str]) -> None:
    lines: list[list[object]] = []
    for title, found in rows:
        smaller = title.endswith("ms")
        best = {name: (min if smaller else max)(values) for name, values in found.items()}
        line: list[object] = [title]
        for name in names:
            line.append(round(best[name]) if name in best else "-")
        for name in names[1:]:
            if name in best:
                ratio = best[name] / best["ours"] if smaller else best["ours"] / best[name]
                line.append(f"{ratio:.2f}")
            else:
                line.append("-")
        lines.append(line)
    table.show(("", *names, *(f"ours / {name}" for name in names[1:])), lines)


if __name__ == "__main__":
    main(sys.argv[1:])
