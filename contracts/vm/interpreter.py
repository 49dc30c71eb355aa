"""The interpreter: the definition of what a contract does.

`Interpreter.execute` keeps the open frames in a list, so that 1024 nested messages
need no recursion. `_run` runs a frame block by block; `_run_stepwise` opcode by
opcode, checking everything before each: with a tracer, and for the last block of
a frame that cannot finish it. Both give the same results, since the semantics of
each opcode exist once, in the table.
"""

from collections.abc import Mapping
from typing import Final

from chain.forks import Fork
from chain.machine import BlockContext, Halt, Message, Outcome, Tracer, TransactionContext
from chain.state import State
from chain.types import Address
from contracts.vm import messages
from contracts.vm.frame import STACK_MAX, Environment, Frame, Halted
from contracts.vm.opcodes import Shape
from contracts.vm.precompiles import Precompile, precompiles_of
from contracts.vm.program import Exit, Programs, pushed
from contracts.vm.tracing import whole_price

# Looking up an enum's member takes longer than comparing with it.
_FALL, _BRANCH, _GOTO, _JUMP, _SEND = Exit.FALL, Exit.BRANCH, Exit.GOTO, Exit.JUMP, Exit.SEND
_PUSH, _PC, _JUMP_TO, _JUMPI = Shape.PUSH, Shape.PC, Shape.JUMP, Shape.JUMPI
_MESSAGE, _LAST = Shape.SEND, Shape.END

_JUMPS_MAX: Final = 256  # taken opcode by opcode before a code counts as familiar

_FORKS_MAX: Final = 32  # whose tables and decoded codes are kept


class _Rules:
    """What the interpreter prepares once for a fork."""

    __slots__ = ("fork", "precompiles", "programs")

    def __init__(
        self,
        fork: Fork,
        moved: Mapping[Address, Address],
        instead: Mapping[Address, Precompile],
    ) -> None:
        self.fork = fork
        self.programs = Programs(fork)
        precompiles = precompiles_of(fork, moved)
        self.precompiles: Mapping[Address, Precompile] = {
            address: instead.get(address, usual) for address, usual in precompiles.items()
        }


class Interpreter:
    """A chain.machine.Machine. Keeps decoded code between messages; not thread-safe."""

    def __init__(
        self,
        moved: Mapping[Address, Address] | None = None,
        instead: Mapping[Address, Precompile] | None = None,
    ) -> None:
        """`moved` says for unusual addresses in a fork's precompiles whose place they take.

        `instead` are precompiles that others stand for, where the fork has any.
        """
        self._moved = moved or {}
        self._instead = instead or {}
        # By identity: hashing a fork means hashing all of its fields.
        self._rules: dict[int, _Rules] = {}

    def execute(
        self,
        message: Message,
        state: State,
        block: BlockContext,
        transaction: TransactionContext,
        fork: Fork,
        tracer: Tracer | None = None,
    ) -> Outcome:
        """Run a message to its end. A failed one has left `state` as it was."""
        rules = self._rules_of(fork)
        env = Environment(
            state, block, transaction, fork, rules.programs, rules.precompiles, tracer
        )
        frame = first_frame(env, message)
        _run_to_end(frame)
        return Outcome(frame.gas, frame.output, frame.halt)

    def _rules_of(self, fork: Fork) -> _Rules:
        rules = self._rules.get(id(fork))
        if rules is None:
            if len(self._rules) >= _FORKS_MAX:
                self._rules.clear()
            rules = self._rules[id(fork)] = _Rules(fork, self._moved, self._instead)
        return rules


def first_frame(env: Environment, message: Message) -> Frame:
    """The frame of a top-level message, not yet begun."""
    creates = message.to is None
    code_address = message.code_address
    if code_address in env.precompiles and code_address != message.to:
        code_address = message.address  # delegating to a precompile runs nothing
    return Frame(
        env,
        "CREATE" if creates else "CALL",
        message.caller,
        message.address,
        code_address,
        message.code,
        message.data,
        message.gas,
        message.value,
        0,
        message.static,
        creates=creates,
        transfers=True,
    )


