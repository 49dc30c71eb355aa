"""The JSON shapes of blocks, transactions, receipts and logs.

Shapes follow the Ethereum execution APIs as geth answers them: quantities are hex
without leading zeros, data is hex of whole bytes.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from chain.blocks import Block, Header, Log, Receipt, Withdrawal, block_size, header_hash
from chain.crypto.keccak import keccak
from chain.forks import GAS_PER_BLOB
from chain.transactions import (
    AccessList,
    Authorization,
    Kind,
    Transaction,
    effective_gas_price,
)
from chain.transition import contract_address
from chain.types import Address, Hash

Json = dict[str, Any]


def data(value: bytes) -> str:
    return "0x" + value.hex()


def checksummed(address: Address) -> str:
    """An address in mixed case (EIP-55), as wallets show it."""
    digits = address.hex()
    marks = keccak(digits.encode()).hex()
    return "0x" + "".join(
        digit.upper() if mark >= "8" else digit for digit, mark in zip(digits, marks, strict=False)
    )


def word(value: int) -> str:
    """An integer as 32 bytes."""
    return f"0x{value:064x}"


def header_json(header: Header, block_hash: Hash) -> Json:
    """A header without what belongs to the body; what newHeads announces."""
    fields: Json = {
        "parentHash": data(header.parent_hash),
        "sha3Uncles": data(header.ommers_hash),
        "miner": data(header.coinbase),
        "stateRoot": data(header.state_root),
        "transactionsRoot": data(header.transactions_root),
        "receiptsRoot": data(header.receipts_root),
        "logsBloom": data(header.logs_bloom),
        "difficulty": hex(header.difficulty),
        "number": hex(header.number),
        "gasLimit": hex(header.gas_limit),
        "gasUsed": hex(header.gas_used),
        "timestamp": hex(header.timestamp),
        "extraData": data(header.extra_data),
        "mixHash": data(header.mix_hash),
        "nonce": data(header.nonce),
        "hash": data(block_hash),
    }
    for name, quantity in (
        ("baseFeePerGas", header.base_fee),
        ("blobGasUsed", header.blob_gas_used),
        ("excessBlobGas", header.excess_blob_gas),
    ):
        if quantity is not None:
            fields[name] = hex(quantity)
    for name, root in (
        ("withdrawalsRoot", header.withdrawals_root),
        ("parentBeaconBlockRoot", header.parent_beacon_root),
        ("requestsHash", header.requests_hash),
    ):
        if root is not None:
            fields[name] = data(root)
    return fields


def block_json(block: Block, block_hash: Hash, senders: Sequence[Address], *, full: bool) -> Json:
    """A block with its transactions: whole when `full`, else by hash."""
    fields = header_json(block.header, block_hash)
    fields["size"] = hex(block_size(block))
    if full:
        fields["transactions"] = [
            mined_transaction_json(transaction, sender, block.header, block_hash, index)
            for index, (transaction, sender) in enumerate(
                zip(block.transactions, senders, strict=True)
            )
        ]
    else:
        fields["transactions"] = [data(transaction.hash) for transaction in block.transactions]
    fields["uncles"] = [data(header_hash(ommer)) for ommer in block.ommers]
    if block.withdrawals is not None:
        fields["withdrawals"] = [withdrawal_json(item) for item in block.withdrawals]
    return fields


def ommer_json(ommer: Header) -> Json:
    """An uncle: a block without transactions."""
    fields = header_json(ommer, header_hash(ommer))
    fields["size"] = hex(block_size(Block(ommer, ())))
    fields["uncles"] = []
    return fields


def withdrawal_json(withdrawal: Withdrawal) -> Json:
    return {
        "index": hex(withdrawal.index),
        "validatorIndex": hex(withdrawal.validator_index),
        "address": data(withdrawal.address),
        "amount": hex(withdrawal.amount),
    }


def access_list_json(access_list: AccessList) -> list[Json]:
    return [
        {"address": data(address), "storageKeys": [data(key) for key in keys]}
        for address, keys in access_list
    ]


def authorization_json(authorization: Authorization) -> Json:
    return {
        "chainId": hex(authorization.chain_id),
        "address": data(authorization.address),
        "nonce": hex(authorization.nonce),
        "yParity": hex(authorization.y_parity),
        "r": hex(authorization.r),
        "s": hex(authorization.s),
    }


def transaction_json(transaction: Transaction) -> Json:
    """What a transaction says by itself, without its place in a block."""
    kind = transaction.kind
    fields: Json = {
        "type": hex(kind),
        "nonce": hex(transaction.nonce),
        "gas": hex(transaction.gas_limit),
        "gasPrice": hex(transaction.max_fee),
        "to": None if transaction.to is None else data(transaction.to),
        "value": hex(transaction.value),
        "input": data(transaction.data),
        "v": hex(transaction.v),
        "r": hex(transaction.r),
        "s": hex(transaction.s),
        "hash": data(transaction.hash),
    }
    if transaction.chain_id is not None:
        fields["chainId"] = hex(transaction.chain_id)
    if kind == Kind.LEGACY:
        return fields
    fields["yParity"] = hex(transaction.v)
    fields["accessList"] = access_list_json(transaction.access_list)
    if kind != Kind.ACCESS_LIST:
        fields["maxFeePerGas"] = hex(transaction.max_fee)
        fields["maxPriorityFeePerGas"] = hex(transaction.max_priority_fee)
    if kind == Kind.BLOB:
        fields["maxFeePerBlobGas"] = hex(transaction.max_blob_fee)
        fields["blobVersionedHashes"] = [data(item) for item in transaction.blob_hashes]
    if kind == Kind.SET_CODE:
        fields["authorizationList"] = [
            authorization_json(item) for item in transaction.authorizations
        ]
    return fields


def unplaced_transaction_json(transaction: Transaction) -> Json:
    """A transaction as it was made or is to be signed: fees that its kind has not are null."""
    fields = transaction_json(transaction)
    fees: Json = {"gasPrice": None, "maxPriorityFeePerGas": None, "maxFeePerGas": None}
    if transaction.kind <= Kind.ACCESS_LIST:
        return {**fees, **fields}
    return {**fields, "gasPrice": None}


def pending_transaction_json(transaction: Transaction, sender: Address) -> Json:
    """A transaction that is in no block yet."""
    fields = transaction_json(transaction)
    fields["from"] = data(sender)
    fields["blockHash"] = fields["blockNumber"] = fields["transactionIndex"] = None
    fields["blockTimestamp"] = None
    return fields


def mined_transaction_json(
    transaction: Transaction, sender: Address, header: Header, block_hash: Hash, index: int
) -> Json:
    """A transaction with its place in a block; the gas price is the one it really paid."""
    fields = transaction_json(transaction)
    fields["gasPrice"] = hex(effective_gas_price(transaction, header.base_fee or 0))
    fields["from"] = data(sender)
    fields["blockHash"] = data(block_hash)
    fields["blockNumber"] = hex(header.number)
    fields["blockTimestamp"] = hex(header.timestamp)
    fields["transactionIndex"] = hex(index)
    return fields


def log_json(
    log: Log,
    header: Header,
    block_hash: Hash,
    transaction_hash: Hash,
    transaction_index: int,
    log_index: int,
) -> Json:
    """A log with its place; `log_index` counts within the block."""
    return {
        "address": data(log.address),
        "topics": [data(topic) for topic in log.topics],
        "data": data(log.data),
        "blockNumber": hex(header.number),
        "transactionHash": data(transaction_hash),
        "transactionIndex": hex(transaction_index),
        "blockHash": data(block_hash),
        "blockTimestamp": hex(header.timestamp),
        "logIndex": hex(log_index),
        "removed": False,
    }


def receipts_json(
    block: Block,
    block_hash: Hash,
    senders: Sequence[Address],
    receipts: Sequence[Receipt],
    blob_base_fee: int,
) -> list[Json]:
    """The receipts of a block in order."""
    found: list[Json] = []
    log_index = gas_before = 0
    for index, (transaction, receipt) in enumerate(zip(block.transactions, receipts, strict=True)):
        found.append(
            receipt_json(
                block.header,
                block_hash,
                transaction,
                senders[index],
                receipt,
                index=index,
                log_index=log_index,
                gas_used=receipt.cumulative_gas_used - gas_before,
                blob_base_fee=blob_base_fee,
            )
        )
        log_index += len(receipt.logs)
        gas_before = receipt.cumulative_gas_used
    return found


def receipt_json(
    header: Header,
    block_hash: Hash,
    transaction: Transaction,
    sender: Address,
    receipt: Receipt,
    *,
    index: int,
    log_index: int,
    gas_used: int,
    blob_base_fee: int,
) -> Json:
    """A receipt with its place; `log_index` is its first log's within the block."""
    creates = transaction.to is None
    fields: Json = {
        "blockHash": data(block_hash),
        "blockNumber": hex(header.number),
        "transactionHash": data(transaction.hash),
        "transactionIndex": hex(index),
        "from": data(sender),
        "to": None if transaction.to is None else data(transaction.to),
        "contractAddress": (data(contract_address(sender, transaction.nonce)) if creates else None),
        "gasUsed": hex(gas_used),
        "cumulativeGasUsed": hex(receipt.cumulative_gas_used),
        "effectiveGasPrice": hex(effective_gas_price(transaction, header.base_fee or 0)),
        "logs": [
            log_json(log, header, block_hash, transaction.hash, index, log_index + offset)
            for offset, log in enumerate(receipt.logs)
        ],
        "logsBloom": data(receipt.logs_bloom),
        "type": hex(receipt.kind),
    }
    if receipt.status is None:
        fields["root"] = data(receipt.post_state or b"")
    else:
        fields["status"] = hex(receipt.status)
    if transaction.blob_hashes:
        fields["blobGasUsed"] = hex(len(transaction.blob_hashes) * GAS_PER_BLOB)
        fields["blobGasPrice"] = hex(blob_base_fee)
    return fields


def places_of_logs(
    block: Block, receipts: Iterable[Receipt]
) -> Iterator[tuple[Log, Hash, int, int]]:
    """Each log of a block with its transaction's hash and index and its own index."""
    log_index = 0
    for index, (transaction, receipt) in enumerate(zip(block.transactions, receipts, strict=True)):
        for log in receipt.logs:
            yield log, transaction.hash, index, log_index
            log_index += 1
