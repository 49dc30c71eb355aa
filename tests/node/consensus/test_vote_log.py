"""The vote log: what survives, what is cut off, what is refused."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.errors import Fault
from chain.types import Hash
from chain.validators import Ballot, Certificate, Domain, Vote, VoteKind, sign_ballot
from node.consensus import vote_log
from node.consensus.log_file import DiskFile, MemoryFile
from node.consensus.signer import Signer
from node.consensus.vote_log import Kept, VoteLog

KEY = bytes(31) + b"\x07"
DOMAIN = Domain(31337, Hash(b"\x11" * 32))


def ballot(kind: VoteKind, view: int, block: int = 1, epoch: int = 0) -> Ballot:
    if kind is VoteKind.NULLIFY:
        return Ballot(kind, epoch, view, Hash(bytes(32)), 0)
    return Ballot(kind, epoch, view, Hash(block.to_bytes(32, "big")), view - 1)


def vote(kind: VoteKind, view: int, block: int = 1, epoch: int = 0) -> Vote:
    return sign_ballot(ballot(kind, view, block, epoch), DOMAIN, KEY)


def kept(view: int, data: bytes) -> Kept:
    """A proposal of epoch 0 to go with votes."""
    return Kept((((0, view), data),))


def skip(view: int) -> Certificate:
    return Certificate(ballot(VoteKind.NULLIFY, view), b"\x07", (bytes(65),) * 3)


NOTARIZE, NULLIFY, FINALIZE = VoteKind.NOTARIZE, VoteKind.NULLIFY, VoteKind.FINALIZE


def test_votes_proposals_and_certificates_come_back(tmp_path: Path) -> None:
    """V1, V2: with votes comes what they stand on."""
    path = tmp_path / "votes.log"
    log = VoteLog(DiskFile(path))
    votes = [vote(NOTARIZE, 1), vote(FINALIZE, 1)]
    log.append(votes, Kept((((0, 1), b"block one"),), (skip(1), skip(2))))
    log.append([vote(NULLIFY, 2)])
    log.close()
    again = VoteLog(DiskFile(path))
    assert list(again.votes) == [*votes, vote(NULLIFY, 2)]
    assert dict(again.proposals) == {(0, 1): b"block one"}
    assert list(again.certificates) == [skip(1), skip(2)]
    again.close()


def test_what_is_below_the_floor_is_forgotten_and_the_floor_stays(tmp_path: Path) -> None:
    path = tmp_path / "votes.log"
    log = VoteLog(DiskFile(path))
    log.append([vote(NOTARIZE, 1)], Kept((((0, 1), b"one"),), (skip(1),)))
    log.raise_floor((0, 1))
    assert not log.votes and not log.proposals and not log.certificates
    log.append([vote(NOTARIZE, 2)], kept(2, b"two"))
    log.raise_floor((0, 0))
    log.close()
    again = VoteLog(DiskFile(path))
    assert again.floor == (0, 1)
    assert [item.ballot.view for item in again.votes] == [2]
    again.close()


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_torn_tail_is_cut_off(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    """V4, and the log goes on after it."""
    path = tmp_path_factory.mktemp("log") / "votes.log"
    log = VoteLog(DiskFile(path))
    log.append([vote(NOTARIZE, 1)])
    whole = path.stat().st_size
    log.append([vote(NOTARIZE, 2)], kept(2, b"\x55" * 300))
    log.close()
    content = path.read_bytes()
    cut = data.draw(st.integers(whole, len(content) - 1))
    torn = content[:cut]
    if data.draw(st.booleans()) and cut > whole:  # the length is there, some bytes are not
        torn += bytes(len(content) - cut)
    path.write_bytes(torn)
    again = VoteLog(DiskFile(path))
    assert [item.ballot.view for item in again.votes] == [1]
    again.append([vote(NOTARIZE, 3)])
    again.close()
    final = VoteLog(DiskFile(path))
    assert [item.ballot.view for item in final.votes] == [1, 3]
    final.close()


def test_a_bad_record_before_a_good_one_is_refused(tmp_path: Path) -> None:
    """V4: votes are lost, so this key must not sign."""
    path = tmp_path / "votes.log"
    log = VoteLog(DiskFile(path))
    sizes = []
    for view in range(1, 4):
        sizes.append(path.stat().st_size)
        log.append([vote(NOTARIZE, view)])
    log.close()
    content = bytearray(path.read_bytes())
    content[sizes[1] + 20] ^= 1
    path.write_bytes(content)
    with pytest.raises(Fault, match="damaged"):
        VoteLog(DiskFile(path))


def test_a_record_planted_inside_a_proposal_is_not_taken_for_one(tmp_path: Path) -> None:
    """Somebody's transaction holds the bytes of a record; the record around it is torn."""
    other = VoteLog(DiskFile(tmp_path / "other.log"))
    other.append([vote(NULLIFY, 9)])
    other.close()
    planted = (tmp_path / "other.log").read_bytes()[24:]
    path = tmp_path / "votes.log"
    log = VoteLog(DiskFile(path))
    log.append([vote(NOTARIZE, 1)], kept(1, planted + bytes(100)))
    log.close()
    path.write_bytes(path.read_bytes()[:-50])
    again = VoteLog(DiskFile(path))
    assert not again.votes
    again.close()


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "votes.log"
    path.write_bytes(b"something else entirely, and long enough")
    with pytest.raises(Fault, match="not a vote log"):
        VoteLog(DiskFile(path))


