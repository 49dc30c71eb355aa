"""Test suites written for web3.py's providers for eth-tester, on ours."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from eth_tester import EthereumTester, PyEVMBackend
from eth_tester.exceptions import (
    BlockNotFound,
    FilterNotFound,
    SnapshotNotFound,
    TransactionFailed,
    TransactionNotFound,
    ValidationError,
)
from web3 import AsyncWeb3, Web3
from web3.exceptions import ContractCustomError, ContractLogicError, ContractPanicError

from node.testing import AsyncEthereumTesterProvider, EthereumTesterProvider, Tester
from tests.node.rpc.serving import COUNTER_INITCODE

REASON = "08c379a0" + f"{32:064x}{5:064x}" + b"never".hex().ljust(64, "0")
PANIC = "4e487b71" + f"{0x11:064x}"
CUSTOM = "82b42900"
# Returns its caller: caller push0 mstore push1 32 push0 return, put there by codecopy.
CALLER_INITCODE = "0x60088060093d393df3" + "335f5260205ff3" + "00"


@pytest.fixture(scope="module")
def tester() -> Iterator[Tester]:
    tester = Tester()
    yield tester
    tester.ledger.close()


@pytest.fixture
def w3(tester: Tester) -> Any:
    return Web3(EthereumTesterProvider(tester))


def _deployed(w3: Any, code: str) -> Any:
    sent = w3.eth.send_transaction({"from": w3.eth.accounts[0], "data": code})
    return w3.eth.get_transaction_receipt(sent)["contractAddress"]


@pytest.mark.parametrize(
    ("data", "kind", "message"),
    [
        (REASON, ContractLogicError, "execution reverted: never"),
        (PANIC, ContractPanicError, "Panic error 0x11"),
        (CUSTOM, ContractCustomError, "execution reverted: b.*x82"),
    ],
)
def test_what_fails_raises_what_either_library_raises(
    w3: Any, data: str, kind: type[Exception], message: str
) -> None:
    """The contract reverts with what it is given."""
    contract = _deployed(w3, COUNTER_INITCODE)
    request = {"from": w3.eth.accounts[0], "to": contract, "data": "0x" + data}
    for attempt in (w3.eth.call, w3.eth.estimate_gas):
        for expected in (TransactionFailed, kind):
            with pytest.raises(expected, match=message) as caught:
                attempt(request)
            assert caught.value.data == "0x" + data  # type: ignore[attr-defined]


def test_a_halt_is_a_failed_transaction_too(w3: Any) -> None:
    with pytest.raises(TransactionFailed, match="invalid opcode"):
        w3.eth.call({"data": "0xfe"})


def test_nobody_named_is_the_first_account(w3: Any, tester: Tester) -> None:
    coinbase = w3.provider.make_request("eth_coinbase", [])
    assert coinbase["result"] == tester.get_accounts()[0]
    contract = _deployed(w3, CALLER_INITCODE)
    assert w3.eth.call({"to": contract})[12:].hex() == tester.get_accounts()[0][2:].lower()


def test_the_testing_module_counts_blocks_and_travels(w3: Any, tester: Tester) -> None:
    before = w3.eth.block_number
    moment = w3.testing.snapshot()
    w3.testing.mine(3)
    assert w3.eth.block_number == before + 3
    later = w3.eth.get_block("latest")["timestamp"] + 500
    w3.testing.timeTravel(later)
    assert w3.eth.get_block("latest")["timestamp"] == later
    for _ in range(2):  # a snapshot stays
        w3.testing.revert(moment)
        assert w3.eth.block_number == before
        w3.testing.mine()
    w3.testing.reset()
    assert w3.eth.block_number == 0


def test_the_backend_tells_the_accounts_keys(tester: Tester) -> None:
    keys = tester.backend.account_keys
    addresses = [key.public_key.to_checksum_address() for key in keys]
    assert addresses == list(tester.get_accounts())


def test_the_asynchronous_provider_has_the_same_habits(tester: Tester) -> None:
    async def asked() -> None:
        w3 = AsyncWeb3(AsyncEthereumTesterProvider(tester))
        before = await w3.eth.block_number
        await w3.provider.make_request("evm_mine", [2])  # type: ignore[arg-type]
        assert await w3.eth.block_number == before + 2
        with pytest.raises(TransactionFailed, match="invalid opcode"):
            await w3.eth.call({"data": "0xfe"})  # type: ignore[typeddict-item]

    asyncio.run(asked())


def _shape(value: Any) -> Any:
    """The kinds of what is in there, by name."""
    if isinstance(value, dict):
        return {name: _shape(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_shape(item) for item in value]
    return type(value)


def _put_together(ours: Any, theirs: Any, where: str = "") -> None:
    """What eth-tester tells is told here in the same kind under the same name."""
    if isinstance(theirs, dict):
        for name in theirs.keys() - {"state_root", "total_difficulty", "reward"}:
            _put_together(ours[name], theirs[name], f"{where}.{name}")
    elif isinstance(theirs, list):
        assert isinstance(ours, list)
        assert len(ours) == len(theirs), where
        for one, other in zip(ours, theirs, strict=True):
            _put_together(one, other, where)
    else:
        assert ours is theirs, where


def _told(tester: Any) -> list[Any]:
    """What a tester tells after a transfer and a contract that logs; eth-tester or ours."""
    first, second = tester.get_accounts()[:2]
    code = "0x6009600c60003960096000f3600760006000a100"
    fields = {"from": first, "to": second, "value": 1, "gas": 21_000, "nonce": 0}
    fees = {"max_fee_per_gas": 3 * 10**9, "max_priority_fee_per_gas": 10**9}
    listed = {"access_list": ({"address": second, "storage_keys": ("0x" + "00" * 31 + "03",)},)}
    paid = tester.send_transaction({**fields, **fees, **listed, "gas": 30_000})
    made = tester.send_transaction({"from": first, "to": "", "data": code, "gas": 200_000})
    contract = tester.get_transaction_receipt(made)["contract_address"]
    watched = tester.create_log_filter(address=contract)
    blocks = tester.create_block_filter()
    called = tester.send_transaction({"from": first, "to": contract, "gas": 200_000, "value": 5})
    told = [tester.get_transaction_by_hash(each) for each in (paid, made)]
    told += [tester.get_transaction_receipt(each) for each in (paid, made, called)]
    head = tester.get_block_by_number("latest", False)
    pending = tester.get_block_by_number("pending")
    told += [head, tester.get_block_by_number(1, True), pending["number"], pending["timestamp"]]
    told += [
        tester.get_block_by_hash(head["hash"], True),
        tester.get_fee_history(2)["oldest_block"],
    ]
    told += [tester.get_logs(from_block=0, address=contract), tester.get_all_filter_logs(watched)]
    told += [tester.get_only_filter_changes(blocks), tester.get_code(contract)]
    told += [tester.call({"from": first, "to": contract}), tester.get_balance(contract)]
    told += [tester.estimate_gas({"from": first, "to": second, "value": 1})]
    told += [tester.get_storage_at(contract, "0x0"), tester.get_nonce(first)]
    tester.delete_filter(watched)
    for method, unknown in (
        (tester.get_transaction_by_hash, "0x" + "11" * 32),
        (tester.get_transaction_receipt, "0x" + "11" * 32),
        (tester.get_block_by_hash, "0x" + "11" * 32),
        (tester.get_block_by_number, 1_000),
    ):
        with pytest.raises((TransactionNotFound, BlockNotFound)):
            method(unknown)
    with pytest.raises(SnapshotNotFound):
        tester.revert_to_snapshot(77)
    with pytest.raises(ValidationError):
        tester.time_travel(head["timestamp"])
    with pytest.raises(FilterNotFound):
        tester.delete_filter(watched)
    with pytest.raises(TransactionFailed):
        tester.call({"from": first, "data": "0xfe"})
    return told


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_it_tells_what_eth_tester_tells_in_its_words() -> None:
    ours, theirs = Tester(), EthereumTester(PyEVMBackend())
    for one, other in zip(_told(ours), _told(theirs), strict=True):
        _put_together(_shape(one), _shape(other))
    ours.ledger.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_backend_in_the_ledgers_place_gives_its_accounts() -> None:
    backend = PyEVMBackend.from_mnemonic(
        "test test test test test test test test test test test junk",
        num_accounts=3,
        genesis_state_overrides={"balance": 50 * 10**18},
    )
    provider = EthereumTesterProvider(backend)
    w3 = Web3(provider)
    theirs = EthereumTester(backend)
    assert [name.lower() for name in w3.eth.accounts] == [
        name.lower() for name in theirs.get_accounts()
    ]
    first, second = w3.eth.accounts[:2]
    assert w3.eth.get_balance(second) == 50 * 10**18
    w3.eth.send_transaction({"from": first, "to": second, "value": w3.to_wei(1, "ether")})
    assert w3.eth.get_balance(second) == 51 * 10**18
    provider.ethereum_tester.reset_to_genesis()
    assert w3.eth.get_balance(second) == 50 * 10**18
    provider.ethereum_tester.ledger.close()
    with pytest.raises(TypeError, match="takes the place of eth_tester"):
        EthereumTesterProvider(theirs)
