"""The opcodes that end a frame."""

from chain.machine import Halt
from contracts.vm.environment import address_of
from contracts.vm.frame import Frame, Halted


def stop(frame: Frame) -> None:
    frame.output = b""


def return_(frame: Frame, offset: int, size: int) -> None:
    frame.expand(offset, size)
    frame.output = frame.read(offset, size)


def revert(frame: Frame, offset: int, size: int) -> None:
    """End in failure, but keep the rest of the gas and give a reason (EIP-140)."""
    return_(frame, offset, size)
    frame.halt = Halt.REVERT


def invalid(frame: Frame) -> None:
    raise Halted(Halt.BAD_OPCODE)


def selfdestruct(frame: Frame, word: int) -> None:
    """Send the whole balance away and mark the account for deletion.

    From EIP-6780 on, only an account that this transaction created is deleted, and
    naming oneself as heir burns the balance only then.
    """
    frame.need_write()
    state, fork, account = frame.state, frame.fork, frame.address
    heir = address_of(word)
    # The base price has no warm part in it, so a cold heir costs the full cold price.
    if fork.access_lists and state.warm_address(heir):
        frame.charge(fork.gas_cold_account)
    balance = state.balance(account)
    if fork.deletes_empty_accounts:
        creates_heir = balance > 0 and state.is_empty(heir)
    else:
        creates_heir = not state.exists(heir)
    if creates_heir:
        frame.charge(fork.gas_self_destruct_new_account)
    dies = not fork.self_destruct_only_new or state.created_here(account)
    if heir != account:
        state.sub_balance(account, balance)
        state.add_balance(heir, balance)
    elif dies:
        state.sub_balance(account, balance)
    if dies and state.destruct(account):
        state.refund += fork.refund_self_destruct
    tracer = frame.env.tracer
    if tracer is not None:
        tracer.on_enter("SELFDESTRUCT", account, heir, heir, b"", 0, balance)
        tracer.on_exit(b"", 0, None)
