"""The structured arguments of JSON-RPC: calls and overrides.

Shapes and refusals follow geth's TransactionArgs, StateOverride and BlockOverrides.
"""

from contextlib import suppress
from typing import Any, Final

from msgspec import Struct

from chain.blobs import BLOB_BYTES, COMMITMENT_BYTES, PROOF_BYTES
from chain.blocks import Withdrawal
from chain.transactions import AccessList, Authorization
from chain.types import ZERO_ADDRESS, Address, Hash
from node.rpc.errors import invalid_params
from node.rpc.parameters import (
    GoError,
    fixed_size,
    json_kind,
    parse_address,
    parse_data,
    parse_hash,
    parse_quantity,
    parse_uint64,
)
from node.rpc.structures import Structure, listed

# Of a request. Anybody can choose numbers that dictionaries have to compare one by one: so many
# take a tenth of a second.
OVERRIDDEN_SLOTS_MAX: Final = 4096


class CallRequest(Struct, frozen=True, kw_only=True):
    """A transaction as a caller describes it; None where nothing was said.

    Fees in wei per gas. `data` is `input` where that is given, else `data`; what both say may be
    `ambiguous`, which matters where something is signed.
    """

    sender: Address | None = None
    to: Address | None = None
    gas: int | None = None
    gas_price: int | None = None
    max_fee: int | None = None
    max_priority_fee: int | None = None
    value: int | None = None
    nonce: int | None = None
    data: bytes | None = None
    ambiguous: bool = False
    access_list: AccessList | None = None
    chain_id: int | None = None
    max_blob_fee: int | None = None
    blob_hashes: tuple[Hash, ...] | None = None
    blobs: tuple[bytes, ...] | None = None
    commitments: tuple[bytes, ...] | None = None
    proofs: tuple[bytes, ...] | None = None
    authorizations: tuple[Authorization, ...] | None = None


class AccountOverride(Struct, frozen=True, kw_only=True):
    """What an account is to look like for one call."""

    nonce: int | None = None
    code: bytes | None = None
    balance: int | None = None
    state: dict[int, int] | None = None  # all of its storage
    state_diff: dict[int, int] | None = None  # these slots of it
    precompile_to: Address | None = None


class StateOverrides(Struct, frozen=True):
    accounts: dict[Address, AccountOverride]


class BlockOverrides(Struct, frozen=True, kw_only=True):
    """What the block is to look like for one call; None keeps it."""

    number: int | None = None
    timestamp: int | None = None
    gas_limit: int | None = None
    coinbase: Address | None = None
    randomness: int | None = None
    base_fee: int | None = None
    blob_base_fee: int | None = None
    beacon_root: Hash | None = None  # these two in simulations only
    withdrawals: tuple[Withdrawal, ...] | None = None


_USUAL_FIELDS: Final = frozenset({"from", "to", "data", "input"})


def parse_call(value: Any) -> CallRequest:
    usual = isinstance(value, dict) and value.keys() <= _USUAL_FIELDS
    if usual:  # most calls name no more, and there are many
        with suppress(ValueError):  # which is said below
            return _parse_usual_call(value)
    fields = _CALL.read(value)
    data, payload = fields.get("data"), fields.get("input")
    return CallRequest(
        sender=fields.get("from"),
        to=fields.get("to"),
        gas=fields.get("gas"),
        gas_price=fields.get("gasPrice"),
        max_fee=fields.get("maxFeePerGas"),
        max_priority_fee=fields.get("maxPriorityFeePerGas"),
        value=fields.get("value"),
        nonce=fields.get("nonce"),
        data=data if payload is None else payload,
        ambiguous=data is not None and payload is not None and data != payload,
        access_list=fields.get("accessList"),
        chain_id=fields.get("chainId"),
        max_blob_fee=fields.get("maxFeePerBlobGas"),
        blob_hashes=fields.get("blobVersionedHashes"),
        blobs=fields.get("blobs"),
        commitments=fields.get("commitments"),
        proofs=fields.get("proofs"),
        authorizations=fields.get("authorizationList"),
    )


def _parse_usual_call(fields: dict[str, Any]) -> CallRequest:
    """A call with nothing but whom, by whom and what; ValueError where anything is wrong."""
    sender, to = fields.get("from"), fields.get("to")
    data, payload = fields.get("data"), fields.get("input")
    if payload is None:
        payload = data
    elif data is not None and data != payload:
        raise ValueError("data and input differ, if only in letters")
    return CallRequest(
        sender=None if sender is None else parse_address(sender),
        to=None if to is None else parse_address(to),
        data=None if payload is None else parse_data(payload),
    )


def _access_tuple(value: Any) -> tuple[Address, tuple[Hash, ...]]:
    fields = _ACCESS_TUPLE.read(value)
    return fields["address"], fields["storageKeys"]


def _authorization(value: Any) -> Authorization:
    fields = _AUTHORIZATION.read(value)
    return Authorization(
        chain_id=fields["chainId"],
        address=fields["address"],
        nonce=fields["nonce"],
        y_parity=fields["yParity"] & 0xFF,
        r=fields["r"],
        s=fields["s"],
    )


def _parse_word(value: Any) -> int:
    """As `parse_quantity`, for a type of its own in Go."""
    try:
        return parse_quantity(value)
    except GoError as error:
        raise GoError(error.found, "*uint256.Int") from None


