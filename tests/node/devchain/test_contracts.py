"""The contracts that a developer's ledger begins with do what tools ask of them."""

from collections.abc import Iterator

import pytest

from chain.abi import decode, encode_call
from chain.crypto.keccak import keccak
from chain.genesis import dev_genesis
from node.devchain.compose import Developing
from node.devchain.contracts import first_contracts
from tests.node.rpc.serving import ACCOUNTS, COUNTER, COUNTER_INITCODE, SENDER, Served

DEPLOYER = "0x4e59b44847b379578588920ca78fbf26c0b4956c"
MULTICALL = "0xca11bde05977b3631167028862be2a173976ca11"


@pytest.fixture
def ledger() -> Iterator[Served]:
    genesis = dev_genesis(accounts=list(ACCOUNTS), contracts=first_contracts())
    with Served(genesis, developing=Developing()) as served:
        yield served


def test_the_deployer_puts_a_contract_where_its_salt_and_code_say(ledger: Served) -> None:
    """The code of the deployer is Ethereum's: 69 bytes with this hash."""
    code = bytes.fromhex(ledger.call("eth_getCode", DEPLOYER, "latest")[2:])
    assert (len(code), keccak(code).hex()) == (
        69,
        "2fa86add0aed31f33a762c9d88e807c475bd51d0f52bd0955754b2608f7e4989",
    )
    salt, initcode = bytes(31) + b"\x07", bytes.fromhex(COUNTER_INITCODE[2:])
    where = keccak(b"\xff" + bytes.fromhex(DEPLOYER[2:]) + salt + keccak(initcode))[12:]
    ledger.send(to=DEPLOYER, data="0x" + (salt + initcode).hex())
    assert ledger.call("eth_getCode", "0x" + where.hex(), "latest") == "0x" + COUNTER


def test_several_calls_go_in_one(ledger: Served) -> None:
    target = bytes.fromhex(MULTICALL[2:])
    calls = [
        (target, True, encode_call("getEthBalance(address)", bytes.fromhex(SENDER[2:]))),
        (target, True, encode_call("getChainId()")),
        (target, True, b"\x00" * 4),
    ]
    data = encode_call("aggregate3((address,bool,bytes)[])", calls)
    answer = ledger.call("eth_call", {"to": MULTICALL, "data": "0x" + data.hex()}, "latest")
    (results,) = decode(["(bool,bytes)[]"], bytes.fromhex(answer[2:]))
    assert [good for good, _ in results] == [True, True, False]
    assert int.from_bytes(results[0][1], "big") == 10_000 * 10**18
    assert int.from_bytes(results[1][1], "big") == 31337
