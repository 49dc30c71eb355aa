"""What a tester tells when it is asked for all that it has: eth-tester's, or ours.

    python -m tests.node.testing.telling

says of what kinds eth-tester's answers are.
"""

import json
from typing import Any

import pytest
from eth_tester.exceptions import (
    BlockNotFound,
    FilterNotFound,
    SnapshotNotFound,
    TransactionFailed,
    TransactionNotFound,
    ValidationError,
)


def shape(value: Any) -> Any:
    """The kinds of what is in there, by name."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [shape(item) for item in value]
    return type(value).__name__


def put_together(ours: Any, theirs: Any, where: str = "") -> None:
    """What eth-tester tells is told here in the same kind under the same name."""
    if isinstance(theirs, dict):
        for name in theirs.keys() - {"state_root", "total_difficulty", "reward"}:
            put_together(ours[name], theirs[name], f"{where}.{name}")
    elif isinstance(theirs, list):
        assert isinstance(ours, list)
        assert len(ours) == len(theirs), where
        for one, other in zip(ours, theirs, strict=True):
            put_together(one, other, where)
    else:
        assert ours == theirs, where


def what_is_told(tester: Any) -> list[Any]:
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


if __name__ == "__main__":
    from eth_tester import EthereumTester, PyEVMBackend

    print(json.dumps(shape(what_is_told(EthereumTester(PyEVMBackend())))))
