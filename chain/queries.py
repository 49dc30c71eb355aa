"""Calls that only ask, one after another on the same state: short, since they are no transactions.

A query gives what chain.transition.simulate gives for a call without fees and value; what it
costs it does not say. What one query has read the next need not read again, and what it has
written is undone.
"""

from chain.forks import Fork
from chain.machine import BlockContext, Message, Outcome, Peeker, TransactionContext
from chain.state import State, StateView
from chain.transition import delegate_of, without_fees
from chain.types import ZERO_ADDRESS, Address
from chain.validation import floor_gas, intrinsic_gas_of_call


class Queries:
    """Queries on one state, in one block. Not thread-safe.

    A machine keeps what it has read of the last state that it was asked about, so it should
    serve nobody else meanwhile.
    """

    def __init__(self, view: StateView, block: BlockContext, fork: Fork, machine: Peeker) -> None:
        self._view = view
        self._block = without_fees(block, keep_blob_fee=True)  # which no blob asks for
        self._fork = fork
        self._machine = machine
        self._begin(ZERO_ADDRESS)

    def _begin(self, sender: Address) -> None:
        """Know nothing but the view, where `sender` is about to call."""
        self._state = State(self._view)
        self._code = b""  # of whom the last call was to
        self._set_out(sender)

    def _set_out(self, sender: Address) -> None:
        self._sender, self._before = sender, self._state.account(sender)
        self._transaction = TransactionContext(sender, 0)
        self._state.charge_and_count(sender, 0)
        self._to: Address | None = None

    def _prepare(self, sender: Address, to: Address) -> None:
        """Begin a transaction like the last one but for these two."""
        fork, state = self._fork, self._state
        state.begin_transaction()
        if sender != self._sender:
            state.override_account(self._sender, self._before)
            self._set_out(sender)
        self._code, self._to = state.code(to), to
        if delegate_of(self._code) is not None:
            self._code = b""
        state.prewarm(fork.precompiles)
        state.warm_address(sender)
        state.warm_address(to)
        if fork.warm_coinbase:
            state.warm_address(self._block.coinbase)

    def ask(self, sender: Address, to: Address, data: bytes, gas: int) -> Outcome | None:
        """The end of a call with so much gas, `sender`'s transaction.

        None: it has to be simulated. That is so where it is refused, or runs no code of `to`
        itself, or what the machine can't tell.
        """
        fork = self._fork
        intrinsic = intrinsic_gas_of_call(data, fork)
        if gas < intrinsic or gas < floor_gas(data, fork):
            return None
        outcome = self._peek(sender, to, data, gas - intrinsic)
        if outcome is None:
            self._begin(sender)
            if self._machine.crowded:  # now there is room
                outcome = self._peek(sender, to, data, gas - intrinsic)
        return outcome

    def _peek(self, sender: Address, to: Address, data: bytes, gas: int) -> Outcome | None:
        if to == self._to and sender == self._sender:
            self._state.begin_again()
        else:
            self._prepare(sender, to)
        code = self._code
        if not code:
            return None
        message = Message(sender, to, to, 0, data, gas, code, to)
        return self._machine.peek(message, self._state, self._block, self._transaction, self._fork)
