"""Evidence becomes a transaction: once, in turn, again when needed (section 6)."""

import asyncio
from typing import Final

import pytest
from msgspec.structs import replace

from chain import staking
from chain.errors import Reason, Rejected
from chain.evidence import evidence_of
from chain.genesis import new_genesis
from chain.ledger import Ledger
from chain.staking import STAKING_ADDRESS
from chain.storage.memory import MemoryStore
from chain.transactions import Checked, Transaction, decode_transaction
from chain.types import Address, Hash
from chain.validators import Vote
from contracts.vm import Interpreter
from node.prosecutor import Prosecutor
from tests.node.consensus.shell import (
    ADDRESSES,
    CHAIN_ID,
    FINALIZE,
    KEYS,
    NULLIFY,
    START_S,
    Author,
    genesis_of,
    virtual,
)

ME: Final = 1
OFFENDER: Final = 0
TURN_S: Final = 2.0  # what each validator leaves to those before it


class Court:
    """A ledger, a pool that keeps what it is sent, and the prosecutor of validator ME."""

    def __init__(
        self,
        author: Author,
        turn: int = 0,
        ledger: Ledger | None = None,
        height: int = 1,
    ) -> None:
        self.author = author
        self.sent: list[Transaction] = []
        self.refusals: list[Reason] = []  # of the next submissions
        self._pooled: dict[int, Transaction] = {}
        self.prosecutor = Prosecutor(
            author.ledger if ledger is None else ledger,
            KEYS[ME],
            Interpreter,
            self._next_nonce,
            self._submit,
            lambda: turn,
        )
        while author.ledger.height < height:
            self.include()

    def _next_nonce(self, address: Address) -> int:
        account = self.author.ledger.view().account(address)
        nonce = 0 if account is None else account.nonce
        while nonce in self._pooled:
            nonce += 1
        return nonce

    async def _submit(self, raw: bytes) -> Hash:
        await asyncio.sleep(0.01)
        if self.refusals:
            raise Rejected(self.refusals.pop(0))
        transaction = decode_transaction(raw)
        if self._pooled.get(transaction.nonce) == transaction:
            raise Rejected(Reason.ALREADY_KNOWN)
        self._pooled[transaction.nonce] = transaction
        self.sent.append(transaction)
        return transaction.hash

    def report(self, view: int = 1, offender: int = OFFENDER, swap: bool = False) -> None:
        pair = contradiction(self.author, view, offender)
        self.prosecutor.report(*(pair[::-1] if swap else pair))

    def include(self, *transactions: Transaction) -> None:
        """The ledger goes on with these in a block."""
        height = self.author.ledger.height
        checked = [Checked(each, ADDRESSES[ME]) for each in transactions]
        length = self.author.ledger.config.ledger.epoch_length
        view = (height % length if length else height) + 1
        block = self.author.block(view, transactions=checked)
        self.author.commit(block, self.author.certify(FINALIZE, block))
        self._pooled.clear()


def contradiction(author: Author, view: int = 1, who: int = OFFENDER) -> tuple[Vote, Vote]:
    block_hash = Hash(b"\x55" * 32)
    return author.vote(who, NULLIFY, view), author.vote(who, FINALIZE, view, block_hash)


@virtual
async def test_evidence_is_sent_once_and_punishes() -> None:
    """Section 6: an ordinary transaction to the validator contract."""
    court = Court(Author())
    court.report()
    court.report(swap=True)
    court.report(view=9)  # the same epoch: the seat is lost once
    await asyncio.sleep(1)
    assert [each.to for each in court.sent] == [STAKING_ADDRESS]
    court.include(*court.sent)
    receipt = court.author.ledger.receipts(court.author.ledger.height)[0]
    assert receipt.status == 1
    await asyncio.sleep(1000)
    assert len(court.sent) == 1
    await court.prosecutor.stop()


@virtual
async def test_validators_go_one_after_the_other() -> None:
    """Section 6: who comes later leaves time to those before."""
    court = Court(Author(), turn=3)
    court.report()
    await asyncio.sleep(3 * TURN_S - 0.1)
    assert court.sent == []
    await asyncio.sleep(0.2)
    assert len(court.sent) == 1
    await court.prosecutor.stop()


@virtual
async def test_what_another_had_punished_is_not_sent() -> None:
    """Section 6: the contract would refuse it."""
    author = Author()
    first, second = Court(author), Court(author, turn=1)
    for court in (first, second):
        court.report()
    await asyncio.sleep(1)
    first.include(*first.sent)
    await asyncio.sleep(1000)
    assert len(first.sent) == 1 and second.sent == []
    for court in (first, second):
        await court.prosecutor.stop()


@virtual
async def test_what_is_not_included_waits_with_its_one_nonce() -> None:
    """Given a pool that holds the transaction for long, then no second one joins it."""
    court = Court(Author())
    court.report()
    await asyncio.sleep(60)
    assert len(court.sent) == 1
    await court.prosecutor.stop()


