"""Final chains without execution: real headers, records and certificates around empty bodies."""

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from chain.activation import ChainConfig, LedgerRules
from chain.blocks import Block, Header, encode_block, encode_header, header_hash, withdrawals_root
from chain.crypto.secp256k1 import address_of
from chain.ledger import Ledger
from chain.types import EMPTY_OMMERS_HASH, EMPTY_ROOT, ZERO_ADDRESS, ZERO_HASH, Hash, Height
from chain.validators import (
    Ballot,
    Certificate,
    ConsensusRecord,
    Domain,
    Validator,
    ValidatorSet,
    VoteKind,
    build_certificate,
    encode_certificate,
    encode_record,
    record_hash,
    sign_ballot,
    validator_set,
)
from node.net.messages import FinalHeader, Status
from node.sync.headers import Trust

DOMAIN = Domain(7, Hash(b"\x07" * 32))
KEYS = [bytes(31) + bytes((number,)) for number in range(1, 9)]


def members(*numbers: int) -> ValidatorSet:
    return validator_set([Validator(address_of(KEYS[number]), 1) for number in numbers])


def certify(
    block_hash: Hash, signers: tuple[int, ...], *, epoch: int = 0, view: int = 1,
    kind: VoteKind = VoteKind.FINALIZE, domain: Domain = DOMAIN,
    of: ValidatorSet | None = None,
) -> Certificate:  # fmt: skip
    """A certificate by these keys; the set is theirs unless another is given."""
    ballot = Ballot(kind, epoch, view, block_hash, 0)
    votes = [sign_ballot(ballot, domain, KEYS[number]) for number in signers]
    return build_certificate(votes, of or members(*signers))


