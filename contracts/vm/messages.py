"""How a message starts and ends: checks, transfer, precompiles, deployment, and back to the sender.

A frame made by contracts.vm.calls (or by the interpreter for the top level) is
begun here, then runs, then is ended here and delivered to the frame below it.
"""

from typing import Final

from chain.machine import Halt
from contracts.vm.frame import DEPTH_MAX, Frame
from contracts.vm.precompiles import Precompile

_GAS_CODE_BYTE: Final = 200  # of deployed code
_NONCE_MAX: Final = 2**64 - 1  # EIP-2681

# Failures before anything ran: the gas that was meant for the message goes back.
_UNSPENT: Final = (Halt.REVERT, Halt.DEPTH, Halt.BALANCE, Halt.NONCE_OVERFLOW)


def begin(frame: Frame) -> bool:
    """Start a message; True when there is code to run, False when it is already over."""
    env = frame.env
    if env.tracer is not None:
        env.tracer.on_enter(
            frame.kind,
            frame.caller,
            frame.address,
            frame.code_address,
            frame.code if frame.creates else frame.data,
            frame.gas,
            frame.value,
        )
    frame.halt = _refusal(frame)
    if frame.halt is not None:
        return False
    state = frame.state
    if frame.creates:
        address = frame.address
        if frame.depth:
            state.set_nonce(frame.caller, state.nonce(frame.caller) + 1)
        if frame.fork.access_lists:
            state.warm_address(address)
        if state.has_code_nonce_or_storage(address):
            frame.halt = Halt.COLLISION
            frame.gas = 0
            return False
    frame.mark = state.checkpoint()
    if frame.creates:
        state.create_contract(address, frame.fork.contract_start_nonce)
    if frame.transfers:
        if frame.value:
            state.sub_balance(frame.caller, frame.value)
        state.add_balance(frame.address, frame.value)
    precompile = None if frame.creates else env.precompiles.get(frame.code_address)
    if precompile is not None:
        frame.halt = _run_precompile(precompile, frame)
        return False
    if not frame.code:
        return False
    frame.program = env.programs.of(frame.code)
    return True


def _run_precompile(precompile: Precompile, frame: Frame) -> Halt | None:
    price = precompile.gas(frame.data, frame.fork)
    if price > frame.gas:
        return Halt.OUT_OF_GAS
    frame.gas -= price
    output = precompile.run(frame.data, frame.fork)
    if output is None:
        return Halt.PRECOMPILE
    frame.output = output
    return None


def _refusal(frame: Frame) -> Halt | None:
    """Why the message can't even start; nothing has changed then."""
    if frame.depth > DEPTH_MAX:
        return Halt.DEPTH
    if frame.value and (frame.transfers or frame.kind == "CALLCODE"):
        if frame.state.balance(frame.caller) < frame.value:
            return Halt.BALANCE
    if frame.creates and frame.depth and frame.state.nonce(frame.caller) == _NONCE_MAX:
        return Halt.NONCE_OVERFLOW
    return None


def end(frame: Frame) -> None:
    """Finish a message: deploy or revert, and settle its gas."""
    if frame.halt is None and frame.creates:
        frame.halt = _deploy(frame)
    halt = frame.halt
    if halt is not None:
        if frame.mark is not None:
            frame.state.revert(frame.mark)
        if halt not in _UNSPENT:
            frame.gas = 0
        if halt is not Halt.REVERT:
            frame.output = b""
    tracer = frame.env.tracer
    if tracer is not None:
        tracer.on_exit(frame.output, frame.gas_given - frame.gas, halt)


def _deploy(frame: Frame) -> Halt | None:
    """Store what the initcode returned as the new contract's code, or say why not.

    In Frontier a deposit that can't be paid leaves an account without code.
    """
    fork, code = frame.fork, frame.output
    if fork.code_size_max is not None and len(code) > fork.code_size_max:
        return Halt.CODE_TOO_LARGE
    if fork.rejects_code_starting_with_ef and code.startswith(b"\xef"):
        return Halt.CODE_STARTS_WITH_EF
    price = _GAS_CODE_BYTE * len(code)
    if price > frame.gas:
        if fork.code_deposit_must_pay:
            return Halt.CODE_STORE_OUT_OF_GAS
        frame.output = b""
        return None
    frame.gas -= price
    if code:
        frame.state.set_code(frame.address, code)
    return None


def deliver(child: Frame, parent: Frame) -> None:
    """Give a finished message's result to the frame that sent it."""
    parent.gas += child.gas
    if child.halt is not None:
        parent.stack.append(0)
    elif child.creates:
        parent.stack.append(int.from_bytes(child.address, "big"))
    else:
        parent.stack.append(1)
    if child.creates and child.halt is None:
        parent.return_data = b""
        return
    output = parent.return_data = child.output
    size = min(child.return_size, len(output))
    if size:
        offset = child.return_offset
        parent.memory[offset : offset + size] = output[:size]
