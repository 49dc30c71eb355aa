"""Programs that can't run in a test, by the requests that they send: each is answered, in the form
that they read. clients/requests.json: method, parameters, and what kind of answer is expected; a
word with @ stands for something of the ledger. One by one, and all of a program's in one batch.
"""

import json
import os
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from tests.end_to_end.network import Testnet
from tests.support.clients import FRIEND, contracts
from tests.support.daemon import DEV_ADDRESSES, DEV_KEYS, Rpc, running, signed_transfer
from tests.support.javascript import CLIENTS

REQUESTS: Final[dict[str, list[Any]]] = json.loads((CLIENTS / "requests.json").read_text())
KEYLESS: Final = ("eth_sendTransaction", "eth_sign")  # a network's node holds no keys
KINDS: Final = ["dev", "network"] if "CHAIN_NETWORK_LONG" in os.environ else ["dev"]

_ANSWERS: Final[dict[str, Callable[[Any], bool]]] = {
    "text": lambda result: isinstance(result, str) and result != "",
    "quantity": lambda result: re.fullmatch("0x(0|[1-9a-f][0-9a-f]*)", result) is not None,
    "data": lambda result: re.fullmatch("0x([0-9a-f]{2})*", result) is not None,
    "number": lambda result: type(result) is int,
    "object": lambda result: isinstance(result, dict) and result != {},
    "list": lambda result: isinstance(result, list),
    "null": lambda result: result is None,
    "true": lambda result: result is True,
    "false": lambda result: result is False,
}


class Asked:
    """A ledger with some history, and the requests of the programs about it."""

    def __init__(self, rpc: Rpc, *, holds_keys: bool) -> None:
        self.rpc = rpc
        self.holds_keys = holds_keys
        made = contracts()["voucher"]
        fees = {"max_fee": 10**12, "chain_id": int(rpc.call("eth_chainId"), 16), "value": 0}

        def send(nonce: int, data: str, to: str) -> Any:
            fields = {"data": bytes.fromhex(data[2:]), "gas": 3_000_000, "to": to} | fees
            raw = signed_transfer(DEV_KEYS[0], nonce, **fields)
            return rpc.wait_for_receipt(rpc.call("eth_sendRawTransaction", raw))

        supply = (10**21).to_bytes(32, "big").hex()
        transfer = "0xa9059cbb" + FRIEND[2:].lower().rjust(64, "0")
        deployed = send(0, made["bytecode"] + supply, "")
        token = deployed["contractAddress"]
        failed = send(1, transfer + "f" * 64, token)
        assert failed["status"] == "0x0"
        sent = send(2, transfer + "5".rjust(64, "0"), token)
        self.words = {
            "@me": DEV_ADDRESSES[0],
            "@friend": FRIEND,
            "@token": token,
            "@height": sent["blockNumber"],
            "@number": int(sent["blockNumber"], 16),
            "@hash": sent["blockHash"],
            "@sent": sent["transactionHash"],
            "@failed": failed["transactionHash"],
            "@unknown": "0x" + "77" * 32,
            "@symbol": "0x95d89b41",
            "@supports": "0x01ffc9a780ac58cd" + 56 * "0",
            "@transfer": transfer + "1".rjust(64, "0"),
        }

    def of(self, program: str) -> list[tuple[str, list[Any], str]]:
        """What a program asks, filled in, and the kind of answer."""
        return [
            (method, self._filled(parameters), expected)
            for method, parameters, expected in REQUESTS[program]
            if self.holds_keys or method not in KEYLESS
        ]

    def _filled(self, part: Any) -> Any:
        if isinstance(part, str):
            return self.words.get(part, part)
        if isinstance(part, list):
            return [self._filled(item) for item in part]
        if isinstance(part, dict):
            return {key: self._filled(item) for key, item in part.items()}
        return part


@pytest.fixture(scope="module", params=KINDS)
def asked(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Asked]:
    if request.param == "dev":
        with running("dev", "--ephemeral") as daemon:
            yield Asked(daemon.rpc, holds_keys=True)
    else:
        folder = tmp_path_factory.mktemp("programs") / "net"
        with Testnet.running(folder, "--interval-ms", "100") as net:
            yield Asked(net[1].rpc, holds_keys=False)


def expect_answer(method: str, parameters: list[Any], expected: str, answer: Any) -> None:
    told = f"{method} {json.dumps(parameters)} -> {json.dumps(answer)[:600]}"
    if expected.startswith("error "):
        assert answer.get("error", {}).get("code") == int(expected.split()[1]), told
    else:
        assert "error" not in answer, told
        assert _ANSWERS[expected](answer["result"]), told


@pytest.mark.parametrize("program", REQUESTS)
def test_each_request_of_a_program_is_answered_in_its_form(asked: Asked, program: str) -> None:
    for method, parameters, expected in asked.of(program):
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
        answer = asked.rpc.post(json.dumps(body).encode())
        expect_answer(method, parameters, expected, answer)


@pytest.mark.parametrize("program", REQUESTS)
def test_the_requests_of_a_program_are_answered_in_one_batch(asked: Asked, program: str) -> None:
    requests = asked.of(program)
    answers = asked.rpc.batch([(method, parameters) for method, parameters, _ in requests])
    for (method, parameters, expected), answer in zip(requests, answers, strict=True):
        expect_answer(method, parameters, expected, answer)
