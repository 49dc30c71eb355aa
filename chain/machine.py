"""What a contract machine takes and gives back.

`chain` never names the VM: `chain.transition` is handed a `Machine`, and
`contracts.vm` implements it. On failure the machine itself has already
reverted `state` to what it was when the message came in.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from msgspec import Struct

from chain.forks import Fork
from chain.types import Address, Hash

if TYPE_CHECKING:
    from chain.state import State


class Halt(StrEnum):
    """How the execution of a message failed. Success is the absence of a halt."""

    REVERT = "execution reverted"
    OUT_OF_GAS = "out of gas"
    STACK_UNDERFLOW = "stack underflow"
    STACK_OVERFLOW = "stack limit reached"
    BAD_JUMP = "invalid jump destination"
    BAD_OPCODE = "invalid opcode"
    WRITE_PROTECTION = "write protection"
    RETURN_DATA_OUT_OF_BOUNDS = "return data out of bounds"
    DEPTH = "max call depth exceeded"
    BALANCE = "insufficient balance for transfer"
    COLLISION = "contract address collision"
    CODE_TOO_LARGE = "max code size exceeded"
    INITCODE_TOO_LARGE = "max initcode size exceeded"
    CODE_STARTS_WITH_EF = "invalid code: must not begin with 0xef"
    CODE_STORE_OUT_OF_GAS = "contract creation code storage out of gas"
    NONCE_OVERFLOW = "nonce uint64 overflow"
    PRECOMPILE = "precompiled contract failed"


class BlockContext(Struct, frozen=True):
    """The block that a message runs in. Fees in wei, times in seconds."""

    number: int
    timestamp: int
    coinbase: Address
    gas_limit: int
    chain_id: int
    base_fee: int  # 0 before London
    randomness: int  # what opcode 0x44 gives: difficulty, or PREVRANDAO from Paris on
    blob_base_fee: int  # 0 before Cancun
    block_hash: Callable[[int], Hash]  # asked only for the 256 ancestors; zero hash when unknown


class TransactionContext(Struct, frozen=True):
    """The transaction that a message belongs to."""

    origin: Address
    gas_price: int  # effective, wei per gas
    blob_hashes: tuple[Hash, ...] = ()


class Message(Struct, frozen=True):
    """A top-level call (`to` set) or creation (`to` is None) at depth 0.

    The sender's nonce is already raised and the gas already bought; `value` is
    not yet transferred. A creation deploys to `address`; a call runs in `address`
    (equal to `to`). `code` is what runs: the initcode, or the callee's code with
    an EIP-7702 delegation already resolved by whoever built the message.
    """

    caller: Address
    to: Address | None
    address: Address
    value: int
    data: bytes  # empty for a creation
    gas: int
    code: bytes
    code_address: Address  # whose code it is; a precompile is recognised by it
    static: bool = False


class Outcome(Struct, frozen=True):
    """The end of a message."""

    gas_left: int
    output: bytes  # return data, revert data, or the deployed code of a creation
    halt: Halt | None  # None: success


class Tracer(Protocol):
    """Watches execution. Every hook may be slow; none may change anything.

    `frame` is the machine's own live frame (contracts.vm.frame.Frame). A SELFDESTRUCT
    is entered and left like a message, with the balance as its value. A hook may
    raise, which ends the execution there and leaves the state useless.
    """

    @property
    def wants_steps(self) -> bool:
        """Whether `on_step` is to be called; without it, execution goes at full speed."""
        ...

    def on_step(self, pc: int, opcode: int, gas: int, cost: int, frame: object) -> None: ...
    def on_enter(
        self,
        kind: str,
        caller: Address,
        address: Address,
        code_address: Address,
        data: bytes,
        gas: int,
        value: int,
    ) -> None: ...
    def on_exit(self, output: bytes, gas_used: int, halt: Halt | None) -> None: ...


@runtime_checkable
class HaltWatcher(Protocol):
    """What a tracer may be besides: told of the opcode that a message failed at.

    It is told before `on_exit`, of messages that failed in the middle of their code, by a machine
    that knows. `height` is that of the stack before the opcode.
    """

    def on_halt(self, halt: Halt, opcode: int, height: int) -> None: ...


class Machine(Protocol):
    """Runs messages; stateless between them apart from caches."""

    def execute(
        self,
        message: Message,
        state: "State",
        block: BlockContext,
        transaction: TransactionContext,
        fork: Fork,
        tracer: Tracer | None = None,
    ) -> Outcome: ...


class Peeker(Protocol):
    """A machine that can tell what a message would give, without doing it."""

    @property
    def crowded(self) -> bool:
        """Whether the last time it could not tell for want of room alone."""
        ...

    def peek(
        self,
        message: Message,
        state: "State",
        block: BlockContext,
        transaction: TransactionContext,
        fork: Fork,
    ) -> Outcome | None:
        """What `Machine.execute` would give; `state` stays as it was. None: it can't tell."""
        ...
