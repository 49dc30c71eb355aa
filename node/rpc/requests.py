"""The structured arguments of JSON-RPC: calls, overrides and log filters.

Shapes and refusals follow geth's TransactionArgs, override and FilterCriteria;
unknown keys are ignored, as it ignores them.
"""

from contextlib import suppress
from typing import Any, Final

from msgspec import Struct

from chain.transactions import AccessList, Authorization
from chain.types import Address, Hash
from node.rpc.errors import invalid_params
from node.rpc.parameters import (
    BlockNumber,
    Parser,
    json_kind,
    parse_address,
    parse_block_number,
    parse_data,
    parse_hash,
    parse_list,
    parse_object,
    parse_quantity,
    parse_storage_key,
    parse_uint64,
)

TOPICS_MAX: Final = 4
# geth's limits: addresses per filter and alternatives per topic.
FILTER_ADDRESSES_MAX: Final = 1000
FILTER_ALTERNATIVES_MAX: Final = 1000
# Of a request. Anybody can choose numbers that dictionaries have to compare one by one: so many
# take a tenth of a second.
OVERRIDDEN_SLOTS_MAX: Final = 4096


class CallRequest(Struct, frozen=True, kw_only=True):
    """A transaction as a caller describes it; None where nothing was said.

    Fees in wei per gas. `data` is `input` or `data`, whichever was given.
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
    access_list: AccessList | None = None
    chain_id: int | None = None
    max_blob_fee: int | None = None
    blob_hashes: tuple[Hash, ...] | None = None
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


class LogFilter(Struct, frozen=True):
    """Which logs are wanted. An empty set of addresses or topic alternatives takes any."""

    addresses: frozenset[Address] = frozenset()
    topics: tuple[frozenset[Hash], ...] = ()
    first: BlockNumber | None = None
    last: BlockNumber | None = None
    block_hash: Hash | None = None


def _field(value: dict[str, Any], key: str, parse: Parser) -> Any:
    """The parsed value of a key, or None when it is missing or null."""
    item = value.get(key)
    if item is None:
        return None
    try:
        return parse(item)
    except ValueError as error:
        raise ValueError(f"{error} (field {key})") from None


_USUAL_FIELDS: Final = frozenset({"from", "to", "data", "input"})


def parse_call(value: Any) -> CallRequest:
    fields = parse_object(value)
    if fields.keys() <= _USUAL_FIELDS:  # most calls name no more, and there are many
        with suppress(ValueError):  # which is said below
            return _parse_usual_call(fields)
    data, payload = _field(fields, "data", parse_data), _field(fields, "input", parse_data)
    if data is not None and payload is not None and data != payload:
        raise invalid_params(
            'both "data" and "input" are set and not equal. '
            'Please use "input" to pass transaction call data'
        )
    gas_price = _field(fields, "gasPrice", parse_quantity)
    max_fee = _field(fields, "maxFeePerGas", parse_quantity)
    max_priority_fee = _field(fields, "maxPriorityFeePerGas", parse_quantity)
    return CallRequest(
        sender=_field(fields, "from", parse_address),
        to=_field(fields, "to", parse_address),
        gas=_field(fields, "gas", parse_uint64),
        gas_price=gas_price,
        max_fee=max_fee,
        max_priority_fee=max_priority_fee,
        value=_field(fields, "value", parse_quantity),
        nonce=_field(fields, "nonce", parse_uint64),
        data=data if payload is None else payload,
        access_list=_field(fields, "accessList", parse_access_list),
        chain_id=_field(fields, "chainId", parse_quantity),
        max_blob_fee=_field(fields, "maxFeePerBlobGas", parse_quantity),
        blob_hashes=_field(fields, "blobVersionedHashes", _parse_hashes),
        authorizations=_field(fields, "authorizationList", _parse_authorizations),
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


def _parse_hashes(value: Any) -> tuple[Hash, ...]:
    return tuple(parse_hash(item) for item in parse_list(value))


def parse_access_list(value: Any) -> AccessList:
    entries = []
    for item in parse_list(value):
        entry = parse_object(item)
        address = parse_address(entry.get("address"))
        keys = entry.get("storageKeys")
        entries.append((address, () if keys is None else _parse_hashes(keys)))
    return tuple(entries)


def _parse_authorizations(value: Any) -> tuple[Authorization, ...]:
    found = []
    for item in parse_list(value):
        entry = parse_object(item)
        found.append(
            Authorization(
                chain_id=_field(entry, "chainId", parse_quantity) or 0,
                address=parse_address(entry.get("address")),
                nonce=_field(entry, "nonce", parse_uint64) or 0,
                y_parity=_field(entry, "yParity", parse_uint64) or 0,
                r=_field(entry, "r", parse_quantity) or 0,
                s=_field(entry, "s", parse_quantity) or 0,
            )
        )
    return tuple(found)


def parse_state_overrides(value: Any) -> StateOverrides:
    accounts = {}
    slots = 0
    for key, item in parse_object(value).items():
        override = _parse_account_override(key, parse_object(item))
        slots += len(override.state or ()) + len(override.state_diff or ())
        _check_slots(slots)
        accounts[parse_address(key)] = override
    return StateOverrides(accounts)


def _check_slots(number: int) -> None:
    if number > OVERRIDDEN_SLOTS_MAX:
        raise invalid_params(f"too many storage slots overridden (max {OVERRIDDEN_SLOTS_MAX})")


def _parse_account_override(name: str, fields: dict[str, Any]) -> AccountOverride:
    state = _field(fields, "state", _parse_slots)
    state_diff = _field(fields, "stateDiff", _parse_slots)
    if state is not None and state_diff is not None:
        raise invalid_params(f"account {name} has both 'state' and 'stateDiff'")
    return AccountOverride(
        nonce=_field(fields, "nonce", parse_uint64),
        code=_field(fields, "code", parse_data),
        balance=_field(fields, "balance", parse_quantity),
        state=state,
        state_diff=state_diff,
        precompile_to=_field(fields, "movePrecompileToAddress", parse_address),
    )


def _parse_slots(value: Any) -> dict[int, int]:
    slots = parse_object(value)
    _check_slots(len(slots))
    return {
        parse_storage_key(key)[0]: int.from_bytes(parse_hash(word), "big")
        for key, word in slots.items()
    }


def parse_block_overrides(value: Any) -> BlockOverrides:
    fields = parse_object(value)
    for key in ("beaconRoot", "withdrawals"):
        if fields.get(key) is not None:
            raise invalid_params(f'block override "{key}" is not supported for this RPC method')
    coinbase = _field(fields, "feeRecipient", parse_address)
    randomness = _field(fields, "prevRandao", parse_hash)
    if randomness is None:
        randomness = _field(fields, "random", parse_hash)
    base_fee = _field(fields, "baseFeePerGas", parse_quantity)
    return BlockOverrides(
        number=_field(fields, "number", parse_quantity),
        timestamp=_field(fields, "time", parse_uint64),
        gas_limit=_field(fields, "gasLimit", parse_uint64),
        coinbase=_field(fields, "coinbase", parse_address) if coinbase is None else coinbase,
        randomness=None if randomness is None else int.from_bytes(randomness, "big"),
        base_fee=_field(fields, "baseFee", parse_quantity) if base_fee is None else base_fee,
        blob_base_fee=_field(fields, "blobBaseFee", parse_quantity),
    )


def parse_log_filter(value: Any) -> LogFilter:
    fields = parse_object(value)
    first = _field(fields, "fromBlock", parse_block_number)
    last = _field(fields, "toBlock", parse_block_number)
    block_hash = _field(fields, "blockHash", parse_hash)
    if block_hash is not None and (first is not None or last is not None):
        raise ValueError(
            "cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other"
        )
    topics = fields.get("topics")
    return LogFilter(
        addresses=_parse_addresses(fields.get("address")),
        topics=() if topics is None else _parse_topics(topics),
        first=first,
        last=last,
        block_hash=block_hash,
    )


def _parse_addresses(value: Any) -> frozenset[Address]:
    if value is None:
        return frozenset()
    if isinstance(value, str):
        return frozenset({_filter_address(value)})
    if not isinstance(value, list):
        raise ValueError("invalid addresses in query")
    if len(value) > FILTER_ADDRESSES_MAX:
        raise invalid_params("exceed max addresses")
    for item in value:
        if not isinstance(item, str):
            raise ValueError("non-string address at index 0")
    return frozenset(_filter_address(item) for item in value)


def _filter_address(value: str) -> Address:
    try:
        return parse_address(value)
    except ValueError as error:
        raise ValueError(f"invalid address: {error}") from None


def _parse_topics(value: Any) -> tuple[frozenset[Hash], ...]:
    if not isinstance(value, list):
        raise ValueError(f"json: cannot unmarshal {json_kind(value)} into topics")
    if len(value) > TOPICS_MAX:
        raise invalid_params("exceed max topics")
    topics = []
    for item in value:
        match item:
            case None:
                topics.append(frozenset[Hash]())
            case str():
                topics.append(frozenset({_topic(item)}))
            case list() if None in item:
                topics.append(frozenset[Hash]())  # null among the alternatives takes any
            case list() if len(item) > FILTER_ALTERNATIVES_MAX:
                raise invalid_params("exceed max topics")
            case list():
                topics.append(frozenset(_topic(one) for one in item))
            case _:
                raise ValueError("invalid topic(s)")
    return tuple(topics)


def _topic(value: Any) -> Hash:
    if not isinstance(value, str):
        raise ValueError("invalid topic(s)")
    return parse_hash(value)
