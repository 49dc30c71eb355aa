"""What a contract can ask about itself, the transaction, the block and other accounts."""

from typing import Final

from chain.types import Address
from contracts.vm.arithmetic import exp as power
from contracts.vm.frame import Frame

_ADDRESS_MASK: Final = 2**160 - 1


def address_of(word: int) -> Address:
    """The address in a word; its upper 12 bytes are ignored."""
    return Address((word & _ADDRESS_MASK).to_bytes(20, "big"))


def warm_up(frame: Frame, address: Address) -> None:
    """Pay what a cold account costs on top of a warm one, and warm it (EIP-2929)."""
    fork = frame.fork
    if fork.access_lists and frame.state.warm_address(address):
        frame.charge(fork.gas_cold_account - fork.gas_warm)


# -- the message --


def address(frame: Frame) -> None:
    frame.stack.append(int.from_bytes(frame.address, "big"))


def caller(frame: Frame) -> None:
    frame.stack.append(int.from_bytes(frame.caller, "big"))


def callvalue(frame: Frame) -> None:
    frame.stack.append(frame.value)


def calldataload(frame: Frame) -> None:
    stack = frame.stack
    offset = stack[-1]
    stack[-1] = int.from_bytes(frame.data[offset : offset + 32].ljust(32, b"\0"), "big")


def calldatasize(frame: Frame) -> None:
    frame.stack.append(len(frame.data))


def codesize(frame: Frame) -> None:
    frame.stack.append(len(frame.code))


def returndatasize(frame: Frame) -> None:
    frame.stack.append(len(frame.return_data))


def gas(frame: Frame) -> None:
    frame.stack.append(frame.gas)


def exp(frame: Frame) -> None:
    """Costs by the bytes of the exponent, so it is no pure opcode."""
    stack = frame.stack
    base, exponent = stack.pop(), stack[-1]
    frame.charge(frame.fork.gas_exp_byte * ((exponent.bit_length() + 7) >> 3))
    stack[-1] = power(base, exponent)


# -- the transaction --


def origin(frame: Frame) -> None:
    frame.stack.append(int.from_bytes(frame.env.transaction.origin, "big"))


def gasprice(frame: Frame) -> None:
    frame.stack.append(frame.env.transaction.gas_price)


def blobhash(frame: Frame) -> None:
    stack = frame.stack
    index = stack[-1]
    hashes = frame.env.transaction.blob_hashes
    stack[-1] = int.from_bytes(hashes[index], "big") if index < len(hashes) else 0


# -- the block --


def blockhash(frame: Frame) -> None:
    """The hash of one of the 256 blocks before this one, else 0."""
    stack = frame.stack
    number = stack[-1]
    block = frame.env.block
    if block.number - 256 <= number < block.number:
        stack[-1] = int.from_bytes(block.block_hash(number), "big")
    else:
        stack[-1] = 0


def coinbase(frame: Frame) -> None:
    frame.stack.append(int.from_bytes(frame.env.block.coinbase, "big"))


def timestamp(frame: Frame) -> None:
    frame.stack.append(frame.env.block.timestamp)


def number(frame: Frame) -> None:
    frame.stack.append(frame.env.block.number)


def randomness(frame: Frame) -> None:
    frame.stack.append(frame.env.block.randomness)


def gaslimit(frame: Frame) -> None:
    frame.stack.append(frame.env.block.gas_limit)


def chainid(frame: Frame) -> None:
    frame.stack.append(frame.env.block.chain_id)


def basefee(frame: Frame) -> None:
    frame.stack.append(frame.env.block.base_fee)


def blobbasefee(frame: Frame) -> None:
    frame.stack.append(frame.env.block.blob_base_fee)


# -- accounts --


def balance(frame: Frame) -> None:
    stack = frame.stack
    account = address_of(stack[-1])
    warm_up(frame, account)
    stack[-1] = frame.state.balance(account)


def selfbalance(frame: Frame) -> None:
    frame.stack.append(frame.state.balance(frame.address))


def extcodesize(frame: Frame) -> None:
    stack = frame.stack
    account = address_of(stack[-1])
    warm_up(frame, account)
    stack[-1] = len(frame.state.code(account))


def extcodehash(frame: Frame) -> None:
    """0 for an account that is empty or absent (EIP-1052, EIP-161)."""
    stack = frame.stack
    account = address_of(stack[-1])
    warm_up(frame, account)
    state = frame.state
    empty = state.is_empty(account)
    stack[-1] = 0 if empty else int.from_bytes(state.code_hash(account), "big")
