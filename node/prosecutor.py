"""Has a contradiction punished: sends the validator contract the evidence (section 6).

Every validator that can pay for it does so, one after the other: who comes first earns
the reward, and the others see that there is nothing left to do.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from msgspec.structs import replace

from chain.crypto.secp256k1 import address_of
from chain.errors import Reason, Rejected
from chain.evidence import Evidence, evidence_of
from chain.execution import block_context
from chain.headers import base_fee
from chain.ledger import Ledger
from chain.machine import Machine
from chain.staking import STAKING_ADDRESS, has_contract, slash_call
from chain.state import State
from chain.transactions import Kind, Transaction, build_transaction, sign_transaction
from chain.transition import simulate
from chain.types import ZERO_HASH, Address, Hash
from chain.validators import Vote

_GAS: Final = 1_000_000  # more than slashing takes; the surplus is not paid
_TIP: Final = 10**9  # wei
_FEE_FACTOR: Final = 4  # how far the base fee may rise until the transaction is in a block
_TURN_S: Final = 2.0  # how long each validator leaves to those before it
_TRIES_MAX: Final = 8
_CASES_MAX: Final = 256  # open and closed ones that are remembered
_OPEN_MAX: Final = 16
_STILL_POOLED: Final = frozenset({Reason.ALREADY_KNOWN, Reason.REPLACEMENT_UNDERPRICED})

_log: Final = logging.getLogger("evidence")


class Prosecutor:
    """One for a validator's node. Used in the event loop's thread."""

    def __init__(
        self,
        ledger: Ledger,
        key: bytes,
        machine: Callable[[], Machine],
        next_nonce: Callable[[Address], int],
        submit: Callable[[bytes], Awaitable[Hash]],
        turn: Callable[[], int],
    ) -> None:
        """`turn` is how many validators go before this one."""
        self._ledger = ledger
        self._key = key
        self._me = address_of(key)
        self._machine = machine
        self._next_nonce = next_nonce
        self._submit = submit
        self._turn = turn
        self._cases: OrderedDict[tuple[Address, int], None] = OrderedDict()
        self._open: set[asyncio.Task[None]] = set()
        self._sending = asyncio.Lock()  # from choosing a nonce until it is pooled

    def report(self, one: Vote, other: Vote) -> None:
        """Two votes that exclude each other, both verified. One case for an epoch's offences.

        An epoch that never ends has one at a time: each view's offence is punished by itself.
        """
        case = (one.signer, one.ballot.epoch)
        if case in self._cases or len(self._open) >= _OPEN_MAX:
            return
        self._cases[case] = None
        if len(self._cases) > _CASES_MAX:
            self._cases.popitem(last=False)
        if not has_contract(self._ledger.view(), self._ledger.config):
            _log.warning("this ledger has no validator contract: nobody punishes it")
            return
        task = asyncio.create_task(self._prosecute(evidence_of(one, other)))
        self._open.add(task)
        task.add_done_callback(self._open.discard)
        if not self._ledger.config.ledger.epoch_length:
            task.add_done_callback(lambda _: self._cases.pop(case, None))

    async def stop(self) -> None:
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _prosecute(self, evidence: Evidence) -> None:
        offender = evidence.offender.hex()
        sent: int | None = None  # the nonce of what was pooled
        refusal = ""
        for attempt in range(_TRIES_MAX):
            await asyncio.sleep(_TURN_S * (self._turn() + 4 * attempt))
            refusal = self._refusal(evidence)
            if refusal:  # which may be "not yet": the contract learns of epochs block by block
                _log.info("evidence against 0x%s: %s", offender, refusal)
                continue
            try:
                async with self._sending:
                    # One offence costs one nonce: what waits is sent again, at today's fee.
                    waits = sent is not None and sent >= self._account_nonce()
                    nonce = sent if sent is not None and waits else self._next_nonce(self._me)
                    transaction = self._transaction(evidence, nonce)
                    await self._submit(transaction.raw)
                    sent = nonce
            except Rejected as rejected:
                if waits and rejected.reason in _STILL_POOLED:
                    continue
                _log.warning(
                    "evidence against 0x%s can't be sent by 0x%s: %s",
                    offender,
                    self._me.hex(),
                    rejected,
                )
            else:
                _log.warning("evidence against 0x%s: 0x%s", offender, transaction.hash.hex())
        if not refusal:
            _log.warning("evidence against 0x%s was not acted on; it is given up", offender)

    def _account_nonce(self) -> int:
        account = self._ledger.view().account(self._me)
        return 0 if account is None else account.nonce

    def _refusal(self, evidence: Evidence) -> str:
        """Why the contract would not punish it in the next block; empty when it would."""
        ledger, head = self._ledger, self._ledger.head
        fork = ledger.config.fork_at(head.number + 1, head.timestamp, merged=True)
        call = build_transaction(
            kind=Kind.DYNAMIC_FEE,
            chain_id=ledger.config.chain_id,
            nonce=0,
            gas_limit=_GAS,
            max_fee=0,
            max_priority_fee=0,
            to=STAKING_ADDRESS,
            data=slash_call(evidence),
        )
        upcoming = replace(head, number=head.number + 1)
        context = block_context(upcoming, fork, ledger.config, lambda number: ZERO_HASH)
        state = State(ledger.view())
        try:
            result = simulate(state, call, self._me, context, self._machine(), fork)
        except Rejected as rejected:
            return str(rejected)
        return "" if result.halt is None else "there is nothing to punish now"

    def _transaction(self, evidence: Evidence, nonce: int) -> Transaction:
        ledger, head = self._ledger, self._ledger.head
        fork = ledger.config.fork_at(head.number + 1, head.timestamp, merged=True)
        fee = base_fee(head, fork)
        tip = _TIP if fee else 0
        unsigned = build_transaction(
            kind=Kind.DYNAMIC_FEE,
            chain_id=ledger.config.chain_id,
            nonce=nonce,
            gas_limit=_GAS,
            max_fee=_FEE_FACTOR * fee + tip,
            max_priority_fee=tip,
            to=STAKING_ADDRESS,
            data=slash_call(evidence),
        )
        return sign_transaction(unsigned, self._key)
