"""From a wish to a receipt: fill in what the node knows, sign, send, wait.

Transfer -> prepare -> Prepared -> sign -> Transaction -> send -> await_receipt
"""

import time
from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct

from chain.transactions import Kind, Transaction, build_transaction, with_signature
from chain.types import Address, Hash
from wallet.addresses import checksum_address
from wallet.amounts import format_amount
from wallet.client import Client, RpcRefused
from wallet.outcome import Exit, Failed
from wallet.signer import sign_hash

POLL_SECONDS_MIN: Final = 0.05
POLL_SECONDS_MAX: Final = 1.0

_PLAIN_TRANSFER_GAS: Final = 21_000
_FALLBACK_TIP: Final = 10**9  # wei per gas, for a node that suggests none


class Transfer(Struct, frozen=True):
    """What the user asked for; None is left to the node's estimates."""

    sender: Address
    to: Address | None  # None: creates a contract
    value: int  # wei
    data: bytes = b""
    gas_limit: int | None = None
    max_fee: int | None = None  # wei per gas
    tip: int | None = None  # wei per gas
    nonce: int | None = None
    chain_id: int | None = None  # when given, the node must be of this chain


class Prepared(Struct, frozen=True):
    """Every field that will be signed."""

    sender: Address
    to: Address | None
    value: int
    data: bytes
    kind: Kind
    chain_id: int
    nonce: int
    gas_limit: int
    max_fee: int
    max_priority_fee: int


def prepare(client: Client, transfer: Transfer) -> Prepared:
    """Complete `transfer` with the node's chain id, nonce, fees and gas estimate.

    The fee cap is twice the current base fee plus the tip, so that the transaction
    stays valid while the base fee rises for six full blocks. The gas limit is the
    node's estimate, plus a fifth where code runs, since state may change before it
    does. On a chain without a base fee it is a legacy transaction at the gas price.
    Failed(REFUSED) when the node belongs to another chain, or refuses the estimate.
    """
    chain_id = client.quantity("eth_chainId")
    if transfer.chain_id not in (None, chain_id):
        message = f"the node's chain id is {chain_id}, not {transfer.chain_id}"
        raise Failed(Exit.REFUSED, message, chainId=chain_id)
    sender = checksum_address(transfer.sender)
    kind, max_fee, tip = _fees(client, transfer)
    nonce = transfer.nonce
    if nonce is None:
        nonce = client.quantity("eth_getTransactionCount", sender, "pending")
    gas_limit = transfer.gas_limit
    if gas_limit is None:
        gas_limit = _estimate_gas(client, transfer)
    return Prepared(
        sender=transfer.sender,
        to=transfer.to,
        value=transfer.value,
        data=transfer.data,
        kind=kind,
        chain_id=chain_id,
        nonce=nonce,
        gas_limit=gas_limit,
        max_fee=max_fee,
        max_priority_fee=tip,
    )


def sign(prepared: Prepared, private_key: bytes) -> Transaction:
    """The signed transaction of `prepared`, ready to be sent."""
    unsigned = build_transaction(
        kind=prepared.kind,
        chain_id=prepared.chain_id,
        nonce=prepared.nonce,
        gas_limit=prepared.gas_limit,
        max_fee=prepared.max_fee,
        max_priority_fee=prepared.max_priority_fee,
        to=prepared.to,
        value=prepared.value,
        data=prepared.data,
    )
    return with_signature(unsigned, *sign_hash(unsigned.signing_hash, private_key))


def send(client: Client, transaction: Transaction) -> Hash:
    """Hand the signed transaction to the node; its hash.

    Failed(REFUSED) with the node's words, or Failed(UNREACHABLE): then it may have
    arrived all the same, so the failure carries the hash to ask for.
    """
    text = "0x" + transaction.hash.hex()
    try:
        answer = client.call("eth_sendRawTransaction", "0x" + transaction.raw.hex())
    except RpcRefused as error:
        raise refused(error, hash=text) from error
    except Failed as error:
        message = f"{error.message}; it may have arrived: chain-wallet receipt {text}"
        raise Failed(error.exit_code, message, hash=text) from error
    if answer != text:
        message = f"the node calls the transaction {str(answer)[:80]}, but its hash is {text}"
        raise Failed(Exit.UNREACHABLE, message, hash=text)
    return transaction.hash


