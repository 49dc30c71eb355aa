"""Traces of calls between a few contracts in a small world."""

from collections.abc import Mapping
from typing import Any

import msgspec

from chain.forks import OSAKA, Fork
from chain.state import State
from chain.transactions import Kind, build_transaction
from chain.transition import TransactionResult, simulate
from chain.types import Address
from contracts.vm import Interpreter
from node.tracing import Budget, Factory, Place, Subject, choose
from node.tracing.transfers import TransferTracer
from tests.contracts.vm.laboratory import BLOCK, CALLER, COINBASE, ETHER, TARGET, View, assemble

FIRST = Address(b"\x0a" * 20)
SECOND = Address(b"\x0b" * 20)


def shown(address: Address) -> str:
    return "0x" + address.hex()


def world(**codes: str) -> View:
    """A rich caller, and contracts TARGET, FIRST, SECOND with the codes given."""
    view = View()
    view.put(CALLER, balance=100 * ETHER, nonce=5)
    for name, code in codes.items():
        view.put({"target": TARGET, "first": FIRST, "second": SECOND}[name], code=assemble(code))
    return view


def send(kind: str, to: Address, *, value: int = 0, gas: int = 100_000, size: int = 0) -> str:
    """The code that sends a message with `size` bytes of memory, and drops its result."""
    amount = f"{value} " if kind in ("CALL", "CALLCODE") else ""
    return f"0 0 {size} 0 {amount}PUSH20 0x{to.hex()} {gas} {kind} POP "


def answer(
    view: View,
    make: Factory,
    *,
    to: Address | None = TARGET,
    value: int = 0,
    data: bytes = b"",
    gas: int = 5_000_000,
    budget: Budget | None = None,
    fork: Fork = OSAKA,
    max_fee: int = 0,
    place: Place | None = None,
) -> bytes:
    """The answer about a call by CALLER, encoded."""
    state = State(view)
    transaction = build_transaction(
        kind=Kind.DYNAMIC_FEE,
        chain_id=31_337,
        nonce=5,
        gas_limit=gas,
        max_fee=max_fee,
        max_priority_fee=0,
        to=to,
        value=value,
        data=data,
    )
    subject = Subject(transaction, CALLER, state, COINBASE, fork, place or Place())
    tracer = make(subject, budget or Budget(60, 10**7))
    outcome = simulate(state, transaction, CALLER, BLOCK, Interpreter(), fork, tracer=tracer)
    encoded: bytes = msgspec.json.encode(tracer.result(outcome))
    return encoded


def call(view: View, make: Factory, **message: Any) -> Any:
    """The same, decoded."""
    return msgspec.json.decode(answer(view, make, **message))


def trace(view: View, tracer: str, config: Mapping[str, Any] | None = None, **message: Any) -> Any:
    """The answer of the tracer with this name."""
    return call(view, choose(tracer, config or {}), **message)


def transfers(view: View, **message: Any) -> tuple[TransferTracer, TransactionResult]:
    """What the tracer of transfers found in a call by CALLER."""
    state = State(view)
    tracer = TransferTracer(state)
    transaction = build_transaction(
        kind=Kind.DYNAMIC_FEE, chain_id=1, nonce=5, gas_limit=5_000_000, max_fee=0, to=TARGET,
        **message,
    )  # fmt: skip
    outcome = simulate(state, transaction, CALLER, BLOCK, Interpreter(), OSAKA, tracer=tracer)
    return tracer, outcome
