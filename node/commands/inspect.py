"""`chain-node inspect`: what a stopped node's data folder holds."""

import argparse
import json
from pathlib import Path
from typing import Any

from chain.crypto.secp256k1 import address_of
from chain.errors import Reason, Rejected
from chain.ledger import Ledger
from chain.types import Height
from chain.validators import (
    Domain,
    Validator,
    ValidatorSet,
    check_certificate,
    decode_certificate,
    decode_record,
    validator_set,
)
from node import identity, keys
from node.consensus.epochs import Epochs
from node.consensus.log_file import MemoryFile
from node.consensus.vote_log import VoteLog
from node.datadir import VOTES, open_ledger

Json = dict[str, Any]


def inspect(folder: Path, height: int | None = None) -> Json:
    """Everything about a folder, as JSON values; `height` is whose certificate is shown.

    Opens the ledger, which checks its head. Rejected: DATADIR_IN_USE, WRONG_SCHEMA,
    UNKNOWN_BLOCK, BAD_GENESIS when there is no ledger.
    """
    ledger = open_ledger(folder, None)
    try:
        shown = ledger.height if height is None else height
        if not 0 <= shown <= ledger.height:
            raise Rejected(Reason.UNKNOWN_BLOCK, f"height {shown}; the head is {ledger.height}")
        head, stats = ledger.head, ledger.stats()
        return {
            "folder": str(folder),
            "chain_id": ledger.config.chain_id,
            "genesis": _hex(ledger.genesis_hash),
            "height": ledger.height,
            "head": _hex(ledger.head_hash),
            "timestamp": head.timestamp,
            "state_root": _hex(head.state_root),
            "oldest_state": ledger.oldest_state,
            "transactions": stats.transactions,
            "accounts": stats.accounts,
            "slots": stats.slots,
            "codes": stats.codes,
            "bytes": stats.bytes_stored,
            "consensus": _consensus(ledger),
            "finality": finality(ledger, Height(shown)),
            "keys": _keys(folder),
            "votes": votes(folder),
        }
    finally:
        ledger.close()


def _consensus(ledger: Ledger) -> Json | None:
    """The epoch of the next block and its validators; None where the genesis names none."""
    epochs = epochs_of(ledger)
    if epochs is None:
        return None
    epoch = epochs.of_height(ledger.height + 1)
    members = epochs.set_of(epoch)
    return {
        "epoch": epoch,
        "last_height": epochs.last_height(epoch),
        "validators": [] if members is None else _members(members),
    }


def epochs_of(ledger: Ledger) -> Epochs | None:
    """Who validates which heights; None where the genesis names nobody."""
    named = ledger.config.ledger.validators
    if not named:
        return None
    return Epochs(ledger, validator_set([Validator(item.address, item.power) for item in named]))


def _members(members: ValidatorSet) -> list[Json]:
    return [
        {"address": _hex(member.address), "power": member.power} for member in members.validators
    ]


def finality(ledger: Ledger, height: Height) -> Json:
    """The record and the certificate that a block was committed with."""
    found: Json = {"height": height, "hash": _hex(ledger.hash_at(height))}
    raw_record, raw_certificate = ledger.record(height), ledger.certificate(height)
    if raw_record:
        record = decode_record(raw_record)
        found["epoch"], found["view"] = record.epoch, record.view
        found["timestamp_ms"] = record.timestamp_ms
        found["proposer"] = _hex(record.proposer)
    if raw_certificate:
        certificate = decode_certificate(raw_certificate)
        found["certificate"] = kind = certificate.ballot.kind.name.lower()
        found["certificate_view"] = certificate.ballot.view
        epochs = epochs_of(ledger)
        members = epochs.set_of(epochs.of_height(height)) if epochs is not None else None
        if members is not None:
            bitmap = int.from_bytes(certificate.signers, "little")
            signers = [
                member for index, member in enumerate(members.validators) if bitmap >> index & 1
            ]
            found["signers"] = [_hex(member.address) for member in signers]
            found["signed_power"] = sum(member.power for member in signers)
            found["total_power"] = members.total_power
            domain = Domain(ledger.config.chain_id, ledger.genesis_hash)
            try:
                check_certificate(certificate, members, domain)
                found["valid"] = True
            except Rejected as rejected:
                found["valid"] = False
                found["why_not"] = f"{kind}: {rejected}"
    return found


def _keys(folder: Path) -> Json:
    validator = identity.load_validator_key(folder)
    node = folder / identity.NODE_KEY
    return {
        "validator": None if validator is None else _hex(address_of(validator)),
        "node": address_of(keys.load_key(node)).hex() if node.exists() else None,
    }


def votes(folder: Path) -> Json | None:
    """What the vote log remembers; None when there is none."""
    path = folder / VOTES
    if not path.exists():
        return None
    copy = MemoryFile()  # reading a log cuts off a torn tail, which is for the node to do
    copy.replace(path.read_bytes())
    log = VoteLog(copy)
    try:
        kinds: dict[str, int] = {}
        for vote in log.votes:
            name = vote.ballot.kind.name.lower()
            kinds[name] = kinds.get(name, 0) + 1
        last = max(((vote.ballot.epoch, vote.ballot.view) for vote in log.votes), default=None)
        return {
            "floor": {"epoch": log.floor[0], "view": log.floor[1]},
            "above_floor": kinds,
            "last": None if last is None else {"epoch": last[0], "view": last[1]},
            "proposals": len(log.proposals),
            "certificates": len(log.certificates),
            "bytes": path.stat().st_size,
        }
    finally:
        log.close()


def _hex(value: bytes) -> str:
    return "0x" + value.hex()


def lines(found: Json, indent: str = "") -> list[str]:
    """The same for people: a name and a value per line."""
    width = max((len(name) for name in found), default=0)
    shown = []
    for name, value in found.items():
        title = f"{indent}{name.replace('_', ' '):<{width}}"
        match value:
            case dict() if value:
                shown += [title.rstrip(), *lines(value, indent + "  ")]
            case list() if value:
                shown.append(title.rstrip())
                shown += [f"{indent}  {_flat(item)}" for item in value]
            case _:
                shown.append(f"{title}  {'none' if value in (None, {}, []) else value}")
    return shown


def _flat(item: object) -> str:
    if isinstance(item, dict):
        return "  ".join(f"{name} {value}" for name, value in item.items())
    return str(item)


# -- the command -----------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `chain-node inspect`."""
    add = parser.add_argument
    add("--datadir", required=True, metavar="D", help="data folder of a node that is stopped")
    add("--height", type=int, metavar="N", help="whose certificate to show [the head]")
    add("--json", action="store_true", help="print JSON")


def run_inspect(arguments: argparse.Namespace) -> int:
    """Run the command; gives the exit status. Raises `Rejected` and `Fault`."""
    found = inspect(Path(arguments.datadir), arguments.height)
    print(json.dumps(found, indent=2) if arguments.json else "\n".join(lines(found)))
    return 0
