"""The rules of a transaction that need no state: from `Transaction` to `Checked`.

Sources: Yellow Paper section 6.2; EIP-2, 155, 1559, 2028, 2681, 2930, 3860, 4844, 7594, 7623,
7702, 7825.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from chain.blobs import BLOB_PROOFS, CELL_PROOFS, VERSION_BYTE, BlobSidecar, check_blobs
from chain.crypto import secp256k1
from chain.crypto.secp256k1 import HALF_ORDER, ORDER, Signed
from chain.errors import Reason, Rejected
from chain.forks import NONCE_MAX, Fork
from chain.transactions import Checked, Kind, Transaction
from chain.types import WORD, Address

_GAS_LIMIT_MAX: Final = 2**64 - 1
_TOKENS_PER_NONZERO_BYTE: Final = 4  # EIP-7623
_BATCH: Final = 512  # signatures; 20 ms of native work, long beside the wait for the GIL


def intrinsic_gas(transaction: Transaction, fork: Fork) -> int:
    """Gas that the transaction costs before any code runs."""
    gas = intrinsic_gas_of_call(transaction.data, fork)
    if transaction.to is None:
        gas += fork.gas_transaction_create
        gas += fork.gas_initcode_word * ((len(transaction.data) + 31) // 32)
    for _, slots in transaction.access_list:
        gas += fork.gas_access_list_address + fork.gas_access_list_slot * len(slots)
    return gas + fork.gas_authorization * len(transaction.authorizations)


def intrinsic_gas_of_call(data: bytes, fork: Fork) -> int:
    """As `intrinsic_gas`, of a transaction that has nothing but data and whom it calls."""
    if not data:
        return fork.gas_transaction
    zeros = data.count(0)
    price = zeros * fork.gas_data_zero + (len(data) - zeros) * fork.gas_data_nonzero
    return fork.gas_transaction + price


def floor_gas(data: bytes, fork: Fork) -> int:
    """Gas that a transaction pays at least, for its data alone (EIP-7623); 0: no floor."""
    per_token = fork.gas_floor_per_token
    if not per_token:
        return 0
    zeros = data.count(0)
    tokens = zeros + _TOKENS_PER_NONZERO_BYTE * (len(data) - zeros)
    return fork.gas_transaction + per_token * tokens


def check_transaction(transaction: Transaction, fork: Fork, chain_id: int) -> Checked:
    """Prove every rule that needs no state, and find the sender. Rejected otherwise."""
    _check_rules(transaction, fork, chain_id)
    sender = secp256k1.recover(*_signed(transaction, fork))
    if sender is None:
        raise Rejected(Reason.BAD_SIGNATURE, "no key makes this signature")
    return Checked(transaction, sender)


def check_again(checked: Checked, fork: Fork, chain_id: int) -> None:
    """Prove under another fork what was proved before; the sender stays. Rejected otherwise."""
    _check_rules(checked.transaction, fork, chain_id)
    _signed(checked.transaction, fork)


def check_unsigned(transaction: Transaction, fork: Fork, chain_id: int) -> None:
    """Prove every rule of `check_transaction` but that of its signature. Rejected otherwise."""
    _check_rules(transaction, fork, chain_id)


def check_transactions(
    transactions: Sequence[Transaction], fork: Fork, chain_id: int
) -> list[Checked | Rejected]:
    """`check_transaction` of each, in order, a refusal in the place of what is refused.

    The senders are recovered in one batch of native code.
    """
    results, signed = _check_all_rules(transactions, fork, chain_id)
    _put_senders(results, transactions, secp256k1.recover_many(signed))
    return results


def check_ahead(
    transactions: Iterable[Transaction], fork: Fork, chain_id: int
) -> Iterator[Checked | Rejected]:
    """`check_transactions` as a stream: senders are recovered while the caller works.

    Other threads are some thousand transactions ahead of the results that are taken.
    """
    upcoming = iter(transactions)
    waiting: deque[tuple[list[Transaction], list[Checked | Rejected]]] = deque()

    def batches() -> Iterator[list[Signed]]:
        while part := list(islice(upcoming, _BATCH)):
            results, signed = _check_all_rules(part, fork, chain_id)
            waiting.append((part, results))
            yield signed

    for senders in secp256k1.recover_stream(batches()):
        part, results = waiting.popleft()
        _put_senders(results, part, senders)
        yield from results


def _check_all_rules(
    transactions: Sequence[Transaction], fork: Fork, chain_id: int
) -> tuple[list[Checked | Rejected], list[Signed]]:
    """Refusals in their places, `_UNSOLVED` in the others; what the others' senders follow from."""
    results: list[Checked | Rejected] = []
    signed: list[Signed] = []
    for transaction in transactions:
        try:
            _check_rules(transaction, fork, chain_id)
            signed.append(_signed(transaction, fork))
        except Rejected as error:
            results.append(error)
        else:
            results.append(_UNSOLVED)
    return results, signed


def _put_senders(
    results: list[Checked | Rejected],
    transactions: Sequence[Transaction],
    found: Iterable[Address | None],
) -> None:
    """Replace every `_UNSOLVED` by what came of its signature."""
    senders = iter(found)
    for index, result in enumerate(results):
        if result is _UNSOLVED:
            sender = next(senders)
            if sender is None:
                results[index] = Rejected(Reason.BAD_SIGNATURE, "no key makes this signature")
            else:
                results[index] = Checked(transactions[index], sender)


