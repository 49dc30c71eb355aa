"""Messages between contracts whose code is at hand: frames opened and closed without Python."""

from contracts.vm.native.kernels.journal import copy_word
from contracts.vm.native.kernels.undoing import undo
from contracts.vm.native.records import (
    CALL_OF_OWN,
    CALL_PLAIN,
    CALL_STATIC,
    FRAME_SIZE,
    FRAME_STRIDE,
    FULL_RETURNED,
    NUMBER_OF_REVERT,
    U64,
    Account,
    Frame,
    Session,
)
from contracts.vm.native.words import address_of, at, inlined, move_bytes, words_at


def open_frame(
    frame: Frame,
    kind: U64,
    entry: U64,
    data: U64,
    data_size: U64,
    return_offset: U64,
    return_size: U64,
    gas: U64,
) -> None:
    """Begin a message in the frame after `frame`, as contracts.vm.calls and messages would."""
    session = at(Session, frame.session)
    callee = at(Account, entry)
    child = at(Frame, address_of(frame) + FRAME_STRIDE)
    child.session = frame.session
    child.gas = gas
    child.pc = 0
    child.top = address_of(child) + FRAME_SIZE
    child.memory = frame.memory + frame.memory_size
    child.memory_size = 0
    child.code = callee.code
    child.code_size = callee.code_size
    child.destinations = callee.destinations
    child.code_data = callee.code_data
    child.compiled = callee.compiled
    callee.messages += 1
    child.data = data
    child.data_size = data_size
    child.output_size = 0
    child.static = frame.static | (kind == CALL_STATIC)
    child.depth = frame.depth + 1
    child.journal_mark = session.journal_at - session.journal
    child.log_mark = session.log_at - session.logs
    child.refund_mark = session.refund
    child.of_python = 0
    child.return_offset = return_offset
    child.return_size = return_size
    if kind in (CALL_PLAIN, CALL_STATIC):
        child.account = callee.number
        copy_word(child.address, callee.address)
        copy_word(child.caller, frame.address)
    else:
        child.account = frame.account
        copy_word(child.address, frame.address)
        if kind == CALL_OF_OWN:
            copy_word(child.caller, frame.address)
        else:
            copy_word(child.caller, frame.caller)
    if kind in (CALL_PLAIN, CALL_STATIC, CALL_OF_OWN):
        # Messages with value are Python's.
        for i in range(4):
            child.value[i] = 0
    else:
        copy_word(child.value, frame.value)
    session.returned_size = 0


def close_frame(frame: Frame, how: U64, gas: U64) -> U64:
    """Give a message's result to its sender; the sender's gas, or FULL_RETURNED.

    `how` is 0 or the number of its halt, `gas` what it has left.
    """
    session = at(Session, frame.session)
    size = frame.output_size
    if how != 0 and how != NUMBER_OF_REVERT:
        size = 0
    if size > session.returned_limit:
        return FULL_RETURNED
    if how != 0:
        undo(session, session.journal + frame.journal_mark)
        session.log_at = session.logs + frame.log_mark
        session.refund = frame.refund_mark
    sender = at(Frame, address_of(frame) - FRAME_STRIDE)
    move_bytes(session.returned, frame.output, size)
    session.returned_size = size
    wanted = min(frame.return_size, size)
    move_bytes(sender.memory + frame.return_offset, frame.output, wanted)
    push(sender, how == 0)
    return sender.gas + gas


@inlined
def push(frame: Frame, number: U64) -> None:
    top = words_at(frame.top)
    top[0] = number
    for i in range(1, 4):
        top[i] = 0
    frame.top += 32
