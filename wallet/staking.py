"""What chain-wallet does with stake: the ledger's validator contract, through any node."""

from argparse import Namespace
from typing import Any, Final

from chain import staking
from chain.errors import Rejected
from chain.staking import ROWS_MAX, STAKING_ADDRESS, Row
from chain.types import ZERO_ADDRESS, Address
from wallet.addresses import checksum_address, parse_address
from wallet.amounts import format_amount, parse_amount
from wallet.client import Client
from wallet.commands import sender_key, submit, transfer_of
from wallet.console import Console
from wallet.outcome import Exit, Failed
from wallet.settings import Settings

_TITLES: Final = ("validator", "power", "stake", "status")


def stake(arguments: Namespace, settings: Settings, console: Console) -> Exit:
    """Add coins to a validator's stake, of which the sender is or becomes the owner."""
    amount = parse_amount(arguments.amount)
    other = None if arguments.instead_of is None else parse_address(arguments.instead_of)
    client, entry = Client(settings.rpc), sender_key(settings)
    validator = _validator(client, entry.address, arguments)
    data = staking.stake_call(validator, other)
    transfer = transfer_of(arguments, STAKING_ADDRESS, amount, data)
    return submit(client, entry, transfer, arguments, settings, console)


def unstake(arguments: Namespace, settings: Settings, console: Console) -> Exit:
    """Begin to take stake out; `withdraw` collects it after the unbonding."""
    everything = arguments.amount == "all"
    amount = 0 if everything else parse_amount(arguments.amount)
    client, entry = Client(settings.rpc), sender_key(settings)
    validator = _validator(client, entry.address, arguments)
    if everything:
        (row,) = _rows(client, (validator,), _height(client))
        amount = row.stake
    data = staking.unstake_call(validator, amount)
    outcome = _send(client, data, arguments, settings, console)
    if outcome is Exit.OK and not arguments.no_wait:
        # It is in no list once nothing else is left of it: this is the time to say where it is.
        (row,) = _rows(client, (validator,), _height(client))
        name = checksum_address(validator)
        console.note(f"from height {row.release} on: chain-wallet withdraw --validator {name}")
    return outcome


def withdraw(arguments: Namespace, settings: Settings, console: Console) -> Exit:
    """Collect what has unbonded."""
    client, entry = Client(settings.rpc), sender_key(settings)
    validator = _validator(client, entry.address, arguments)
    return _send(client, staking.withdraw_call(validator), arguments, settings, console)


def unjail(arguments: Namespace, settings: Settings, console: Console) -> Exit:
    """Be a candidate again after the time in jail."""
    client, entry = Client(settings.rpc), sender_key(settings)
    validator = _validator(client, entry.address, arguments)
    return _send(client, staking.unjail_call(validator), arguments, settings, console)


def list_validators(arguments: Namespace, settings: Settings, console: Console) -> Exit:
    """Everybody with stake or a seat, the most powerful first."""
    client = Client(settings.rpc)
    height = _height(client)
    rows = _rows(client, _addresses(client, height), height)
    rows.sort(key=lambda row: (-row.seat, -row.stake, row.validator))
    cells = [_TITLES, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_TITLES))]
    lines = [
        f"{line[0]:{widths[0]}}  {line[1]:>{widths[1]}}  {line[2]:>{widths[2]}}  {line[3]}"
        for line in cells
    ]
    console.result([_facts(row) for row in rows], *lines)
    return Exit.OK


def status_of(row: Row) -> str:
    """In one word: active, waiting, jailed, leaving; gone when nothing is left but unbonding.

    Who is jailed may vote until the end of the next epoch, and who waits may have a seat then.
    """
    if row.jailed_until:
        return "jailed"
    if row.voting:
        return "active" if row.seat and row.power else "leaving"
    if row.power:
        return "waiting"
    return "leaving" if row.seat else "gone"


def _cells(row: Row) -> tuple[str, ...]:
    status = status_of(row)
    if row.jailed_until:
        status += f" until height {row.jailed_until}"
    if row.unbonding:
        status += f", {format_amount(row.unbonding)} unbond at height {row.release}"
    return checksum_address(row.validator), str(row.seat), format_amount(row.stake), status


def _facts(row: Row) -> dict[str, Any]:
    return {
        "address": checksum_address(row.validator),
        "owner": None if row.owner == ZERO_ADDRESS else checksum_address(row.owner),
        "power": row.seat,
        "powerByStake": row.power,
        "stake": format_amount(row.stake),
        "stakeWei": str(row.stake),
        "status": status_of(row),
        "voting": row.voting,
        "unbondingWei": str(row.unbonding),
        "releaseHeight": row.release,
        "jailedUntil": row.jailed_until,
    }


def _send(
    client: Client, data: bytes, arguments: Namespace, settings: Settings, console: Console
) -> Exit:
    transfer = transfer_of(arguments, STAKING_ADDRESS, 0, data)
    return submit(client, sender_key(settings), transfer, arguments, settings, console)


def _validator(client: Client, sender: Address, arguments: Namespace) -> Address:
    """The validator that the command is about: the one named, or the sender's only one.

    Asking for it also proves that the ledger has the contract: coins that are sent to it on
    a ledger without would be lost.
    """
    height = _height(client)
    addresses = _addresses(client, height)
    if arguments.validator is not None:
        return parse_address(arguments.validator)
    rows = _rows(client, tuple({*addresses, sender}), height)
    owned = [row.validator for row in rows if row.owner == sender]
    if len(owned) != 1:
        message = f"{checksum_address(sender)} owns the stake of {len(owned)} validators"
        raise Failed(Exit.USAGE, f"{message}; say which one is meant: --validator ADDRESS")
    return owned[0]


def _height(client: Client) -> str:
    """The newest height: all that a command reads is of one block."""
    return hex(client.quantity("eth_blockNumber"))


def _addresses(client: Client, height: str) -> tuple[Address, ...]:
    candidates = _call(client, staking.CANDIDATES_CALL, height)
    try:
        return staking.addresses_of(candidates, _call(client, staking.SEATS_CALL, height))
    except Rejected as error:
        raise _nonsense(client, error) from error


def _rows(client: Client, validators: tuple[Address, ...], height: str) -> list[Row]:
    rows: list[Row] = []
    for start in range(0, len(validators), ROWS_MAX):
        part = validators[start : start + ROWS_MAX]
        answer = _call(client, staking.rows_call(part), height)
        try:
            found = staking.rows_of(answer)
        except Rejected as error:
            raise _nonsense(client, error) from error
        if tuple(row.validator for row in found) != part:
            raise Failed(Exit.UNREACHABLE, f"{client.url} tells about other validators than asked")
        rows += found
    return rows


def _call(client: Client, data: bytes, height: str) -> bytes:
    """What the validator contract answers. Failed(REFUSED) on a ledger without it."""
    call = {"to": checksum_address(STAKING_ADDRESS), "data": "0x" + data.hex()}
    answer = client.call("eth_call", call, height)
    if answer == "0x":
        message = "this ledger has no validator contract: its validators are those of its genesis"
        raise Failed(Exit.REFUSED, message)
    try:
        return bytes.fromhex(str(answer).removeprefix("0x"))
    except ValueError as error:
        raise Failed(Exit.UNREACHABLE, f"{client.url} answers eth_call with no bytes") from error


def _nonsense(client: Client, error: Rejected) -> Failed:
    return Failed(Exit.UNREACHABLE, f"{client.url} tells no list of validators: {error.detail}")
