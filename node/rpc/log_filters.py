"""Which logs are wanted: the filters of eth_getLogs, eth_newFilter and eth_subscribe.

Shape and refusals follow geth's FilterCriteria.
"""

from typing import Any, Final

from msgspec import Struct

from chain.types import Address, Hash
from node.rpc.errors import invalid_params, server_error
from node.rpc.parameters import (
    BlockNumber,
    GoError,
    json_kind,
    parse_block_number,
    parse_data,
    parse_hash,
)
from node.rpc.structures import Structure

TOPICS_MAX: Final = 4
# geth's limits: addresses per filter and alternatives per topic.
FILTER_ADDRESSES_MAX: Final = 1000
FILTER_ALTERNATIVES_MAX: Final = 1000


class LogFilter(Struct, frozen=True):
    """Which logs are wanted. An empty set of addresses or topic alternatives takes any."""

    addresses: frozenset[Address] = frozenset()
    topics: tuple[frozenset[Hash], ...] = ()
    first: BlockNumber | None = None
    last: BlockNumber | None = None
    block_hash: Hash | None = None


def parse_log_filter(value: Any) -> LogFilter:
    fields = _FILTER.read(value)
    first, last = fields.get("fromBlock"), fields.get("toBlock")
    block_hash = fields.get("blockHash")
    if block_hash is not None and (first is not None or last is not None):
        raise ValueError(
            "cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other"
        )
    return LogFilter(
        addresses=_addresses(fields.get("address")),
        topics=_topics(fields.get("topics", [])),
        first=first,
        last=last,
        block_hash=block_hash,
    )


def check_bounds(wanted: LogFilter) -> None:
    """RpcError (-32602) for bounds between which no news can come, as in geth."""
    if "pending" in (wanted.first, wanted.last):
        raise invalid_params("pending logs are not supported")
    first, last = (0 if bound == "earliest" else bound for bound in (wanted.first, wanted.last))
    # Before a height there is nothing to watch from the head on.
    from_head = first in (None, "latest") and wanted.block_hash is None
    if isinstance(last, int) and (from_head or (isinstance(first, int) and first > last)):
        raise invalid_params("invalid block range params")


def is_within(wanted: LogFilter, height: int) -> bool:
    """Whether a new block is between a filter's bounds, as far as they are heights."""
    return (not isinstance(wanted.first, int) or wanted.first <= height) and (
        not isinstance(wanted.last, int) or height <= wanted.last
    )


def _addresses(value: Any) -> frozenset[Address]:
    if value is None:
        return frozenset()
    if isinstance(value, str):
        return frozenset({_address(value, "")})
    if not isinstance(value, list):
        raise ValueError("invalid addresses in query")
    if len(value) > FILTER_ADDRESSES_MAX:
        raise server_error(_TOO_MANY_PLACES)
    found = []
    for index, item in enumerate(value):
        if not isinstance(item, str):
            raise ValueError(f"non-string address at index {index}")
        found.append(_address(item, f" at index {index}"))
    return frozenset(found)


def _address(value: str, where: str) -> Address:
    try:
        return Address(_sized(value, 20, "address"))
    except ValueError as error:
        raise ValueError(f"invalid address{where}: {error}") from None


def _topics(value: list[Any]) -> tuple[frozenset[Hash], ...]:
    if len(value) > TOPICS_MAX:
        raise ValueError("exceed max topics")
    topics = []
    for item in value:
        match item:
            case None:
                topics.append(frozenset[Hash]())
            case str():
                topics.append(frozenset({_topic(item)}))
            case list() if len(item) > FILTER_ALTERNATIVES_MAX:
                raise ValueError("exceed max topics")
            case list():
                alternatives = [None if one is None else _topic(one) for one in _up_to_null(item)]
                taken = frozenset(one for one in alternatives if one is not None)
                topics.append(frozenset[Hash]() if None in alternatives else taken)
            case _:
                raise ValueError("invalid topic(s)")
    return tuple(topics)


def _up_to_null(items: list[Any]) -> list[Any]:
    """The items up to a null, which takes any topic: what follows it is not read."""
    return items[: items.index(None) + 1] if None in items else items


def _topic(value: Any) -> Hash:
    if not isinstance(value, str):
        raise ValueError("invalid topic(s)")
    return Hash(_sized(value, 32, "topic"))


def _sized(value: str, size: int, what: str) -> bytes:
    if not value:
        raise ValueError("empty hex string")
    try:
        data = parse_data(value)
    except GoError as error:
        raise ValueError(error.found) from None
    if len(data) != size:
        raise ValueError(
            f"hex has invalid length {len(data)} after decoding; expected {size} for {what}"
        )
    return data


def _interfaces(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise GoError(json_kind(value), "[]interface {}")
    return value


_TOO_MANY_PLACES: Final = "exceed max addresses or topics per search position"
_FILTER: Final = Structure(
    "filters.input",
    {
        "blockHash": parse_hash,
        "fromBlock": parse_block_number,
        "toBlock": parse_block_number,
        "address": lambda value: value,
        "topics": _interfaces,
    },
    own_decoder=True,
)
