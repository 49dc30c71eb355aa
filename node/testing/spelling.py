"""eth-tester's spelling of what JSON-RPC says otherwise.

Names have underscores, quantities are integers, a block's proposer is its coinbase, and the input
of a transaction its data. Source: what eth-tester 0.14 gives and takes.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

_CAPITAL: Final = re.compile("[A-Z]")
_UNDERSCORE: Final = re.compile("_([a-z0-9])")
_NUMBERS: Final = frozenset(
    {
        "amount",
        "base_fee_per_blob_gas",
        "base_fee_per_gas",
        "blob_gas_price",
        "blob_gas_used",
        "block_number",
        "block_timestamp",
        "chain_id",
        "cumulative_gas_used",
        "difficulty",
        "effective_gas_price",
        "excess_blob_gas",
        "gas",
        "gas_limit",
        "gas_price",
        "gas_used",
        "index",
        "log_index",
        "logs_bloom",
        "max_fee_per_blob_gas",
        "max_fee_per_gas",
        "max_priority_fee_per_gas",
        "nonce",
        "number",
        "oldest_block",
        "r",
        "reward",
        "s",
        "size",
        "status",
        "timestamp",
        "total_difficulty",
        "transaction_index",
        "v",
        "validator_index",
        "value",
        "y_parity",
    }
)

Fields = dict[str, Any]


def spelled(value: Any, name: str = "") -> Any:
    """A result of JSON-RPC, named so where it is a part of another."""
    if isinstance(value, Mapping):
        names = {_CAPITAL.sub(lambda found: "_" + found[0].lower(), key): key for key in value}
        return {name: spelled(value[key], name) for name, key in names.items()}
    if isinstance(value, list):
        return [spelled(item, name) for item in value]
    return int(value, 16) if name in _NUMBERS and isinstance(value, str) else value


def spelled_block(block: Mapping[str, Any]) -> Fields:
    """A block, with the hashes of its transactions or all of them."""
    made: Fields = spelled({key: item for key, item in block.items() if key != "transactions"})
    made["nonce"] = block.get("nonce")  # eight bytes, and no number
    made["coinbase"] = made.pop("miner", None)
    made["transactions"] = [
        each if isinstance(each, str) else spelled_transaction(each)
        for each in block["transactions"]
    ]
    return made


def spelled_transaction(transaction: Mapping[str, Any]) -> Fields:
    made: Fields = spelled(transaction)
    made["data"] = made.pop("input")
    made["to"] = made["to"] or ""  # nobody, where a contract is made
    return made


def spelled_receipt(receipt: Mapping[str, Any]) -> Fields:
    made: Fields = spelled(receipt)
    made["to"] = made["to"] or ""
    made["logs"] = [{"type": "mined", **log} for log in made["logs"]]
    return made


def spelled_logs(found: list[Any]) -> tuple[Any, ...]:
    """What a filter has found: logs, or hashes as they are."""
    return tuple(
        {"type": "mined", **spelled(each)} if isinstance(each, Mapping) else each for each in found
    )


def asked(value: Any) -> Any:
    """What eth-tester takes - a transaction, a filter - for JSON-RPC."""
    if isinstance(value, Mapping):
        return {
            _UNDERSCORE.sub(lambda found: found[1].upper(), key): asked(item)
            for key, item in value.items()
            if item is not None and (key, item) != ("to", "")
        }
    if isinstance(value, list | tuple):
        return [asked(item) for item in value]
    return hex(value) if isinstance(value, int) and not isinstance(value, bool) else value
