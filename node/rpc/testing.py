"""testing_buildBlockV1: a block on demand, for those who make tests of clients out of blocks.

The block is built on any block whose state is there, and shown; nothing is kept. Off
unless `rpc.testing` is set. Source: the execution APIs' testing namespace.
"""

from typing import Any, Final

from chain.blobs import BlobSidecar
from chain.blocks import Header, Withdrawal
from chain.errors import Rejected
from chain.execution import BlockBuilder, Executed
from chain.forks import EXTRA_DATA_MAX
from chain.transactions import Checked, decode_network_transaction
from chain.types import ZERO_HASH, Address, Hash, Height
from chain.validation import check_sidecar, check_transaction
from node.rpc import registry
from node.rpc.calls import next_header
from node.rpc.context import Context
from node.rpc.errors import invalid_params, message_of
from node.rpc.formats import Json, data, withdrawal_json
from node.rpc.parameters import (
    BlockHash,
    parse_address,
    parse_data,
    parse_hash,
    parse_list,
    parse_uint64,
)
from node.rpc.pending import take_ready
from node.rpc.registry import method
from node.rpc.requests import parse_withdrawal

# What block builders aim at unless told otherwise; a block moves one 1024th towards it.
_GAS_LIMIT_WANTED: Final = 60_000_000
_NAME: Final = "testing_buildBlockV1"


@method(_NAME)
async def build_block(
    ctx: Context,
    parent: Hash,
    attributes: dict[str, Any],
    transactions: list[Any] | None = None,
    extra: bytes = b"",
) -> Json:
    """A block on `parent` of the given transactions, or of the pool's when there are none given."""
    if not ctx.node.settings.rpc.testing:
        raise registry.not_found(_NAME)
    header = ctx.header(ctx.height(BlockHash(parent)))
    ready = take_ready(ctx, next_header(ctx, header)) if transactions is None else None
    shown: Json = await ctx.heavy.run(_build, ctx, header, attributes, transactions, ready, extra)
    return shown


def _build(
    ctx: Context,
    parent: Header,
    attributes: dict[str, Any],
    raw: list[Any] | None,
    ready: list[Checked] | None,
    extra: bytes,
) -> Json:
    try:
        timestamp, randomness, coinbase, beacon_root, withdrawals = _parse_attributes(attributes)
        given = [parse_data(item) for item in raw or ()]
    except ValueError as error:
        raise invalid_params(str(error)) from None
    if len(extra) > EXTRA_DATA_MAX:
        raise invalid_params(f"extra data of {len(extra)} bytes, at most {EXTRA_DATA_MAX}")
    if parent.difficulty and not ctx.ledger.config.merged_after(
        ctx.ledger.total_difficulty(Height(parent.number))
    ):
        raise invalid_params("the parent needs a block with a seal after it")
    if timestamp <= parent.timestamp:
        raise invalid_params(f"timestamp {timestamp} is not after the parent's {parent.timestamp}")
    builder = BlockBuilder(
        ctx.view_at(Height(parent.number)),
        parent,
        ctx.node.machine,
        ctx.ledger.config,
        ctx.block_hash,
        timestamp=timestamp,
        coinbase=coinbase,
        gas_limit=_gas_limit(parent.gas_limit),
        randomness=randomness,
        beacon_root=beacon_root,
        withdrawals=withdrawals,
    )
    value, sidecars = 0, []
    for checked, sidecar in _checked(builder, given):
        try:
            value += _add(builder, checked)
        except Rejected as rejected:
            raise invalid_params(message_of(rejected)) from None
        if sidecar is not None:
            sidecars.append(sidecar)
    for checked in ready or ():
        try:
            value += _add(builder, checked)
        except Rejected:
            continue  # the pool's may wait for another block
    executed = builder.seal(extra_data=extra)
    return {
        "executionPayload": _payload(executed),
        "blockValue": hex(value),
        "blobsBundle": {
            "commitments": [data(item) for each in sidecars for item in each.commitments],
            "proofs": [data(item) for each in sidecars for item in each.proofs],
            "blobs": [data(item) for each in sidecars for item in each.blobs],
        },
        "executionRequests": [data(item) for item in builder.execution.requests],
        "shouldOverrideBuilder": False,
    }


def _parse_attributes(
    fields: dict[str, Any],
) -> tuple[int, Hash, Address, Hash, tuple[Withdrawal, ...]]:
    beacon_root, withdrawals = fields.get("parentBeaconBlockRoot"), fields.get("withdrawals")
    return (
        parse_uint64(fields.get("timestamp")),
        parse_hash(fields.get("prevRandao")),
        parse_address(fields.get("suggestedFeeRecipient")),
        ZERO_HASH if beacon_root is None else parse_hash(beacon_root),
        tuple(parse_withdrawal(item) for item in parse_list(withdrawals or [])),
    )


def _gas_limit(before: int) -> int:
    """As near to the wanted limit as a block may go from its parent's."""
    step = before // 1024 - 1
    return max(before - step, min(before + step, _GAS_LIMIT_WANTED))


def _checked(builder: BlockBuilder, given: list[bytes]) -> list[tuple[Checked, BlobSidecar | None]]:
    """The transactions with their senders; blobs may come beside a transaction or not."""
    execution, found = builder.execution, []
    for index, raw in enumerate(given):
        try:
            transaction, sidecar = decode_network_transaction(raw)
            if sidecar is not None:
                check_sidecar(transaction, sidecar, execution.fork)
            checked = check_transaction(transaction, execution.fork, execution.config.chain_id)
        except Rejected as rejected:
            raise invalid_params(f"transaction {index}: {message_of(rejected)}") from None
        found.append((checked, sidecar))
    return found


def _add(builder: BlockBuilder, checked: Checked) -> int:
    """Put a transaction in the block; what it pays to the coinbase, in wei."""
    result = builder.add(checked)
    return result.gas_used * (result.gas_price - builder.execution.context.base_fee)


def _payload(executed: Executed) -> Json:
    header, block = executed.block.header, executed.block
    payload: Json = {
        "parentHash": data(header.parent_hash),
        "feeRecipient": data(header.coinbase),
        "stateRoot": data(header.state_root),
        "receiptsRoot": data(header.receipts_root),
        "logsBloom": data(header.logs_bloom),
        "prevRandao": data(header.mix_hash),
        "blockNumber": hex(header.number),
        "gasLimit": hex(header.gas_limit),
        "gasUsed": hex(header.gas_used),
        "timestamp": hex(header.timestamp),
        "extraData": data(header.extra_data),
        "baseFeePerGas": hex(header.base_fee or 0),
        "blockHash": data(executed.hash),
        "transactions": [data(item.raw) for item in block.transactions],
    }
    if block.withdrawals is not None:
        payload["withdrawals"] = [withdrawal_json(item) for item in block.withdrawals]
    if header.excess_blob_gas is not None:
        payload["blobGasUsed"] = hex(header.blob_gas_used or 0)
        payload["excessBlobGas"] = hex(header.excess_blob_gas)
    return payload
