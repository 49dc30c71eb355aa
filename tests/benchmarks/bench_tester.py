"""A ledger in the process beside eth-tester: transactions mined one by one, and calls.

    python -m tests.benchmarks.bench_tester

Both are asked directly, and once through web3.py as most tests do, which takes its own time
on either side. Each runs in a process of its own, in turn. Threads and all: a busy machine
tells on wall time; the ratios are of processor time too. eth-tester signs and recovers through
libsecp256k1 where coincurve is installed beside it, as here, and in plain Python when it is
installed alone; both are given.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from time import perf_counter, process_time
from typing import Any, Final

from tests.benchmarks import table

ROUNDS: Final = 3
SECONDS: Final = 1.5  # that each figure takes
_PLAIN_KEYS: Final = {"ECC_BACKEND_CLASS": "eth_keys.backends.NativeECCBackend"}
_SIDES: Final = ("ours", "eth-tester", "eth-tester, alone")
_ROWS: Final = ("transfers", "token transfers", "calls", "transfers by web3.py, receipts")
Ask = Callable[[int], object]


def _token() -> tuple[str, Callable[[str], str]]:
    """A token's creation code, and the data of a transfer of one to an address."""
    import vyper

    from tests.benchmarks.programs import TOKEN, call_data

    minting = "@deploy\ndef __init__():\n    self.balanceOf[msg.sender] = 10 ** 30\n"
    made = vyper.compile_code(TOKEN + minting, output_formats=["bytecode"])

    def transfer(to: str) -> str:
        from chain.types import Address

        data = call_data("transfer(address,uint256)", Address(bytes.fromhex(to[2:])), 1)
        return "0x" + data.hex()

    return made["bytecode"], transfer


def _to(number: int) -> str:
    return "0x" + (number + 2**80).to_bytes(20, "big").hex()


def _through_web3(provider: Any) -> Ask:
    """Send a transfer and wait for its receipt."""
    from web3 import Web3
    from web3.types import Wei

    w3 = Web3(provider)
    sender = w3.eth.accounts[0]

    def send(number: int) -> object:
        to = Web3.to_checksum_address(_to(number))
        sent = w3.eth.send_transaction({"from": sender, "to": to, "value": Wei(1), "gas": 21_000})
        return w3.eth.wait_for_transaction_receipt(sent)

    return send


def _ours() -> tuple[list[Ask], Callable[[], object]]:
    from node.testing import EthereumTesterProvider, Ledger, Tester

    ledger = Ledger().start()
    sender = ledger.accounts[0]
    code, transfer = _token()
    sent = ledger.request("eth_sendTransaction", {"from": sender, "data": code})
    token = ledger.request("eth_getTransactionReceipt", sent)["contractAddress"]

    def send(**fields: str) -> object:
        fields["from"] = sender
        return ledger.request("eth_sendTransaction", fields)

    def call(number: int) -> object:
        fields = {"from": sender, "to": token, "data": transfer(_to(number))}
        return ledger.request("eth_call", fields, "latest")

    asks: list[Ask] = [
        lambda number: send(to=_to(number), value="0x1", gas="0x5208"),
        lambda number: send(to=token, data=transfer(_to(number)), gas="0x186a0"),
        call,
        _through_web3(EthereumTesterProvider(Tester(ledger))),
    ]
    return asks, ledger.close


def _theirs() -> tuple[list[Ask], Callable[[], object]]:
    from eth_tester import EthereumTester, PyEVMBackend
    from web3 import EthereumTesterProvider

    tester = EthereumTester(PyEVMBackend())
    sender = tester.get_accounts()[0]
    code, transfer = _token()
    sent = tester.send_transaction({"from": sender, "data": code, "gas": 2_000_000})
    token = tester.get_transaction_receipt(sent)["contract_address"]

    def fields(number: int) -> dict[str, object]:
        return {"from": sender, "to": token, "data": transfer(_to(number)), "gas": 100_000}

    asks: list[Ask] = [
        lambda number: tester.send_transaction(
            {"from": sender, "to": _to(number), "value": 1, "gas": 21_000}
        ),
        lambda number: tester.send_transaction(fields(number)),
        lambda number: tester.call(fields(number)),
        _through_web3(EthereumTesterProvider(tester)),
    ]
    return asks, lambda: None


def _measure(side: str) -> None:
    """Print the side's figures, a line each."""
    asks, close = _ours() if side == "ours" else _theirs()
    number = 0
    for ask in asks:
        for _ in range(5):
            number += 1
            ask(number)
        count, started, used = 0, perf_counter(), process_time()
        while perf_counter() - started < SECONDS:
            number += 1
            count += 1
            ask(number)
        print(count / (perf_counter() - started), (process_time() - used) / count * 1e6)
    close()


def _figures(side: str) -> list[tuple[float, float]]:
    """For each row, how many a second, and microseconds of processor time for each."""
    environment = os.environ | (_PLAIN_KEYS if side.endswith("alone") else {})
    finished = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.bench_tester", side],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    lines = [line.split() for line in finished.stdout.splitlines()]
    return [(float(rate), float(used)) for rate, used in lines]


def main(arguments: Sequence[str] = ()) -> None:
    if arguments:
        _measure(arguments[0])
        return
    print(f"in one process, each transaction mined as it comes; {table.machine()}")
    found: dict[str, list[list[tuple[float, float]]]] = {side: [] for side in _SIDES}
    for _ in range(ROUNDS):
        for side in _SIDES:
            found[side].append(_figures(side))
    rates: list[list[object]] = []
    costs: list[list[object]] = []
    for at, title in enumerate(_ROWS):
        best = [max(round_[at][0] for round_ in found[side]) for side in _SIDES]
        least = [min(round_[at][1] for round_ in found[side]) for side in _SIDES]
        rates.append([title, *map(round, best), *(best[0] / each for each in best[1:])])
        costs.append([title, *map(round, least), *(each / least[0] for each in least[1:])])
    table.show(("a second", *_SIDES, "x eth-tester", "x alone"), rates)
    print()
    table.show(("us of processor time", *_SIDES, "x eth-tester", "x alone"), costs)


if __name__ == "__main__":
    main(sys.argv[1:])