class Chain:
    """A final chain; epoch e > 1 has the validators `rotation(e)`."""

    def __init__(
        self,
        length: int,
        *,
        epoch_length: int = 0,
        certified_every: int = 1,
        rotation: Callable[[int], tuple[int, ...]] = lambda epoch: (0, 1, 2, 3),
        salt: bytes = b"",
        after: "tuple[Chain, int] | None" = None,
    ) -> None:
        """`after` is another chain and the height up to which this one is the same."""
        self.epoch_length = epoch_length
        self.certified_every = certified_every
        self.rotation = rotation
        self.blocks: list[Block] = []
        self.hashes: list[Hash] = []
        self.records: list[ConsensusRecord | None] = []
        self.certificates: dict[int, Certificate] = {}
        self._salt = salt
        if after is None:
            self._append_genesis()
        else:
            other, height = after
            self.blocks = other.blocks[: height + 1]
            self.hashes = other.hashes[: height + 1]
            self.records = other.records[: height + 1]
            self.certificates = {at: c for at, c in other.certificates.items() if at <= height}
        while self.height < length:
            self.append()
        self.certificates.setdefault(self.height, self._certificate(self.height))
        self.heights = {block_hash: height for height, block_hash in enumerate(self.hashes)}

    @property
    def height(self) -> int:
        return len(self.blocks) - 1

    def epoch(self, height: int) -> int:
        return (height - 1) // self.epoch_length if self.epoch_length else 0

    def set_of(self, epoch: int) -> ValidatorSet:
        return members(*self.rotation(epoch if epoch > 1 else 0))

    def trust(self) -> Trust:
        last = self.epoch(self.height)
        sets = {epoch: self.set_of(epoch) for epoch in range(last + 2)}
        return Trust(DOMAIN, self.epoch_length, sets)

    def _append_genesis(self) -> None:
        block = Block(_header(0, ZERO_HASH, ZERO_HASH, b""), (), withdrawals=())
        self.blocks.append(block)
        self.hashes.append(header_hash(block.header))
        self.records.append(None)

    def append(self, **changes: Any) -> None:
        """One more block; `changes` are of its record."""
        height = self.height + 1
        epoch, parent = self.epoch(height), self.hashes[-1]
        following = epoch + 1 if self.epoch_length else epoch
        record = ConsensusRecord(
            chain_id=DOMAIN.chain_id, epoch=epoch, view=height, height=height,
            parent_view=height - 1, parent_hash=parent, timestamp_ms=height * 1000,
            validators_hash=self.set_of(epoch).hash,
            next_validators_hash=self.set_of(following).hash, proposer=ZERO_ADDRESS,
        )  # fmt: skip
        record = replace(record, **changes)
        block = Block(_header(height, parent, record_hash(record), self._salt), (), withdrawals=())
        self.blocks.append(block)
        self.hashes.append(header_hash(block.header))
        self.records.append(record)
        ends = self.epoch_length and height % self.epoch_length == 0
        if height % self.certified_every == 0 or ends:
            self.certificates[height] = self._certificate(height)

    def _certificate(self, height: int) -> Certificate:
        epoch = self.epoch(height)
        signers = self.rotation(epoch if epoch > 1 else 0)
        quorum = signers[: len(signers) * 2 // 3 + 1]
        block_hash = self.hashes[height]
        return certify(block_hash, quorum, epoch=epoch, view=height, of=self.set_of(epoch))

    def item(self, height: int, *, certified: bool = True) -> FinalHeader:
        record = self.records[height]
        assert record is not None
        certificate = self.certificates.get(height) if certified else None
        raw = encode_certificate(certificate) if certificate else b""
        header = self.blocks[height].header
        return FinalHeader(encode_header(header), encode_record(record), raw)

    def status(self, height: int) -> Status:
        """What a peer with this chain says when `height` is its head."""
        certificate = self.certificates.get(height) or self._certificate(height)
        return Status(
            self.epoch(height), height, height, self.hashes[height],
            encode_certificate(certificate), b"",
        )  # fmt: skip


def _header(height: int, parent: Hash, beacon_root: Hash, salt: bytes) -> Header:
    return Header(
        parent_hash=parent, ommers_hash=EMPTY_OMMERS_HASH, coinbase=ZERO_ADDRESS,
        state_root=EMPTY_ROOT, transactions_root=EMPTY_ROOT, receipts_root=EMPTY_ROOT,
        logs_bloom=bytes(256), difficulty=0, number=height, gas_limit=30_000_000, gas_used=0,
        timestamp=height, extra_data=salt, mix_hash=ZERO_HASH, nonce=bytes(8), base_fee=7,
        withdrawals_root=withdrawals_root(()), blob_gas_used=0, excess_blob_gas=0,
        parent_beacon_root=beacon_root,
    )  # fmt: skip


class Copy:
    """A ledger with a chain's first blocks: what sync and serving read of one."""

    def __init__(self, chain: Chain, height: int = 0) -> None:
        self.chain = chain
        self.height = Height(height)
        rules = LedgerRules(epoch_length=chain.epoch_length)
        self.config = ChainConfig(chain_id=DOMAIN.chain_id, ledger=rules)
        self.certificates: dict[int, Certificate] = {}  # of what was committed here

    @property
    def ledger(self) -> Ledger:
        found: Any = self
        result: Ledger = found
        return result

    @property
    def head_hash(self) -> Hash:
        return self.chain.hashes[self.height]

    def hash_at(self, height: int) -> Hash:
        assert height <= self.height
        return self.chain.hashes[height]

    def height_of(self, block_hash: Hash) -> int | None:
        found = self.chain.heights.get(block_hash)
        return None if found is None or found > self.height else found

    def header(self, height: int) -> Header:
        assert height <= self.height
        return self.chain.blocks[height].header

    def record(self, height: int) -> bytes | None:
        record = self.chain.records[height]
        return None if record is None else encode_record(record)

    def certificate(self, height: int) -> bytes | None:
        found = self.chain.certificates.get(height)
        return None if found is None else encode_certificate(found)

    def raw_block(self, height: int) -> bytes:
        assert height <= self.height
        return encode_block(self.chain.blocks[height])

    def set_of(self, epoch: int) -> ValidatorSet | None:
        """Known once the block that decides is here."""
        if epoch > 1 and self.height < (epoch - 1) * self.chain.epoch_length:
            return None
        return self.chain.set_of(epoch)