def find_receipt(client: Client, transaction_hash: Hash) -> dict[str, Any] | None:
    """The receipt as the node's JSON, or None while there is none."""
    receipt = client.call("eth_getTransactionReceipt", "0x" + transaction_hash.hex())
    if receipt is None or (isinstance(receipt, dict) and receipt.get("blockNumber") is None):
        return None
    if not isinstance(receipt, dict):
        raise Failed(Exit.UNREACHABLE, "the node's receipt is not an object")
    return receipt


def await_receipt(
    client: Client,
    transaction_hash: Hash,
    timeout_seconds: float,
    progress: Callable[[float], None],
) -> dict[str, Any]:
    """Ask for the receipt until it is there; `progress` is told the seconds waited.

    Failed(NOT_INCLUDED) after `timeout_seconds`.
    """
    start = time.monotonic()
    pause = POLL_SECONDS_MIN
    while True:
        receipt = find_receipt(client, transaction_hash)
        if receipt is not None:
            return receipt
        waited = time.monotonic() - start
        if waited >= timeout_seconds:
            text = "0x" + transaction_hash.hex()
            message = f"no receipt after {timeout_seconds:g} s; later: chain-wallet receipt {text}"
            raise Failed(Exit.NOT_INCLUDED, message, hash=text)
        progress(waited)
        time.sleep(min(pause, timeout_seconds - waited))
        pause = min(pause * 1.5, POLL_SECONDS_MAX)


def succeeded(client: Client, receipt: dict[str, Any]) -> bool:
    """Whether the transaction's effects stand. Receipts before Byzantium do not say: True."""
    status = receipt.get("status")
    return status is None or client.integer(status, "the receipt's status") == 1


def refused(error: RpcRefused, **facts: object) -> Failed:
    """The node's refusal, with its words and code for people and scripts."""
    facts |= {"code": error.code, "method": error.method}
    if error.data is not None:
        facts["data"] = error.data
    return Failed(Exit.REFUSED, f"the node refused: {error.message}", **facts)


def _fees(client: Client, transfer: Transfer) -> tuple[Kind, int, int]:
    block = client.call("eth_getBlockByNumber", "latest", False)
    if not isinstance(block, dict):
        raise Failed(Exit.UNREACHABLE, "the node has no latest block")
    if block.get("baseFeePerGas") is None:
        price = transfer.max_fee
        if price is None:
            price = client.quantity("eth_gasPrice")
        return Kind.LEGACY, price, price
    base_fee = client.integer(block["baseFeePerGas"], "the base fee")
    tip = transfer.tip
    if tip is None:
        tip = _suggested_tip(client)
        if transfer.max_fee is not None:
            tip = min(tip, transfer.max_fee)
    max_fee = 2 * base_fee + tip if transfer.max_fee is None else transfer.max_fee
    if tip > max_fee:
        gwei = format_amount(max_fee, "gwei")
        raise Failed(Exit.USAGE, f"the tip is above the fee cap of {gwei} gwei per gas")
    return Kind.DYNAMIC_FEE, max_fee, tip


def _suggested_tip(client: Client) -> int:
    try:
        return client.quantity("eth_maxPriorityFeePerGas")
    except RpcRefused as error:
        if not error.is_unknown_method:
            raise
        return _FALLBACK_TIP


def _estimate_gas(client: Client, transfer: Transfer) -> int:
    call: dict[str, str] = {"from": checksum_address(transfer.sender), "value": hex(transfer.value)}
    if transfer.to is not None:
        call["to"] = checksum_address(transfer.to)
    if transfer.data:
        call["data"] = "0x" + transfer.data.hex()
    estimate = client.quantity("eth_estimateGas", call)
    return estimate if estimate <= _PLAIN_TRANSFER_GAS else estimate + estimate // 5
