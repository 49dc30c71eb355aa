"""The developer's accounts: transactions and messages signed by keys that the node holds.

What a request for a transaction leaves out is filled in as geth does, here and for
eth_fillTransaction, which needs no key.
"""

from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from chain.blobs import BlobSidecar, versioned_hash
from chain.crypto import secp256k1
from chain.forks import Fork
from chain.messages import personal_message_hash, typed_data_hash
from chain.transactions import (
    Checked,
    Kind,
    Transaction,
    build_transaction,
    encode_network_transaction,
)
from chain.types import ZERO_ADDRESS, Address, Hash
from chain.validation import check_unsigned
from node.rpc.blocks import next_blob_base_fee
from node.rpc.calls import Scene, scene
from node.rpc.context import Context
from node.rpc.errors import invalid_params, server_error
from node.rpc.formats import Json, data, unplaced_transaction_json
from node.rpc.gas import estimate
from node.rpc.parameters import Index
from node.rpc.pending import on_pending
from node.rpc.registry import method
from node.rpc.request_blobs import sidecar_of
from node.rpc.requests import CallRequest
from node.rpc.transactions import receipt_of


@method("eth_accounts")
async def accounts(ctx: Context) -> list[str]:
    """The addresses that this node can sign for, and those that it sends for without."""
    developer = ctx.node.developer
    impersonated = [] if developer is None else developer.impersonated()
    return [data(address) for address in dict.fromkeys((*ctx.node.accounts, *impersonated))]


@method("eth_requestAccounts", developer_only=True)
async def request_accounts(ctx: Context) -> list[str]:
    """As eth_accounts; what pages ask a wallet, which a developer's chain stands in for."""
    found: list[str] = await accounts(ctx)
    return found


@method("eth_sign")
async def sign(ctx: Context, address: Address, message: bytes) -> bytes:
    """A signature of a message in its Ethereum envelope (EIP-191): r, s, and v as 27 or 28."""
    return _signature(ctx, address, personal_message_hash(message))


@method("personal_sign")
async def personal_sign(
    ctx: Context, message: bytes, address: Address, password: str | None = None
) -> bytes:
    """As eth_sign, in the order that wallets use; the password is not needed."""
    return _signature(ctx, address, personal_message_hash(message))


@method("eth_signTypedData_v4")
def sign_typed_data(ctx: Context, address: Address, typed: Any) -> bytes:
    """A signature of typed data (EIP-712), given as an object or as its JSON text."""
    return _typed_signature(ctx, address, typed)


@method("eth_signTypedData_v3", developer_only=True)
def sign_typed_data_without_arrays(ctx: Context, address: Address, typed: Any) -> bytes:
    """As eth_signTypedData_v4, which signs what this may be asked to sign in the same way."""
    return _typed_signature(ctx, address, typed)


@method("eth_signTypedData", developer_only=True)
def sign_typed_data_as_proposed(ctx: Context, address: Address, typed: Any) -> bytes:
    """As eth_signTypedData_v4; the name that EIP-712 gives it."""
    return _typed_signature(ctx, address, typed)


def _typed_signature(ctx: Context, address: Address, typed: Any) -> bytes:
    if isinstance(typed, str):
        try:
            typed = msgspec.json.decode(typed)
        except (msgspec.DecodeError, RecursionError):
            raise invalid_params("invalid argument 1: not JSON") from None
    if not isinstance(typed, dict):
        raise invalid_params("invalid argument 1: not an object")
    return _signature(ctx, address, typed_data_hash(typed))


def _signature(ctx: Context, address: Address, digest: Hash) -> bytes:
    parity, r, s = secp256k1.sign(digest, _key(ctx, address))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes((27 + parity,))