def _run_to_end(first: Frame) -> None:
    """Run a message and all that it sends, with the open frames in a list."""
    run = _run if first.env.stepper is None else _run_stepwise
    if not messages.begin(first):
        messages.end(first)
        return
    frames = [first]
    while True:
        frame = frames[-1]
        try:
            finished = run(frame)
        except Halted as halted:
            frame.halt = halted.halt
            if frame.env.watcher is not None:
                frame.env.watcher.on_halt(halted.halt, _ended_by(frame), len(frame.stack))
            finished = None
        if finished is None:
            finished = frames.pop()
        elif messages.begin(finished):
            frames.append(finished)
            continue
        messages.end(finished)
        if not frames:
            return
        messages.deliver(finished, frames[-1])


def _ended_by(frame: Frame) -> int:
    """The opcode that has just failed; right for those that are none, and for stacks."""
    behind = frame.halt is Halt.BAD_OPCODE  # the position was moved on already
    at = frame.pc - 1 if behind else frame.pc
    return frame.code[at] if 0 <= at < len(frame.code) else 0


def _run(frame: Frame) -> Frame | None:
    """Run until the frame is over (None) or has a message for another frame (that frame)."""
    program = frame.program
    if not program.familiar:
        return _run_stepwise(frame)
    stack = frame.stack
    block = program.block(frame.pc)
    try:
        while True:
            gas = frame.gas - block.gas
            if gas < 0 or not block.low <= len(stack) <= block.high:
                break
            frame.gas = gas
            result = block.run(frame, stack)
            way = block.exit
            if way is _BRANCH:
                if result:
                    block = block.to or program.target(block)
                else:
                    block = block.next or program.after(block)
            elif way is _FALL:
                block = block.next or program.after(block)
            elif way is _GOTO:
                block = block.to or program.target(block)
            elif way is _JUMP:
                if result is None:
                    block = block.next or program.after(block)
                elif result in program.destinations:
                    block = program.block(result)
                else:
                    raise Halted(Halt.BAD_JUMP)
            elif way is _SEND:
                frame.pc = block.next_pc
                child: Frame = result
                return child
            else:
                return None
    except Halted as halted:
        if halted.halt is Halt.BAD_OPCODE:
            frame.pc = block.next_pc
        raise
    # The block can't be finished; find the opcode at which it ends, and how.
    frame.pc = block.start
    return _run_stepwise(frame)


def _run_stepwise(frame: Frame) -> Frame | None:
    """As `_run`, one opcode at a time, telling the tracer before each.

    Without a tracer it hands over to `_run` when the code turns out to loop.
    """
    program, stack = frame.program, frame.stack
    code, table, size = program.code, program.table, len(program.code)
    tracer = frame.env.stepper
    jumps = 0
    while True:
        pc = frame.pc
        number = code[pc] if pc < size else 0
        priced = table[number]
        if tracer is not None:
            price = 0
            if priced is not None:
                price = priced.gas if priced.fixed else whole_price(frame, priced)
            tracer.on_step(pc, number, frame.gas, price, frame)
        if priced is None:
            frame.pc = pc + 1
            raise Halted(Halt.BAD_OPCODE)
        height = len(stack)
        if height < priced.pops:
            raise Halted(Halt.STACK_UNDERFLOW)
        if height + priced.rise > STACK_MAX:
            raise Halted(Halt.STACK_OVERFLOW)
        frame.gas -= priced.gas
        if frame.gas < 0:
            raise Halted(Halt.OUT_OF_GAS)
        shape = priced.shape
        if shape is _PUSH:
            stack.append(pushed(code, pc, priced.operand_bytes))
            frame.pc = pc + 1 + priced.operand_bytes
            continue
        frame.pc = pc + 1
        result = priced.step(frame, stack)
        if priced.plain:
            continue
        if shape is _JUMP_TO or shape is _JUMPI:
            if result is not None:
                if result not in program.destinations:
                    raise Halted(Halt.BAD_JUMP)
                frame.pc = result
                jumps += 1
                if jumps > _JUMPS_MAX and tracer is None:
                    program.familiar = True
                    return _run(frame)
        elif shape is _PC:
            stack.append(pc)
        elif shape is _MESSAGE:
            child: Frame = result
            return child
        elif shape is _LAST:
            return None
