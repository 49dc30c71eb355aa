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
from contracts.vm.program import Do, Exit, Programs, pushed

_FORKS_MAX: Final = 32  # whose tables and decoded codes are kept


class _Rules:
    """What the interpreter prepares once for a fork."""

    __slots__ = ("fork", "precompiles", "programs")

    def __init__(self, fork: Fork) -> None:
        self.fork = fork
        self.programs = Programs(fork)
        self.precompiles: Mapping[Address, Precompile] = precompiles_of(fork)


class Interpreter:
    """A chain.machine.Machine. Keeps decoded code between messages; not thread-safe."""

    def __init__(self) -> None:
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
        frame = _first_frame(env, message)
        _run_to_end(frame)
        return Outcome(frame.gas, frame.output, frame.halt)

    def _rules_of(self, fork: Fork) -> _Rules:
        rules = self._rules.get(id(fork))
        if rules is None:
            if len(self._rules) >= _FORKS_MAX:
                self._rules.clear()
            rules = self._rules[id(fork)] = _Rules(fork)
        return rules


def _first_frame(env: Environment, message: Message) -> Frame:
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
    run = _run if first.env.tracer is None else _run_stepwise
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


def _run(frame: Frame) -> Frame | None:
    """Run until the frame is over (None) or has a message for another frame (that frame)."""
    program = frame.program
    stack = frame.stack
    append, pop = stack.append, stack.pop
    block = program.block(frame.pc)
    while True:
        gas = frame.gas - block.gas
        if gas < 0 or not block.low <= len(stack) <= block.high:
            # The block can't be finished; find the opcode at which it ends, and how.
            frame.pc = block.start
            return _run_stepwise(frame)
        frame.gas = gas
        for kind, arg in block.steps:
            if kind == Do.PUSH:
                append(arg)
            elif kind == Do.DUP:
                append(stack[arg])
            elif kind == Do.SWAP:
                top = stack[-1]
                stack[-1] = stack[arg]
                stack[arg] = top
            elif kind == Do.WITH:
                word, function = arg
                stack[-1] = function(word, stack[-1])
            elif kind == Do.BINARY:
                top = pop()
                stack[-1] = arg(top, stack[-1])
            elif kind == Do.STEP:
                arg(frame)
            elif kind == Do.POP:
                pop()
            elif kind == Do.UNARY:
                stack[-1] = arg(stack[-1])
            else:
                a, b = pop(), pop()
                stack[-1] = arg(a, b, stack[-1])
        way = block.exit
        if way == Exit.JUMPI_TO:
            if pop():
                block = block.to or program.target(block)
            else:
                block = block.next or program.after(block)
        elif way == Exit.FALL:
            block = block.next or program.after(block)
        elif way == Exit.JUMP_TO:
            block = block.to or program.target(block)
        elif way == Exit.JUMP or way == Exit.JUMPI:
            target = pop()
            if way == Exit.JUMPI and not pop():
                block = block.next or program.after(block)
            elif target in program.destinations:
                block = program.block(target)
            else:
                raise Halted(Halt.BAD_JUMP)
        elif way == Exit.SEND:
            frame.pc = block.next_pc
            child: Frame = block.run(frame)
            return child
        else:
            block.run(frame)
            return None


def _run_stepwise(frame: Frame) -> Frame | None:
    """As `_run`, one opcode at a time, telling the tracer before each."""
    program, stack = frame.program, frame.stack
    code, table = program.code, program.table
    tracer = frame.env.tracer
    while True:
        pc = frame.pc
        number = code[pc] if pc < len(code) else 0
        priced = table[number]
        if priced is None:
            if tracer is not None:
                tracer.on_step(pc, number, frame.gas, 0, frame)
            raise Halted(Halt.BAD_OPCODE)
        if tracer is not None:
            tracer.on_step(pc, number, frame.gas, priced.gas, frame)
        opcode = priced.opcode
        if len(stack) < opcode.pops:
            raise Halted(Halt.STACK_UNDERFLOW)
        if len(stack) + priced.rise > STACK_MAX:
            raise Halted(Halt.STACK_OVERFLOW)
        frame.charge(priced.gas)
        frame.pc = pc + 1 + opcode.operand_bytes
        match opcode.shape:
            case Shape.PUSH:
                stack.append(pushed(code, pc, opcode.operand_bytes))
            case Shape.DUP:
                stack.append(stack[-opcode.pops])
            case Shape.SWAP:
                stack[-1], stack[-opcode.pops] = stack[-opcode.pops], stack[-1]
            case Shape.PURE:
                words = [stack.pop() for _ in range(opcode.pops)]
                stack.append(opcode.semantics(*words))
            case Shape.STEP:
                opcode.semantics(frame)
            case Shape.POP:
                stack.pop()
            case Shape.PC:
                stack.append(pc)
            case Shape.JUMP:
                frame.pc = _jump(frame, stack.pop())
            case Shape.JUMPI:
                target, condition = stack.pop(), stack.pop()
                if condition:
                    frame.pc = _jump(frame, target)
            case Shape.SEND:
                child: Frame = opcode.semantics(frame)
                return child
            case Shape.END:
                opcode.semantics(frame)
                return None
            case Shape.NOTHING:
                pass


def _jump(frame: Frame, target: int) -> int:
    if target not in frame.program.destinations:
        raise Halted(Halt.BAD_JUMP)
    return target