@method("eth_signTransaction")
async def sign_only(ctx: Context, request: CallRequest) -> Json:
    """A transaction signed by one of the node's accounts, not sent. All fields must be there.

    On a developer's chain what is left out is filled in, as for eth_sendTransaction.
    """
    if ctx.node.developer is None:
        _check_whole(request)
    filled = await _filled(ctx, _with_sender(ctx, request))
    ctx.acceptance.check_fee(filled.max_fee, filled.gas)
    return _shown(_signed(ctx, filled), filled.sidecar)


def _check_whole(request: CallRequest) -> None:
    if request.gas is None:
        raise server_error("gas not specified")
    if request.gas_price is None and (request.max_fee is None or request.max_priority_fee is None):
        raise server_error("missing gasPrice or maxFeePerGas/maxPriorityFeePerGas")
    if request.nonce is None:
        raise server_error("nonce not specified")


@method("eth_fillTransaction")
async def fill_transaction(ctx: Context, request: CallRequest) -> Json:
    """A transaction with what was left out filled in: nonce, gas, fees. It is not signed."""
    filled = await _filled(ctx, request)
    return _shown(_unsigned(ctx, filled), filled.sidecar)


def _shown(transaction: Transaction, sidecar: BlobSidecar | None) -> Json:
    fields = unplaced_transaction_json(transaction)
    if sidecar is None:
        return {"raw": data(transaction.raw), "tx": fields}
    fields["blobs"] = [data(item) for item in sidecar.blobs]
    fields["commitments"] = [data(item) for item in sidecar.commitments]
    fields["proofs"] = [data(item) for item in sidecar.proofs]
    return {"raw": data(encode_network_transaction(transaction, sidecar)), "tx": fields}


@method("eth_sendTransaction")
async def send_transaction(ctx: Context, request: CallRequest) -> Hash:
    """Sign by one of the node's accounts and pool; what is left out is filled in."""
    sendable = await _sendable(ctx, request)
    async with ctx.signing:
        proved = sendable.sender in ctx.node.accounts
        checked = _proved(ctx, sendable) if proved else _unproved(ctx, sendable)
        transaction_hash = ctx.node.admit(checked)
    await ctx.node.settled(transaction_hash)
    return transaction_hash


@method("eth_resend")
async def resend(
    ctx: Context, request: CallRequest, price: int | None = None, gas: Index | None = None
) -> Hash:
    """Sign a transaction of the pool again with another gas price or limit; gives its hash."""
    if request.nonce is None:
        raise server_error("missing transaction nonce in transaction spec")
    filled = await _filled(ctx, request)
    wanted = _unsigned(ctx, filled)
    ready, queued = ctx.node.mempool.of_sender(filled.sender)
    found = {item.transaction.signing_hash for item in (*ready, *queued)}
    if wanted.signing_hash not in found:
        raise server_error(f"transaction {data(wanted.hash)} not found")
    again = replace(
        request,
        gas_price=price or request.gas_price,
        max_fee=None if price else request.max_fee,
        max_priority_fee=None if price else request.max_priority_fee,
        gas=gas or filled.gas,
    )
    sent: Hash = await send_transaction(ctx, again)
    return sent


@method("eth_sendTransactionSync", developer_only=True)
async def send_transaction_sync(ctx: Context, request: CallRequest) -> Json:
    """As eth_sendTransaction, and the receipt, waited for as by eth_sendRawTransactionSync."""
    return await receipt_of(ctx, send_transaction(ctx, request))


def _key(ctx: Context, address: Address) -> bytes:
    key = ctx.node.accounts.get(address)
    if key is None:
        raise server_error("unknown account")
    return key


def _impersonated(ctx: Context, address: Address) -> bool:
    """Whether a developer's chain sends for this account without its key."""
    developer = ctx.node.developer
    return developer is not None and developer.impersonates(address)


class _Filled(Struct, frozen=True):
    """A request with everything but its nonce settled."""

    sender: Address
    request: CallRequest
    kind: Kind
    chain_id: int
    gas: int
    max_fee: int
    tip: int
    max_blob_fee: int
    sidecar: BlobSidecar | None


