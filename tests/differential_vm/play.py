"""A random block on a machine: what each of its steps came to, and the first difference.

How often is looked at the state differs, since a machine may keep what it knows of a
state until somebody asks; what messages return, and the state's change at a block's end,
are compared in any case.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from chain import transactions
from chain.commitment import commit
from chain.crypto.keccak import keccak
from chain.errors import Rejected
from chain.forks import GAS_PER_BLOB, Fork
from chain.machine import BlockContext, Halt, Machine, Message, Outcome, Tracer, TransactionContext
from chain.queries import Queries
from chain.state import Account, Delta, State
from chain.transactions import Kind, decode_transaction
from chain.transition import (
    TransactionResult,
    apply_transaction,
    contract_address,
    delegate_of,
    simulate,
)
from chain.types import Address
from chain.validation import check_transaction
from chain.views import Overlay, TrieView
from contracts.vm import Interpreter
from contracts.vm.native.interpreter import NativeInterpreter
from node.conformance import fixtures
from node.conformance.networks import fork_named
from node.conformance.statetest import block_context, build_transaction
from tests.differential_vm import actors
from tests.differential_vm.blocks import SALTED, SENDERS
from tests.differential_vm.bytecode import ABSENT, COINBASE, CONTRACTS, DELEGATED, FUNDED, SLOTS

Json = dict[str, Any]

_INDEXES: Final = {"data": 0, "gas": 0, "value": 0}
_CHAIN_ID: Final = 1
_STORING: Final = tuple(map(Address, (*actors.ACTORS, *CONTRACTS, DELEGATED, *SENDERS, *SALTED)))
_CREATED: Final = tuple(
    contract_address(Address(creator), nonce)
    for creator in (*actors.FACTORIES, *SENDERS)
    for nonce in range(3)
)
_LOOKED_AT: Final = (*_STORING, *map(Address, (FUNDED, ABSENT, COINBASE)), *_CREATED)


class _Cut(Exception):
    """The end of a message that was ended from outside."""


class _CutState(State):
    """A state that ends what runs on it after some checkpoints, as one with a deadline does."""

    __slots__ = ("_left",)

    def __init__(self, view: TrieView, checkpoints: int) -> None:
        super().__init__(view)
        self._left = checkpoints

    def checkpoint(self) -> int:
        self._left -= 1
        if self._left < 0:
            raise _Cut
        return super().checkpoint()


class _Watcher:
    """A tracer without steps, which has messages run where they are told of."""

    wants_steps = False

    def on_step(self, pc: int, opcode: int, gas: int, cost: int, frame: object) -> None:
        raise AssertionError("steps that nobody wants")

    def on_enter(self, *_: object) -> None:
        pass

    def on_exit(self, *_: object) -> None:
        pass


def looked_at(state: State) -> Json:
    """All that a state says of the accounts that blocks are about."""
    seen: Json = {
        "refund": state.refund,
        "logs": [(log.address.hex(), log.data.hex()) for log in state.logs],
        "destructed": sorted(address.hex() for address in state.destructed()),
        "touched": sorted(address.hex() for address in state.touched_addresses(frozenset())),
    }
    for address in _LOOKED_AT:
        account = state.account(address)
        name = address.hex()
        # Native code does not touch what would go away with the transaction; where empty
        # accounts stay, the block's changes tell of them.
        if account is not None and not state.is_empty(address):
            code = state.code(address)
            seen[name] = (account.nonce, account.balance, account.code_hash.hex(), len(code))
        if state.is_warm_address(address):
            seen[f"{name} warm"] = True
        if state.created_here(address):
            seen[f"{name} created"] = True
    for address in _STORING:
        name = address.hex()
        for slot in SLOTS:
            # Original values show in prices; what they are once somebody has changed an account
            # from outside, nobody says.
            told = (
                state.storage(address, slot),
                state.transient(address, slot),
                state.is_warm_slot(address, slot),
            )
            if any(told):
                seen[f"{name} {slot:#x}"] = told
    return seen


def _change_told(delta: Delta) -> Json:
    return {
        "accounts": {
            address.hex(): account and (account.nonce, account.balance, account.code_hash.hex())
            for address, account in delta.accounts.items()
        },
        "storage": {
            address.hex(): {hex(slot): value for slot, value in sorted(slots.items())}
            for address, slots in delta.storage.items()
        },
        "wiped": sorted(address.hex() for address in delta.wiped),
        "codes": sorted(code_hash.hex() for code_hash in delta.codes),
    }


def _outcome_told(outcome: Outcome) -> Json:
    kind = _kind(outcome.halt)
    return {"gas_left": outcome.gas_left, "output": outcome.output.hex(), "halt": kind}


def _kind(halt: Halt | None) -> str:
    """Failures other than a revert are all the same."""
    return "success" if halt is None else "revert" if halt is Halt.REVERT else "failure"


class _Seeing:
    """A machine that tells what its messages came to, and what the state was then."""

    def __init__(self, machine: Machine, seen: Json, *, looks: bool) -> None:
        self._machine = machine
        self._seen = seen
        self._looks = looks

    def execute(
        self,
        message: Message,
        state: State,
        block: BlockContext,
        transaction: TransactionContext,
        fork: Fork,
        tracer: Tracer | None = None,
    ) -> Outcome:
        outcome = self._machine.execute(message, state, block, transaction, fork, tracer)
        self._seen |= _outcome_told(outcome)
        if self._looks:
            self._seen |= looked_at(state)
        return outcome


class _Living:
    """A living state, the block around it, and how far its transaction is."""

    def __init__(self, view: TrieView, block: BlockContext) -> None:
        self.view = view
        self.block = block
        self.restart()

    def restart(self) -> None:
        """Drop what was done."""
        self.state = State(self.view)
        self.queries: Queries | None = None
        self.marks: list[int] = []
        self.open = False
        self.context = TransactionContext(SENDERS[0], 12)

    def begin(self) -> None:
        self.state.begin_transaction()
        self.marks = []
        self.open = True
        self.context = TransactionContext(SENDERS[0], 12)

    def end(self, fork: Fork) -> None:
        if self.open:
            self.state.end_transaction(fork)
        self.marks = []
        self.open = False


class Player:
    """Plays one block on one machine."""

    def __init__(self, block: Json, machine: Machine) -> None:
        self._machine = machine
        self._fork: Fork = fork_named(block["fork"])
        self._steps = block["steps"]
        view = fixtures.view_of(fixtures.parse_state(block["pre"]))
        context = block_context(block["env"], self._fork, _CHAIN_ID)
        self._living = [_Living(view, context) for _ in range(2)]

    def played(self) -> list[Json]:
        """What was seen of each step, and of the two blocks at the end."""
        seen = [self._played(step) for step in self._steps]
        return seen + [self._block_ends(living) for living in self._living]

    def _played(self, step: Json) -> Json:
        living, fork = self._living[step["on"]], self._fork
        seen: Json = {}
        match step["do"]:
            case "transaction":
                self._transact(step, living, seen)
            case "message":
                self._send(step, living, seen)
            case "query":
                seen |= self._asked(step, living)
            case "change":
                _change(step, living.state)
            case "checkpoint":
                living.marks.append(living.state.checkpoint())
            case "undo":
                if living.marks:
                    living.state.revert(living.marks.pop())
            case "begin":
                living.end(fork)
                living.begin()
            case "end":
                living.end(fork)
            case "next block":
                seen |= self._block_ends(living)
            case "other block":
                living.restart()
            case "cut":
                self._cut(step, living)
            case unknown:
                raise ValueError(f"step {unknown}")
        if step["look"]:
            seen["state"] = looked_at(living.state)
        return seen

    def _block_ends(self, living: _Living) -> Json:
        living.end(self._fork)
        delta = living.state.delta()
        changes = commit(living.view, delta)
        living.view = Overlay(living.view, changes)
        living.block = _next_block(living.block)
        living.restart()
        return {"root": changes.root.hex(), **_change_told(delta)}

    def _seeing(self, step: Json, seen: Json) -> Machine:
        return _Seeing(self._machine, seen, looks=step["look_inside"])

    def _transact(self, step: Json, living: _Living, seen: Json) -> None:
        living.end(self._fork)
        state, fork, told = living.state, self._fork, dict(step["transaction"])
        key = fixtures.fixed(told["secretKey"], 32, "secretKey")
        sender = SENDERS[key[-1] - 7]
        told["nonce"] = hex(state.nonce(sender))
        told["data"] = ["0x" + actors.call_data(told["data"][0]).hex()]
        raw = build_transaction(told, _INDEXES, fork, _CHAIN_ID)
        try:
            result = apply_transaction(
                state,
                check_transaction(decode_transaction(raw), fork, _CHAIN_ID),
                living.block,
                self._seeing(step, seen),
                fork,
                gas_available=living.block.gas_limit,
                blob_gas_available=fork.blobs.max * GAS_PER_BLOB if fork.blobs else 0,
                tracer=_Watcher() if step["traced"] else None,
            )
        except Rejected as error:
            seen["refused"] = str(error)
            return
        seen["gas_used"], seen["gas_needed"] = result.gas_used, result.gas_needed
        seen["logs"] = [
            (log.address.hex(), [topic.hex() for topic in log.topics], log.data.hex())
            for log in result.logs
        ]

    def _send(self, step: Json, living: _Living, seen: Json) -> None:
        if step["begins"] or not living.open:
            living.end(self._fork)
            living.begin()
        state = living.state
        mark = state.checkpoint() if step["undone"] else None
        message = self._message(step, state)
        machine = self._seeing(step, seen)
        tracer = _Watcher() if step["traced"] else None
        machine.execute(message, state, living.block, living.context, self._fork, tracer)
        if mark is not None:
            state.revert(mark)
        if step["ends"]:
            living.end(self._fork)

    def _asked(self, step: Json, living: _Living) -> Json:
        """What a call gives on the state before the block: quickly, where the machine can."""
        fork, gas = self._fork, int(step["gas"], 16)
        sender, to = (Address(bytes.fromhex(step[name][2:])) for name in ("caller", "to"))
        data = actors.call_data(step["data"])
        outcome: Outcome | TransactionResult | None = None
        if isinstance(self._machine, NativeInterpreter):
            if living.queries is None:
                living.queries = Queries(living.view, living.block, fork, self._machine)
            outcome = living.queries.ask(sender, to, data, gas)
        if outcome is None:
            call = transactions.build_transaction(
                kind=Kind.LEGACY,
                chain_id=_CHAIN_ID,
                nonce=0,
                gas_limit=gas,
                max_fee=0,
                to=to,
                data=data,
            )
            state = State(living.view)
            try:
                outcome = simulate(state, call, sender, living.block, self._machine, fork)
            except Rejected as error:
                return {"refused": str(error)}
        return {"halt": _kind(outcome.halt), "output": outcome.output.hex()}

    def _message(self, step: Json, state: State) -> Message:
        fork = self._fork
        caller = Address(bytes.fromhex(step["caller"][2:]))
        data, value = actors.call_data(step["data"]), int(step["value"], 16)
        value = min(value, state.balance(caller))
        if value and not state.nonce(caller):
            state.set_nonce(caller, 1)  # whoever sends wei has one, and so does not become empty
        gas = int(step["gas"], 16)
        if fork.access_lists:
            state.prewarm(fork.precompiles)
            state.warm_address(caller)
        if not step["to"]:
            created = contract_address(caller, state.nonce(caller))
            state.set_nonce(caller, state.nonce(caller) + 1)
            if fork.access_lists:
                state.warm_address(created)
            return Message(caller, None, created, value, b"", gas, data, created)
        to = Address(bytes.fromhex(step["to"][2:]))
        if fork.access_lists:
            state.warm_address(to)
        code = state.code(to)
        if fork.delegations and (delegate := delegate_of(code)) is not None:
            state.warm_address(delegate)
            code = state.code(delegate)
        return Message(caller, to, to, value, data, gas, code, to, static=step["static"])

    def _cut(self, step: Json, living: _Living) -> None:
        """What it comes to is lost with its state; the machine has to stand it."""
        state = _CutState(living.view, step["checkpoints"])
        message = self._message(
            {"caller": "0x" + SENDERS[0].hex(), "value": "0x0", "gas": hex(300_000)}
            | {"static": False, **step},
            state,
        )
        state.begin_transaction()
        with suppress(_Cut):
            self._machine.execute(message, state, living.block, living.context, self._fork)


def _next_block(block: BlockContext) -> BlockContext:
    """The child of a block that has something else to say about everything."""
    number = block.number + 1
    return replace(
        block,
        number=number,
        timestamp=block.timestamp + 12,
        coinbase=COINBASE if number % 2 else Address(CONTRACTS[1]),
        randomness=block.randomness ^ number,
        base_fee=block.base_fee and 10 + number % 2,
        blob_base_fee=block.blob_base_fee and 1 + number % 3,
        block_hash=lambda height: keccak(b"%d of %d" % (height, number)),
    )


def _change(step: Json, state: State) -> None:
    """What a node does to a state on its own: rewards, withdrawals, overrides, cheats."""
    address = Address(bytes.fromhex(step["address"][2:]))
    slot, value = int(step["slot"], 16), int(step["value"], 16)
    code = bytes.fromhex(step["code"][2:])
    if state.is_empty(address):
        # What is empty or holds slots only would go away by whether a call has touched it before.
        state.set_nonce(address, 1)
    match step["what"]:
        case "balance":
            state.set_balance(address, value)
        case "nonce":
            state.set_nonce(address, value or 1)
        case "code":
            state.set_code(address, code)
        case "storage":
            state.set_storage(address, slot, value)
        case "override_storage":
            state.override_storage(address, {slot: value})
        case "override_account":
            state.override_account(address, Account(nonce=1, balance=value))
        case "warm_address":
            state.warm_address(address)
        case "warm_slot":
            state.warm_slot(address, slot)
        case "transient":
            state.set_transient(address, slot, value)
        case "touch":
            state.touch(address)
        case "refund":
            state.refund += value
        case unknown:
            raise ValueError(f"change {unknown}")
    if state.is_empty(address):
        state.set_nonce(address, 1)


class BlockDifference(Struct, frozen=True):
    """A block that a tier gets wrong: in which step, which of its facts first."""

    tier: str
    step: int
    what: str
    block: Json
    crash: bool = False


def block_difference(
    block: Json, tier: str, machine: Machine, expected: Sequence[Json] | None = None
) -> BlockDifference | None:
    """Where a tier's first differs from the plain interpreter, if it does."""
    if expected is None:
        expected = Player(block, Interpreter()).played()
    player = Player(block, machine)
    try:
        got = player.played()
    except Exception as error:
        return BlockDifference(tier, -1, f"crash: {type(error).__name__}: {error}", block, True)
    for step, (wanted, came) in enumerate(zip(expected, got, strict=True)):
        if wanted != came:
            return BlockDifference(tier, step, _told(wanted, came), block)
    return None


def _told(wanted: Json, came: Json) -> str:
    lines: list[str] = []
    for name in {**wanted, **came}:
        ours, theirs = wanted.get(name), came.get(name)
        if ours == theirs:
            continue
        if isinstance(ours, dict) and isinstance(theirs, dict):
            lines.append(f"{name}: {_told(ours, theirs)}")
        else:
            lines.append(f"{name} is {theirs}, should be {ours}")
    return "; ".join(lines)


def write_block(folder: Path, name: str, difference: BlockDifference) -> Path:
    """A file that `python -m tests.differential_vm --play` shows the difference of."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.block.json"
    told = {"comment": difference.what, "step": difference.step, **difference.block}
    path.write_text(json.dumps(told, indent=1) + "\n")
    return path
