"""Our own section of a genesis, `config.ledger`: what Ethereum's configuration has no word for.

Every node of a ledger must share these rules, so a name that is not known here is refused:
a node that passed over a misspelt rule would leave the others. docs/genesis.md explains them.
"""

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from chain.json_values import Key
from chain.types import ZERO_ADDRESS, Address
from chain.validators import POWER_MAX, VALIDATORS_MAX

MILLISECONDS_MAX: Final = 24 * 3600 * 1000  # of an interval or a heartbeat
ALLOWED_MAX: Final = 65_536  # addresses in an allow list
HEIGHTS_MAX: Final = 2**48  # of an epoch, an age, a wait


class GenesisValidator(Struct, frozen=True):
    """A validator of the first epoch."""

    address: Address  # of the key that it signs votes with
    power: int


class LedgerRules(Struct, frozen=True):
    """The section's values; an absent section is the same as an empty one."""

    validators: tuple[GenesisValidator, ...] = ()
    block_interval_ms: int = 0  # the least time between blocks; 0: none
    empty_blocks: bool = True  # whether blocks without transactions are built at the interval
    heartbeat_ms: int = 60_000  # without empty blocks, one after so much quiet; 0: never
    epoch_length: int = 0  # heights of an epoch; 0: one epoch for ever
    free: bool = False  # the base fee is 0 for ever, so that a price of 0 is enough
    fee_recipient: Address | None = None  # earns base fee and tips; None: burnt, tips to proposer
    allowed_senders: tuple[Address, ...] = ()  # who may send transactions; empty: everybody
    allowed_nodes: tuple[Address, ...] = ()  # node keys that may connect; empty: all
    evidence_age: int = 100_000  # heights after which an offence is no longer punished
    unbonding: int = 200_000  # heights between unstaking and withdrawing


_DEFAULT: Final = LedgerRules()
_NAMES: Final = {
    "validators": "validators",
    "block_interval_ms": "blockIntervalMs",
    "empty_blocks": "emptyBlocks",
    "heartbeat_ms": "heartbeatMs",
    "epoch_length": "epochLength",
    "free": "free",
    "fee_recipient": "feeRecipient",
    "allowed_senders": "allowedSenders",
    "allowed_nodes": "allowedNodes",
    "evidence_age": "evidenceAge",
    "unbonding": "unbonding",
}


def parse_ledger_rules(key: Key) -> LedgerRules:
    """The rules that `config.ledger` states; raises BAD_GENESIS naming the key.

    Absent keys take their defaults; `unbonding` by default is twice `evidenceAge`.
    """
    known = _NAMES.values()
    for entry in key.entries():
        if entry.name not in known:
            raise entry.refuse(f"no such rule; there are {', '.join(known)}")

    def number(name: str, default: int, largest: int) -> int:
        found = key.optional(name)
        return default if found is None else found.integer(8, largest=largest)

    def flag(name: str, default: bool) -> bool:
        found = key.optional(name)
        return default if found is None else found.boolean()

    evidence_age = number("evidenceAge", _DEFAULT.evidence_age, HEIGHTS_MAX)
    unbonding = number("unbonding", 2 * evidence_age, 2 * HEIGHTS_MAX)
    if (found := key.optional("unbonding")) is not None and unbonding <= evidence_age:
        raise found.refuse(
            f"{unbonding} heights must be more than the evidenceAge of {evidence_age}: "
            "otherwise stake is gone before its owner's offence can be punished"
        )
    if (found := key.optional("evidenceAge")) is not None and not evidence_age:
        raise found.refuse("must not be 0: no offence would ever be punished")
    recipient = key.optional("feeRecipient")
    return LedgerRules(
        validators=_parse_validators(key),
        block_interval_ms=number("blockIntervalMs", _DEFAULT.block_interval_ms, MILLISECONDS_MAX),
        empty_blocks=flag("emptyBlocks", _DEFAULT.empty_blocks),
        heartbeat_ms=number("heartbeatMs", _DEFAULT.heartbeat_ms, MILLISECONDS_MAX),
        epoch_length=number("epochLength", _DEFAULT.epoch_length, HEIGHTS_MAX),
        free=flag("free", _DEFAULT.free),
        fee_recipient=Address(recipient.fixed(20)) if recipient is not None else None,
        allowed_senders=_parse_allowed(key, "allowedSenders"),
        allowed_nodes=_parse_allowed(key, "allowedNodes"),
        evidence_age=evidence_age,
        unbonding=unbonding,
    )


def _parse_validators(key: Key) -> tuple[GenesisValidator, ...]:
    entries = key.optional("validators")
    if entries is None:
        return ()
    validators: list[GenesisValidator] = []
    seen: set[Address] = set()
    total = 0
    for entry in entries.elements():
        for member in entry.entries():
            if member.name not in ("address", "power"):
                raise member.refuse("a validator has address and power")
        power, place = entry.required("power"), entry.required("address")
        validator = GenesisValidator(Address(place.fixed(20)), power.integer(8))
        if not validator.power:
            raise power.refuse("must not be 0")
        if validator.address == ZERO_ADDRESS:
            raise place.refuse("nobody has the key of this address")
        if validator.address in seen:
            raise entry.refuse("the address stands there twice")
        total += validator.power
        if total > POWER_MAX:
            raise power.refuse(f"all powers together are more than {POWER_MAX}")
        if len(validators) == VALIDATORS_MAX:
            raise entry.refuse(f"there may be {VALIDATORS_MAX} validators")
        seen.add(validator.address)
        validators.append(validator)
    return tuple(validators)


def _parse_allowed(key: Key, name: str) -> tuple[Address, ...]:
    """An allow list. An empty one is refused: it could be meant to allow nobody."""
    entries = key.optional(name)
    if entries is None:
        return ()
    found: dict[Address, None] = {}
    for entry in entries.elements():
        address = Address(entry.fixed(20))
        if address in found:
            raise entry.refuse("the address stands there twice")
        if len(found) == ALLOWED_MAX:
            raise entry.refuse(f"there may be {ALLOWED_MAX} addresses")
        found[address] = None
    if not found:
        raise entries.refuse("must not be empty; leave it out to allow everybody")
    return tuple(found)


def ledger_json(rules: LedgerRules) -> dict[str, object]:
    """The section that `parse_ledger_rules` reads as `rules`: every rule, defaults included."""
    return dict(_members(rules))


def _members(rules: LedgerRules) -> Iterator[tuple[str, object]]:
    for field, name in _NAMES.items():
        value = getattr(rules, field)
        if field == "validators":
            if value:
                yield (
                    name,
                    [{"address": "0x" + item.address.hex(), "power": item.power} for item in value],
                )
        elif isinstance(value, tuple):
            if value:
                yield name, ["0x" + address.hex() for address in value]
        elif isinstance(value, bytes):
            yield name, "0x" + value.hex()
        elif value is not None:
            yield name, value