_ACCESS_TUPLE: Final = Structure(
    "types.AccessTuple",
    {"address": parse_address, "storageKeys": listed("[]common.Hash", parse_hash)},
    required=("address", "storageKeys"),
    own_decoder=True,
)
_AUTHORIZATION: Final = Structure(
    "types.SetCodeAuthorization",
    {
        "chainId": _parse_word,
        "address": parse_address,
        "nonce": parse_uint64,
        "yParity": parse_uint64,
        "r": _parse_word,
        "s": _parse_word,
    },
    required=("chainId", "address", "nonce", "yParity", "r", "s"),
    own_decoder=True,
)
parse_access_list: Final = listed("types.AccessList", _access_tuple)
_CALL: Final = Structure(
    "ethapi.TransactionArgs",
    {
        "from": parse_address,
        "to": parse_address,
        "gas": parse_uint64,
        "gasPrice": parse_quantity,
        "maxFeePerGas": parse_quantity,
        "maxPriorityFeePerGas": parse_quantity,
        "value": parse_quantity,
        "nonce": parse_uint64,
        "data": parse_data,
        "input": parse_data,
        "accessList": parse_access_list,
        "chainId": parse_quantity,
        "maxFeePerBlobGas": parse_quantity,
        "blobVersionedHashes": listed("[]common.Hash", parse_hash),
        "blobs": listed("[]kzg4844.Blob", fixed_size(BLOB_BYTES, "kzg4844.Blob")),
        "commitments": listed(
            "[]kzg4844.Commitment", fixed_size(COMMITMENT_BYTES, "kzg4844.Commitment")
        ),
        "proofs": listed("[]kzg4844.Proof", fixed_size(PROOF_BYTES, "kzg4844.Proof")),
        "authorizationList": listed("[]types.SetCodeAuthorization", _authorization),
    },
)


# -- overrides -------------------------------------------------------------------------------------


def parse_state_overrides(value: Any) -> StateOverrides:
    if value is None:
        return StateOverrides({})
    if not isinstance(value, dict):
        raise GoError(json_kind(value), "override.StateOverride")
    accounts = {}
    slots = 0
    for key, item in value.items():
        override = _parse_account_override(item)
        slots += len(override.state or ()) + len(override.state_diff or ())
        _check_slots(slots)
        accounts[parse_address(key)] = override
    return StateOverrides(accounts)


def _check_slots(number: int) -> None:
    if number > OVERRIDDEN_SLOTS_MAX:
        raise invalid_params(f"too many storage slots overridden (max {OVERRIDDEN_SLOTS_MAX})")


def _parse_account_override(value: Any) -> AccountOverride:
    fields = _ACCOUNT_OVERRIDE.read(value)
    return AccountOverride(
        nonce=fields.get("nonce"),
        code=fields.get("code"),
        balance=fields.get("balance"),
        state=fields.get("state"),
        state_diff=fields.get("stateDiff"),
        precompile_to=fields.get("movePrecompileToAddress"),
    )


def _parse_slots(value: Any) -> dict[int, int]:
    if not isinstance(value, dict):
        raise GoError(json_kind(value), "map[common.Hash]common.Hash")
    _check_slots(len(value))
    slots = {}
    for key, item in value.items():
        word = int.from_bytes(parse_hash(item), "big")
        slots[int.from_bytes(parse_hash(key), "big")] = word
    return slots


_ACCOUNT_OVERRIDE: Final = Structure(
    "override.OverrideAccount",
    {
        "nonce": parse_uint64,
        "code": parse_data,
        "balance": parse_quantity,
        "state": _parse_slots,
        "stateDiff": _parse_slots,
        "movePrecompileToAddress": parse_address,
    },
)


def parse_block_overrides(value: Any) -> BlockOverrides:
    fields = _BLOCK_OVERRIDES.read(value)
    randomness = fields.get("PrevRandao", fields.get("random"))
    return BlockOverrides(
        number=fields.get("Number"),
        timestamp=fields.get("Time"),
        gas_limit=fields.get("GasLimit"),
        coinbase=fields.get("FeeRecipient", fields.get("coinbase")),
        randomness=None if randomness is None else int.from_bytes(randomness, "big"),
        base_fee=fields.get("BaseFeePerGas", fields.get("baseFee")),
        blob_base_fee=fields.get("BlobBaseFee"),
        beacon_root=fields.get("BeaconRoot"),
        withdrawals=fields.get("Withdrawals"),
    )


def parse_withdrawal(value: Any) -> Withdrawal:
    fields = _WITHDRAWAL.read(value)
    return Withdrawal(
        index=fields.get("index", 0),
        validator_index=fields.get("validatorIndex", 0),
        address=fields.get("address", ZERO_ADDRESS),
        amount=fields.get("amount", 0),
    )


_WITHDRAWAL: Final = Structure(
    "types.Withdrawal",
    {
        "index": parse_uint64,
        "validatorIndex": parse_uint64,
        "address": parse_address,
        "amount": parse_uint64,
    },
    own_decoder=True,
)
_BLOCK_OVERRIDES: Final = Structure(
    "override.BlockOverrides",
    {
        "Number": parse_quantity,
        "Difficulty": parse_quantity,  # of no effect, but refused where it is none
        "Time": parse_uint64,
        "GasLimit": parse_uint64,
        "FeeRecipient": parse_address,
        "PrevRandao": parse_hash,
        "BaseFeePerGas": parse_quantity,
        "BlobBaseFee": parse_quantity,
        "BeaconRoot": parse_hash,
        "Withdrawals": listed("types.Withdrawals", parse_withdrawal),
        # As they were called before, and are by others.
        "coinbase": parse_address,
        "random": parse_hash,
        "baseFee": parse_quantity,
    },
)