@virtual
async def test_what_the_pool_lost_is_sent_again() -> None:
    """Given a transaction that was dropped before any block, then the same nonce is tried."""
    court = Court(Author())
    court.report()
    await asyncio.sleep(1)
    court._pooled.clear()
    await asyncio.sleep(20)
    assert [each.nonce for each in court.sent] == [0, 0]
    await court.prosecutor.stop()


@virtual
async def test_two_offences_at_once_take_two_nonces() -> None:
    """Section 6: one after the other, so that neither replaces the other."""
    court = Court(Author())
    court.report(offender=0)
    court.report(offender=2)
    await asyncio.sleep(1)
    assert [each.nonce for each in court.sent] == [0, 1]
    await court.prosecutor.stop()


@virtual
async def test_who_cannot_pay_says_so_and_tries_again(caplog: pytest.LogCaptureFixture) -> None:
    """Section 6: any validator that can pay does it."""
    court = Court(Author())
    court.refusals = [Reason.INSUFFICIENT_FUNDS, Reason.POOL_FULL]
    court.report()
    await asyncio.sleep(1)
    assert "can't be sent" in caplog.text and "insufficient_funds" in caplog.text
    await asyncio.sleep(1000)
    assert len(court.sent) == 1
    await court.prosecutor.stop()


@virtual
async def test_it_gives_up_after_some_tries(caplog: pytest.LogCaptureFixture) -> None:
    """Everything has a limit."""
    court = Court(Author())
    court.refusals = [Reason.INSUFFICIENT_FUNDS] * 1000
    court.report()
    await asyncio.sleep(100_000)
    assert 1000 - len(court.refusals) == 8
    assert "given up" in caplog.text
    await court.prosecutor.stop()


@virtual
async def test_cases_open_at_once_are_bounded() -> None:
    """Everything has a limit: validators are many, tasks are not."""
    court = Court(Author(), turn=1000)
    for epoch in range(40):
        one, other = contradiction(court.author)
        later = [replace(v, ballot=replace(v.ballot, epoch=epoch)) for v in (one, other)]
        court.prosecutor.report(*later)
    assert len(court.prosecutor._open) == 16
    await court.prosecutor.stop()
    assert not court.prosecutor._open


@virtual
async def test_a_ledger_without_the_contract_punishes_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Section 6: a developer's chain."""
    bare = Ledger.open(MemoryStore(), new_genesis(CHAIN_ID, alloc={}, timestamp=START_S))
    court = Court(Author(), ledger=bare)
    court.report()
    await asyncio.sleep(10)
    assert court.sent == []
    assert "no validator contract" in caplog.text


@virtual
async def test_an_offence_before_the_first_block_is_punished_after_it() -> None:
    """Section 6: the contract knows the ledger that votes are for from the first block on."""
    court = Court(Author(), height=0)
    court.report()
    await asyncio.sleep(1)
    assert court.sent == []
    court.include()
    await asyncio.sleep(30)
    assert len(court.sent) == 1
    await court.prosecutor.stop()


@virtual
async def test_an_offence_in_an_epoch_that_has_just_begun_is_punished() -> None:
    """Section 6: the transaction will be in a block of that epoch, whatever the head's is."""
    court = Court(Author(genesis_of(epoch_length=2)), height=2)
    one, other = contradiction(court.author)
    assert one.ballot.epoch == 1
    court.prosecutor.report(one, other)
    await asyncio.sleep(1)
    assert len(court.sent) == 1
    await court.prosecutor.stop()


@pytest.mark.parametrize(("epoch_length", "sent"), [(0, 2), (50, 1)])
def test_in_an_endless_epoch_each_case_that_is_closed_leaves_room_for_the_next(
    epoch_length: int, sent: int
) -> None:
    """Section 6: an epoch's offences count as one, and an endless one's view by view."""

    @virtual
    async def scenario() -> None:
        court = Court(Author(genesis_of(epoch_length=epoch_length)))
        court.report()
        await asyncio.sleep(1)
        court.include(*court.sent)
        await asyncio.sleep(1000)
        court.report()  # which the contract has punished
        await asyncio.sleep(1000)
        assert len(court.sent) == 1
        court.report(view=9)
        await asyncio.sleep(1)
        assert len(court.sent) == sent
        court.include(*court.sent[1:])
        receipts = court.author.ledger.receipts(court.author.ledger.height)
        assert all(receipt.status == 1 for receipt in receipts)
        await court.prosecutor.stop()

    scenario()


@virtual
async def test_a_forgery_is_not_sent() -> None:
    """Section 6: the contract recovers the signers itself, so it is asked first."""
    court = Court(Author())
    one, other = contradiction(court.author)
    court.prosecutor.report(one, replace(other, signature=bytes(65)))
    await asyncio.sleep(1000)
    assert court.sent == []


@virtual
async def test_the_transaction_carries_the_evidence() -> None:
    """Section 6."""
    court = Court(Author())
    court.report()
    await asyncio.sleep(1)
    evidence = evidence_of(*contradiction(court.author))
    assert court.sent[0].data == staking.slash_call(evidence)
    assert court.sent[0].chain_id == CHAIN_ID
    await court.prosecutor.stop()
