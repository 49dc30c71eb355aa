"""ledger_: who agrees on blocks, how far they are, and the proof that a block is final.

Docs: docs/protocol/consensus.md. What is answered about a block suffices to verify its
finality without trusting this node: raw header, record, certificate, and the headers up to
the block that the certificate names.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from chain.blocks import encode_header
from chain.types import Address, Height
from chain.validators import (
    Certificate,
    ConsensusRecord,
    Domain,
    ValidatorSet,
    decode_certificate,
    decode_record,
)
from node.rpc.context import Context
from node.rpc.errors import server_error
from node.rpc.formats import Json, data
from node.rpc.parameters import BlockTag
from node.rpc.registry import method

# How far above a block its certificate is looked for; nearly every block has its own.
_DESCENDANTS_MAX: Final = 256


class ConsensusView(Protocol):
    """What a node knows of the agreement that it takes part in, or only follows."""

    @property
    def validator(self) -> Address | None:
        """Whose key signs here; None: nobody's."""
        ...

    @property
    def epoch(self) -> int: ...

    @property
    def view(self) -> int: ...

    @property
    def leader(self) -> Address:
        """Who proposes in the view."""
        ...

    @property
    def finality_ms(self) -> Sequence[int]:
        """Of the last blocks, from a block's own time to its commit here; oldest first."""
        ...

    def missing(self) -> Mapping[Address, int]:
        """Members that were not heard lately, with the last view that they were heard in."""
        ...

    def epoch_of(self, height: int) -> int:
        """The epoch of the block at a height from 1 on."""
        ...

    def last_height(self, epoch: int) -> int | None:
        """Where an epoch ends; None when it never does."""
        ...

    def validators(self, epoch: int) -> ValidatorSet | None:
        """The members of an epoch; None while they are not decided."""
        ...


def _consensus(ctx: Context) -> ConsensusView:
    view: ConsensusView | None = ctx.node.consensus
    if view is None:
        raise server_error("this ledger has no validators: it only serves what was imported")
    return view


def _members(view: ConsensusView, epoch: int) -> ValidatorSet:
    members = view.validators(epoch)
    if members is None:
        raise server_error(f"the validators of epoch {epoch} are not decided yet")
    return members


@method("ledger_validators")
async def ledger_validators(ctx: Context, block: BlockTag = "latest") -> Json:
    """The validators that decide on the child of a block, with their powers."""
    view = _consensus(ctx)
    epoch = view.epoch_of(ctx.height(block) + 1)
    members = _members(view, epoch)
    first = (view.last_height(epoch - 1) or 0) + 1 if epoch else 1
    last = view.last_height(epoch)
    return {
        "epoch": hex(epoch),
        "firstHeight": hex(first),
        "lastHeight": None if last is None else hex(last),
        "hash": data(members.hash),
        "totalPower": hex(members.total_power),
        "quorumPower": hex(2 * members.total_power // 3 + 1),
        "validators": [
            {"address": data(member.address), "power": hex(member.power)}
            for member in members.validators
        ],
    }


@method("ledger_consensusStatus")
async def consensus_status(ctx: Context) -> Json:
    """Epoch, view, leader, final block, who is missing, and how fast blocks become final."""
    view = _consensus(ctx)
    members = _members(view, view.epoch)
    powers = {member.address: member.power for member in members.validators}
    silent = {address: last for address, last in view.missing().items() if address in powers}
    latencies = list(view.finality_ms)
    ordered = sorted(latencies)
    last_height = view.last_height(view.epoch)
    height = ctx.ledger.height
    return {
        "epoch": hex(view.epoch),
        "view": hex(view.view),
        "leader": data(view.leader),
        "validator": None if view.validator is None else data(view.validator),
        "height": hex(height),
        "hash": data(ctx.ledger.hash_at(height)),
        "timestamp": hex(ctx.header(height).timestamp),
        "epochLastHeight": None if last_height is None else hex(last_height),
        "validators": hex(len(powers)),
        "totalPower": hex(members.total_power),
        "missing": [
            {
                "address": data(address),
                "power": hex(powers[address]),
                "lastView": hex(last),
            }
            for address, last in sorted(silent.items())
        ],
        "missingPower": hex(sum(powers[address] for address in silent)),
        "finalityMs": _milliseconds(latencies, -1),
        "finalityMsP50": _milliseconds(ordered, (len(ordered) - 1) // 2),
        "finalityMsP99": _milliseconds(ordered, (len(ordered) - 1) * 99 // 100),
    }


def _milliseconds(latencies: Sequence[int], place: int) -> str | None:
    return hex(max(latencies[place], 0)) if latencies else None


@method("ledger_finality")
async def finality(ctx: Context, block: BlockTag) -> Json | None:
    """The proof that a block is final: record, certificate, and the headers between them."""
    height = ctx.find(block)
    if height is None:
        return None
    ledger = ctx.ledger
    raw_record = ledger.record(height)
    if not raw_record:
        return None  # genesis, or imported: nobody voted on it
    view = _consensus(ctx)
    for certified in range(height, min(ledger.height, height + _DESCENDANTS_MAX) + 1):
        raw = ledger.certificate(Height(certified))
        if raw:
            break
    else:
        raise server_error(f"no certificate within {_DESCENDANTS_MAX} blocks above {height}")
    heights = map(Height, range(height, certified + 1))
    return {
        "height": hex(height),
        "hash": data(ledger.hash_at(height)),
        "record": _record_json(decode_record(raw_record), raw_record),
        "certifiedHeight": hex(certified),
        "headers": [data(encode_header(ctx.header(between))) for between in heights],
        "certificate": _certificate_json(
            decode_certificate(raw),
            raw,
            _members(view, view.epoch_of(certified)),
            Domain(ledger.config.chain_id, ledger.genesis_hash),
        ),
    }


def _record_json(record: ConsensusRecord, raw: bytes) -> Json:
    return {
        "chainId": hex(record.chain_id),
        "epoch": hex(record.epoch),
        "view": hex(record.view),
        "height": hex(record.height),
        "parentView": hex(record.parent_view),
        "parentHash": data(record.parent_hash),
        "timestampMs": hex(record.timestamp_ms),
        "validatorsHash": data(record.validators_hash),
        "nextValidatorsHash": data(record.next_validators_hash),
        "skipRoot": data(record.skip_root),
        "evidenceRoot": data(record.evidence_root),
        "proposer": data(record.proposer),
        "raw": data(raw),
    }


def signers_of(certificate: Certificate, members: ValidatorSet) -> list[tuple[Address, int]]:
    """Address and power of those that signed, in the order of their signatures."""
    bitmap = int.from_bytes(certificate.signers, "little")
    return [
        (member.address, member.power)
        for index, member in enumerate(members.validators)
        if bitmap >> index & 1
    ]


def _certificate_json(
    certificate: Certificate, raw: bytes, members: ValidatorSet, domain: Domain
) -> Json:
    ballot = certificate.ballot
    signers: list[dict[str, Any]] = [
        {"address": data(address), "power": hex(power), "signature": data(signature)}
        for (address, power), signature in zip(
            signers_of(certificate, members), certificate.signatures, strict=True
        )
    ]
    return {
        "kind": ballot.kind.name.lower(),
        "epoch": hex(ballot.epoch),
        "view": hex(ballot.view),
        "blockHash": data(ballot.block_hash),
        "parentView": hex(ballot.parent_view),
        "signHash": data(domain.sign_hash(ballot)),
        "signers": signers,
        "power": hex(sum(power for _, power in signers_of(certificate, members))),
        "totalPower": hex(members.total_power),
        "raw": data(raw),
    }
