"""A block's header out of the JSON in which servers tell it."""

from typing import Any

from chain.blocks import EMPTY_BLOOM, Header
from chain.records import StoredHeader
from chain.types import (
    EMPTY_OMMERS_HASH,
    EMPTY_ROOT,
    ZERO_ADDRESS,
    ZERO_HASH,
    Address,
    Hash,
)


def parse_header(block: dict[str, Any]) -> StoredHeader:
    """The header, under the hash that the source gives it. ValueError when it makes no sense.

    Ledgers of other kinds leave fields out; those stand as they do in an empty block. What
    fields they have beyond Ethereum's is not kept, so that the hash need not be the header's.
    """

    def number(name: str, size: int = 8) -> int | None:
        value = block.get(name)
        if value is None:
            return None
        found = int(value, 16) if isinstance(value, str) else -1
        if not 0 <= found < 1 << 8 * size:
            raise ValueError(f"{name} is {value!r:.80}")
        return found

    def fixed(name: str, size: int) -> bytes | None:
        value = block.get(name)
        if value is None:
            return None
        found = bytes.fromhex(value.removeprefix("0x")) if isinstance(value, str) else b""
        if len(found) != size:
            raise ValueError(f"{name} is {value!r:.80}")
        return found

    def digest(name: str) -> Hash | None:
        found = fixed(name, 32)
        return None if found is None else Hash(found)

    height, own = number("number"), digest("hash")
    gas_limit, timestamp = number("gasLimit"), number("timestamp")
    if height is None or own is None or gas_limit is None or timestamp is None:
        raise ValueError("number, hash, gasLimit or timestamp is missing")
    extra = block.get("extraData") or "0x"
    if not isinstance(extra, str):
        raise ValueError(f"extraData is {extra!r:.80}")
    difficulty = number("difficulty", 32) or 0
    header = Header(
        parent_hash=digest("parentHash") or ZERO_HASH,
        ommers_hash=digest("sha3Uncles") or EMPTY_OMMERS_HASH,
        coinbase=Address(fixed("miner", 20) or ZERO_ADDRESS),
        state_root=digest("stateRoot") or EMPTY_ROOT,
        transactions_root=digest("transactionsRoot") or EMPTY_ROOT,
        receipts_root=digest("receiptsRoot") or EMPTY_ROOT,
        logs_bloom=fixed("logsBloom", 256) or EMPTY_BLOOM,
        difficulty=difficulty,
        number=height,
        gas_limit=min(gas_limit, 2**63 - 1),
        gas_used=number("gasUsed") or 0,
        timestamp=timestamp,
        extra_data=bytes.fromhex(extra.removeprefix("0x")),
        mix_hash=digest("mixHash") or ZERO_HASH,
        nonce=fixed("nonce", 8) or bytes(8),
        **_newer(
            base_fee=number("baseFeePerGas", 32),
            withdrawals_root=digest("withdrawalsRoot"),
            blob_gas_used=number("blobGasUsed"),
            excess_blob_gas=number("excessBlobGas"),
            parent_beacon_root=digest("parentBeaconBlockRoot"),
            requests_hash=digest("requestsHash"),
        ),
    )
    return StoredHeader(header, own, number("totalDifficulty", 32) or 0)


def _newer(**fields: Any) -> dict[str, Any]:
    """The fields up to the first that is missing, for a header has none behind it."""
    found: dict[str, Any] = {}
    for name, value in fields.items():
        if value is None:
            break
        found[name] = value
    return found