async def _sendable(ctx: Context, request: CallRequest) -> _Filled:
    """As `_filled`, for a transaction that the node is to sign.

    On a developer's chain the first account sends when none is named, as on anvil.
    """
    request = _with_sender(ctx, request)
    if request.blob_hashes is not None:
        raise server_error("signing blob transactions not supported")
    if request.blobs is not None:
        raise server_error('"blobs" is not supported for this RPC method')
    filled = await _filled(ctx, request)
    ctx.acceptance.check_fee(filled.max_fee, filled.gas)
    return filled


def _with_sender(ctx: Context, request: CallRequest) -> CallRequest:
    """The request of an account that the node can send for."""
    sender = request.sender
    if sender is None:
        if ctx.node.developer is None or not ctx.node.accounts:
            raise server_error("unknown account")
        sender = next(iter(ctx.node.accounts))
        request = replace(request, sender=sender)
    if not _impersonated(ctx, sender):
        _key(ctx, sender)
    return request


async def _filled(ctx: Context, request: CallRequest) -> _Filled:
    """The transaction that a request describes, with gas and fees filled in."""
    if request.gas is None:
        ctx = await on_pending(ctx)
    where = scene(ctx, "pending")
    sidecar: BlobSidecar | None = None
    if request.blobs is not None:
        sidecar = await ctx.heavy.run(sidecar_of, request, where.fork)
        assert sidecar is not None
        hashes = tuple(versioned_hash(item) for item in sidecar.commitments)
        request = replace(request, blob_hashes=hashes)
    max_blob_fee = 0
    if request.max_blob_fee == 0:
        raise server_error("maxFeePerBlobGas, if specified, must be non-zero")
    if request.blob_hashes is not None:
        max_blob_fee = request.max_blob_fee or 2 * next_blob_base_fee(ctx)
        request = replace(request, max_blob_fee=max_blob_fee)
    kind, max_fee, tip = await _fees(ctx, request, where)
    _check_whole_request(request, where.fork)
    gas = request.gas
    if gas is None:
        asked = request
        if ctx.node.developer is None:
            asked = _with_fees(request, kind, max_fee, tip)
        gas = await ctx.heavy.run(estimate, ctx, asked, where)
    chain_id = where.block.chain_id
    if request.chain_id is not None and request.chain_id != chain_id:
        raise server_error(
            f"chainId does not match node's (have={request.chain_id}, want={chain_id})"
        )
    sender = request.sender or ZERO_ADDRESS
    return _Filled(sender, request, kind, chain_id, gas, max_fee, tip, max_blob_fee, sidecar)


def _with_fees(request: CallRequest, kind: Kind, max_fee: int, tip: int) -> CallRequest:
    if kind <= Kind.ACCESS_LIST:
        return replace(request, gas_price=max_fee)
    return replace(request, max_fee=max_fee, max_priority_fee=tip)


def _check_whole_request(request: CallRequest, fork: Fork) -> None:
    """What geth's setDefaults refuses, in its order."""
    if request.ambiguous:
        raise server_error(
            'both "data" and "input" are set and not equal. '
            'Please use "input" to pass transaction call data'
        )
    hashes = request.blob_hashes
    if hashes is not None and not hashes:
        raise server_error("need at least 1 blob for a blob transaction")
    most = fork.transaction_blobs_max
    if hashes is not None and most is not None and len(hashes) > most:
        raise server_error(f"too many blobs in transaction (have={len(hashes)}, max={most})")
    if request.to is None and hashes is not None:
        raise server_error('missing "to" in blob transaction')
    if request.to is None and not request.data:
        raise server_error("contract creation without any data provided")


async def fill_for(ctx: Context, request: CallRequest) -> "_Filled":
    """A transaction of an account that the node can send for, all but its nonce filled in."""
    return await _sendable(ctx, request)