def test_a_long_file_is_rewritten_when_the_floor_rises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "votes.log"
    log = VoteLog(DiskFile(path))
    log.append([vote(NOTARIZE, 1)], kept(1, bytes(2000)))
    log.append([vote(NOTARIZE, 2)])
    monkeypatch.setattr(vote_log, "_COMPACT_BYTES", 1000)
    log.raise_floor((0, 1))
    assert path.stat().st_size < 1000
    log.append([vote(FINALIZE, 2)])
    log.close()
    again = VoteLog(DiskFile(path))
    assert (again.floor, len(again.votes)) == ((0, 1), 2)
    again.close()


def test_a_failed_fsync_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """V4: never tried again."""
    log = VoteLog(DiskFile(tmp_path / "votes.log"))

    def fail(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(Fault, match="No space left"):
        log.append([vote(NOTARIZE, 1)])
    assert not log.votes


def test_the_signer_gives_the_stored_signature_again(tmp_path: Path) -> None:
    """V2, and nothing is written for it."""
    log = VoteLog(DiskFile(tmp_path / "votes.log"))
    signer = Signer(KEY, DOMAIN, log)
    first = signer.sign([ballot(NOTARIZE, 1)], Kept())
    size = (tmp_path / "votes.log").stat().st_size
    assert signer.sign([ballot(NOTARIZE, 1)], Kept()) == first
    assert (tmp_path / "votes.log").stat().st_size == size


@pytest.mark.parametrize(
    ("earlier", "later", "allowed"),
    [
        ((NOTARIZE, 1), (NOTARIZE, 2), False),
        ((NOTARIZE, 1), (FINALIZE, 1), True),
        ((NOTARIZE, 1), (FINALIZE, 2), False),
        ((NOTARIZE, 1), (NULLIFY, 0), True),
        ((NULLIFY, 0), (NOTARIZE, 1), False),
        ((NULLIFY, 0), (FINALIZE, 1), False),
        ((FINALIZE, 1), (NULLIFY, 0), False),
        ((FINALIZE, 1), (FINALIZE, 2), False),
        ((FINALIZE, 1), (NOTARIZE, 1), True),
        ((FINALIZE, 1), (NOTARIZE, 2), False),
    ],
)
def test_the_signer_enforces_the_exclusions(
    earlier: tuple[VoteKind, int], later: tuple[VoteKind, int], allowed: bool
) -> None:
    """V3, also across a restart, since the log is all the signer knows."""
    log = VoteLog(MemoryFile())
    Signer(KEY, DOMAIN, log).sign([ballot(earlier[0], 5, earlier[1])], Kept())
    signer = Signer(KEY, DOMAIN, log)
    if allowed:
        signer.sign([ballot(later[0], 5, later[1])], Kept())
    else:
        with pytest.raises(Fault):
            signer.sign([ballot(later[0], 5, later[1])], Kept())
    signer.sign([ballot(later[0], 6, later[1])], Kept())


def test_the_signer_refuses_views_at_or_below_the_floor() -> None:
    log = VoteLog(MemoryFile())
    log.raise_floor((0, 4))
    with pytest.raises(Fault, match="floor"):
        Signer(KEY, DOMAIN, log).sign([ballot(NOTARIZE, 4)], Kept())


def test_a_new_epoch_is_above_every_view_of_the_one_before() -> None:
    """V2, section 5: views start again at 1."""
    log = VoteLog(MemoryFile())
    signer = Signer(KEY, DOMAIN, log)
    signer.sign([ballot(NOTARIZE, 900, 1)], Kept())
    signer.raise_floor((1, 0))
    assert not signer.votes
    assert signer.sign([ballot(NOTARIZE, 1, 2, epoch=1)], Kept()) == [vote(NOTARIZE, 1, 2, 1)]
    with pytest.raises(Fault, match="floor"):
        signer.sign([ballot(NOTARIZE, 901, 1)], Kept())


def test_equal_views_of_two_epochs_exclude_nothing() -> None:
    signer = Signer(KEY, DOMAIN, VoteLog(MemoryFile()))
    signer.sign([ballot(NOTARIZE, 3, 1)], Kept())
    signer.sign([ballot(NOTARIZE, 3, 2, epoch=1), ballot(NULLIFY, 3, epoch=1)], Kept())
    assert len(signer.votes) == 3


def test_a_file_torn_while_it_was_made_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "votes.log"
    path.write_bytes(b"cnvotes2" + bytes(3))
    log = VoteLog(DiskFile(path))
    log.append([vote(NOTARIZE, 1)])
    log.close()
    assert len(VoteLog(DiskFile(path)).votes) == 1


def test_markers_of_another_log_in_a_torn_record_cost_nothing(tmp_path: Path) -> None:
    """Whoever fills a transaction with what looks like records does not know the salt."""
    path = tmp_path / "votes.log"
    frame = b"\xf5vr\x02" + (2**19).to_bytes(4, "big")
    log = VoteLog(DiskFile(path))
    log.append([vote(NOTARIZE, 1)], kept(1, frame * 2**17))
    log.close()
    path.write_bytes(path.read_bytes()[:-1])
    log = VoteLog(DiskFile(path))
    assert not log.votes
    log.close()


def test_a_log_that_stays_long_is_not_rewritten_at_every_floor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only once it has doubled: a floor that hardly moves must not cost the whole file."""
    monkeypatch.setattr(vote_log, "_COMPACT_BYTES", 1000)
    file = MemoryFile()
    replaced = 0
    replace = file.replace

    def count(data: bytes) -> None:
        nonlocal replaced
        replaced += 1
        replace(data)

    monkeypatch.setattr(file, "replace", count)
    log = VoteLog(file)
    log.append([vote(NOTARIZE, 100)], kept(100, bytes(5000)))
    for view in range(1, 20):
        log.raise_floor((0, view))
    assert replaced == 2


def test_what_goes_with_a_vote_that_was_cast_before_is_kept() -> None:
    file = MemoryFile()
    signer = Signer(KEY, DOMAIN, VoteLog(file))
    signer.sign([ballot(NOTARIZE, 1)], Kept())
    signer.sign([ballot(NOTARIZE, 1)], kept(1, b"late"))
    assert dict(VoteLog(file).proposals) == {(0, 1): b"late"}


def test_proposals_of_skipped_views_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without finality: the file and the memory hold the last ones, and what is notarized."""
    monkeypatch.setattr(vote_log, "_COMPACT_BYTES", 50_000)
    file = MemoryFile()
    log = VoteLog(file)
    notarized = Certificate(ballot(NOTARIZE, 3), b"\x07", (bytes(65),) * 3)
    for view in range(1, 301):
        held = (skip(view), notarized) if view == 3 else (skip(view),)
        log.append([vote(NOTARIZE, view)], Kept((((0, view), bytes(2000)),), held))
    kept_views = [view for _, view in log.proposals]
    assert kept_views == [3, *range(237, 301)]
    assert len(file.read() or b"") < 2 * 65 * 2000 + 300 * 1000
    again = VoteLog(file)
    assert dict(again.proposals) == dict(log.proposals)
    assert len(again.votes) == 300


def test_a_proposal_whose_view_is_still_open_is_kept_however_old() -> None:
    log = VoteLog(MemoryFile())
    for view in range(1, 101):
        log.append([vote(NOTARIZE, view)], kept(view, b"block"))
    assert len(log.proposals) == 100
