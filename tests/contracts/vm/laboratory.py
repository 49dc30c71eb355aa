"""A small world to run code in: an assembler, a state made of dictionaries, one call."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from chain.crypto.keccak import keccak
from chain.forks import OSAKA, Fork
from chain.machine import BlockContext, Halt, Message, Outcome, Tracer, TransactionContext
from chain.state import Account, State
from chain.types import EMPTY_CODE_HASH, EMPTY_ROOT, Address, Hash
from contracts.vm import OPCODES, Interpreter

CALLER = Address(b"\xca" * 20)
TARGET = Address(b"\x7a" * 20)
OTHER = Address(b"\x07" * 20)
COINBASE = Address(b"\xcb" * 20)
ETHER = 10**18

_CODES = {opcode.name: opcode.code for opcode in OPCODES.values()}


def assemble(text: str) -> bytes:
    """Bytecode of opcode names; a number is pushed with the shortest PUSH of at least one byte.

    `PUSHn` takes the number after it; `0x...` of other lengths and decimals are pushed.
    """
    code = bytearray()
    words = iter(text.split())
    for word in words:
        if word.startswith("PUSH") and word != "PUSH0":
            size = int(word[4:])
            code.append(0x5F + size)
            code += int(next(words), 0).to_bytes(size, "big")
        elif word in _CODES:
            code.append(_CODES[word])
        else:
            code += push(int(word, 0))
    return bytes(code)


def push(number: int) -> bytes:
    size = max(1, (number.bit_length() + 7) // 8)
    return bytes([0x5F + size]) + number.to_bytes(size, "big")


@dataclass
class View:
    """A frozen state of dictionaries."""

    accounts: dict[Address, Account] = field(default_factory=dict)
    slots: dict[tuple[Address, int], int] = field(default_factory=dict)
    codes: dict[Hash, bytes] = field(default_factory=dict)

    def account(self, address: Address) -> Account | None:
        return self.accounts.get(address)

    def storage(self, address: Address, slot: int) -> int:
        return self.slots.get((address, slot), 0)

    def code(self, code_hash: Hash) -> bytes:
        return self.codes[code_hash]

    def put(
        self,
        address: Address,
        *,
        code: bytes = b"",
        balance: int = 0,
        nonce: int = 1,
        storage: Mapping[int, int] | None = None,
    ) -> "View":
        code_hash = keccak(code) if code else EMPTY_CODE_HASH
        self.codes[code_hash] = code
        root = Hash(b"\x01" * 32) if storage else EMPTY_ROOT
        self.accounts[address] = Account(nonce, balance, root, code_hash)
        for slot, value in (storage or {}).items():
            self.slots[address, slot] = value
        return self


BLOCK = BlockContext(
    number=1_000,
    timestamp=1_700_000_000,
    coinbase=COINBASE,
    gas_limit=30_000_000,
    chain_id=31_337,
    base_fee=7,
    randomness=0x1234,
    blob_base_fee=3,
    block_hash=lambda number: keccak(str(number).encode()),
)
TRANSACTION = TransactionContext(CALLER, 10, (Hash(b"\x01" * 32), Hash(b"\x02" * 32)))


@dataclass
class Result:
    outcome: Outcome
    state: State
    gas: int

    @property
    def halt(self) -> Halt | None:
        return self.outcome.halt

    @property
    def gas_used(self) -> int:
        return self.gas - self.outcome.gas_left

    @property
    def word(self) -> int:
        """The output as a number."""
        return int.from_bytes(self.outcome.output, "big")

    @property
    def words(self) -> list[int]:
        output = self.outcome.output
        return [int.from_bytes(output[i : i + 32], "big") for i in range(0, len(output), 32)]


def run(
    code: bytes | str,
    *,
    view: View | None = None,
    data: bytes = b"",
    gas: int = 10_000_000,
    value: int = 0,
    fork: Fork = OSAKA,
    static: bool = False,
    tracer: Tracer | None = None,
    machine: Interpreter | None = None,
) -> Result:
    """Send a message to TARGET, which has this code; CALLER has a hundred ether."""
    code = assemble(code) if isinstance(code, str) else code
    view = view or View()
    view.put(CALLER, balance=100 * ETHER, nonce=0)
    if TARGET not in view.accounts:
        view.put(TARGET, code=code)
    state = begin(view)
    message = Message(CALLER, TARGET, TARGET, value, data, gas, code, TARGET, static)
    outcome = (machine or Interpreter()).execute(message, state, BLOCK, TRANSACTION, fork, tracer)
    return Result(outcome, state, gas)


def deploy(
    initcode: bytes | str,
    *,
    address: Address = TARGET,
    view: View | None = None,
    gas: int = 10_000_000,
    value: int = 0,
    fork: Fork = OSAKA,
) -> Result:
    """Send a creation to `address`."""
    initcode = assemble(initcode) if isinstance(initcode, str) else initcode
    view = view or View()
    view.put(CALLER, balance=100 * ETHER, nonce=1)
    state = begin(view)
    message = Message(CALLER, None, address, value, b"", gas, initcode, address)
    outcome = Interpreter().execute(message, state, BLOCK, TRANSACTION, fork)
    return Result(outcome, state, gas)


def begin(view: View) -> State:
    state = State(view)
    state.begin_transaction()
    state.warm_address(CALLER)
    state.warm_address(TARGET)
    return state


RETURN_TOP = "0 MSTORE 32 0 RETURN"  # gives the top of the stack as output


def returning(code: str) -> str:
    return f"{code} {RETURN_TOP}"


def initcode_for(runtime: bytes) -> bytes:
    """Initcode that deploys `runtime`."""
    prefix = assemble(f"PUSH2 {len(runtime)} DUP1 PUSH1 12 PUSH1 0 CODECOPY PUSH1 0 RETURN")
    assert len(prefix) == 12, len(prefix)
    return prefix + runtime