def check_sidecar(transaction: Transaction, sidecar: BlobSidecar | None, fork: Fork) -> None:
    """Prove that the blobs beside a transaction are those it names, in the fork's form.

    A blob transaction needs its sidecar and no other may have one: BAD_BLOB_PROOF.
    """
    if transaction.kind != Kind.BLOB:
        if sidecar is not None:
            raise Rejected(Reason.BAD_BLOB_PROOF, "blobs beside a transaction that names none")
        return
    if sidecar is None:
        raise Rejected(Reason.BAD_BLOB_PROOF, "a blob transaction without its blobs")
    version = CELL_PROOFS if fork.cell_proofs else BLOB_PROOFS
    if sidecar.version != version:
        detail = f"sidecar version {sidecar.version}, the fork has {version}"
        raise Rejected(Reason.BAD_BLOB_PROOF, detail)
    check_blobs(sidecar, transaction.blob_hashes)


def _check_rules(transaction: Transaction, fork: Fork, chain_id: int) -> None:
    """Everything but the signature."""
    kind = transaction.kind
    if kind not in fork.transaction_kinds:
        raise Rejected(Reason.TYPE_NOT_SUPPORTED, f"type {kind} in {fork.name}")
    if transaction.chain_id != chain_id and not (
        kind == Kind.LEGACY and (transaction.chain_id is None or not fork.replay_protection)
    ):
        detail = f"have {transaction.chain_id} want {chain_id}"
        raise Rejected(Reason.WRONG_CHAIN_ID, detail)
    if transaction.nonce >= NONCE_MAX:
        raise Rejected(Reason.NONCE_OVERFLOW, f"nonce {transaction.nonce}")
    _check_fees(transaction)
    _check_gas(transaction, fork)
    if transaction.value > WORD:
        raise Rejected(Reason.BAD_TRANSACTION, "the value is wider than 256 bits")
    if kind == Kind.BLOB:
        _check_blob_hashes(transaction, fork)
    elif kind == Kind.SET_CODE:
        if transaction.to is None:
            raise Rejected(Reason.AUTHORIZATION_CREATES_CONTRACT)
        if not transaction.authorizations:
            raise Rejected(Reason.NO_AUTHORIZATIONS)


def _check_fees(transaction: Transaction) -> None:
    fee, tip = transaction.max_fee, transaction.max_priority_fee
    if tip > fee:
        if tip > WORD:
            raise Rejected(Reason.FEE_OVERFLOW, "the tip is wider than 256 bits")
        raise Rejected(Reason.TIP_ABOVE_FEE_CAP, f"tip {tip}, fee cap {fee}")
    if fee * transaction.gas_limit > WORD or fee > WORD or transaction.max_blob_fee > WORD:
        raise Rejected(Reason.FEE_OVERFLOW, "what the gas may cost is wider than 256 bits")


def _check_gas(transaction: Transaction, fork: Fork) -> None:
    limit = transaction.gas_limit
    if limit > _GAS_LIMIT_MAX:
        raise Rejected(Reason.BAD_TRANSACTION, "the gas limit is wider than 64 bits")
    if fork.transaction_gas_max is not None and limit > fork.transaction_gas_max:
        raise Rejected(Reason.GAS_LIMIT_OVER_CAP, f"(cap: {fork.transaction_gas_max}, tx: {limit})")
    size_max = fork.initcode_size_max
    if size_max is not None and transaction.to is None and len(transaction.data) > size_max:
        detail = f"code size {len(transaction.data)}, limit {size_max}"
        raise Rejected(Reason.INITCODE_TOO_LARGE, detail)
    intrinsic = intrinsic_gas(transaction, fork)
    if limit < intrinsic:
        raise Rejected(Reason.INTRINSIC_GAS_TOO_LOW, f"gas {limit}, minimum needed {intrinsic}")
    floor = floor_gas(transaction.data, fork)
    if limit < floor:
        raise Rejected(Reason.FLOOR_GAS_TOO_LOW, f"gas {limit}, minimum needed {floor}")


def _check_blob_hashes(transaction: Transaction, fork: Fork) -> None:
    if transaction.to is None:
        raise Rejected(Reason.BLOB_CREATES_CONTRACT)
    hashes = transaction.blob_hashes
    if not hashes:
        raise Rejected(Reason.NO_BLOBS)
    limits = [fork.transaction_blobs_max, fork.blobs.max if fork.blobs else 0]
    most = min(limit for limit in limits if limit is not None)
    if len(hashes) > most:
        raise Rejected(Reason.TOO_MANY_BLOBS, f"{len(hashes)} > {most}")
    for index, blob_hash in enumerate(hashes):
        if len(blob_hash) != 32 or blob_hash[0] != VERSION_BYTE:
            raise Rejected(Reason.BAD_BLOB_HASH, f"blob {index}: 0x{blob_hash.hex()}")


def _signed(transaction: Transaction, fork: Fork) -> Signed:
    """What to recover the sender from. Raises BAD_SIGNATURE for scalars out of range."""
    v, r, s = transaction.v, transaction.r, transaction.s
    if transaction.kind == Kind.LEGACY:
        if transaction.chain_id is None:
            parity = v - 27
        elif fork.replay_protection:
            parity = (v - 35) & 1
        else:
            raise Rejected(Reason.BAD_SIGNATURE, f"v = {v} before replay protection")
    else:
        parity = v
    if not 0 <= parity <= 1:
        raise Rejected(Reason.BAD_SIGNATURE, f"v = {v}")
    if not (0 < r < ORDER and 0 < s <= (HALF_ORDER if fork.low_s else ORDER - 1)):
        raise Rejected(Reason.BAD_SIGNATURE, "r or s out of range")
    return transaction.signing_hash, parity, r, s


_UNSOLVED: Final = Rejected(Reason.BAD_SIGNATURE)  # holds the place of a sender not found yet