def sign_for(ctx: Context, filled: "_Filled", nonce: int, fork: Fork) -> Checked:
    """The filled transaction with this nonce, signed or, for impersonated accounts, not."""
    key = ctx.node.accounts.get(filled.sender)
    numbered = replace(filled, request=replace(filled.request, nonce=nonce))
    transaction = _built(ctx, numbered, key)
    if key is None:
        return ctx.developer.check(transaction, filled.sender, fork)
    return Checked(transaction, filled.sender)


def _proved(ctx: Context, filled: "_Filled") -> Checked:
    """The signed transaction of one of the node's accounts: its sender need not be recovered."""
    transaction = _signed(ctx, filled)
    check_unsigned(transaction, ctx.node.next_fork(), filled.chain_id)
    return Checked(transaction, filled.sender)


def _unproved(ctx: Context, filled: "_Filled") -> Checked:
    """The transaction of an impersonated account."""
    return ctx.developer.check(_unsigned(ctx, filled), filled.sender, ctx.node.next_fork())


def _unsigned(ctx: Context, filled: _Filled) -> Transaction:
    return _built(ctx, filled, None)


def _built(ctx: Context, filled: _Filled, key: bytes | None) -> Transaction:
    """The transaction with its nonce, by default the sender's next one; signed with a key."""
    request = filled.request
    nonce = request.nonce
    if nonce is None:
        nonce = ctx.node.mempool.next_nonce(filled.sender)
    return build_transaction(
        kind=filled.kind,
        chain_id=filled.chain_id,
        nonce=nonce,
        gas_limit=filled.gas,
        max_fee=filled.max_fee,
        max_priority_fee=filled.tip,
        to=request.to,
        value=request.value or 0,
        data=request.data or b"",
        access_list=request.access_list or (),
        max_blob_fee=filled.max_blob_fee,
        blob_hashes=request.blob_hashes or (),
        authorizations=request.authorizations or (),
        private_key=key,
    )


def _signed(ctx: Context, filled: _Filled) -> Transaction:
    return _built(ctx, filled, _key(ctx, filled.sender))


async def _fees(ctx: Context, request: CallRequest, where: Scene) -> tuple[Kind, int, int]:
    """Which kind of transaction it is, its fee cap and its priority fee."""
    legacy = Kind.LEGACY if request.access_list is None else Kind.ACCESS_LIST
    # A fee of nothing is a slip where there is a base fee. Developers may want it.
    costs = where.fork.base_fee and not ctx.ledger.config.ledger.free
    strict = costs and ctx.node.developer is None
    if request.gas_price is not None:
        if request.max_fee is not None or request.max_priority_fee is not None:
            raise server_error("both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified")
        if strict and not request.gas_price:
            raise server_error("gasPrice must be non-zero after london fork")
        return legacy, request.gas_price, request.gas_price
    tip, max_fee = request.max_priority_fee, request.max_fee
    if strict and tip is not None and max_fee == 0:
        raise server_error("maxFeePerGas must be non-zero")
    if not where.fork.base_fee:
        if tip is not None or max_fee is not None:
            raise server_error(
                "maxFeePerGas and maxPriorityFeePerGas are not valid before London is active"
            )
        price = await ctx.tips.suggest(ctx)
        return legacy, price, price
    if tip is None:
        tip = await ctx.tips.suggest(ctx)
        if max_fee is not None and not strict:
            tip = min(tip, max_fee)
    if max_fee is None:
        max_fee = tip + 2 * _base_fee(ctx, where)
    if max_fee < tip:
        raise server_error(f"maxFeePerGas ({max_fee:#x}) < maxPriorityFeePerGas ({tip:#x})")
    if request.authorizations is not None:
        return Kind.SET_CODE, max_fee, tip
    return Kind.DYNAMIC_FEE if request.blob_hashes is None else Kind.BLOB, max_fee, tip


def _base_fee(ctx: Context, where: Scene) -> int:
    """What fee caps are reckoned from: the head's base fee, as in geth, or anvil's, the next."""
    if ctx.node.developer is not None:
        return where.block.base_fee
    return ctx.header(ctx.ledger.height).base_fee or 0
