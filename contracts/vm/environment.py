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


def address(frame: Frame) -> int:
    return int.from_bytes(frame.address, "big")


def caller(frame: Frame) -> int:
    return int.from_bytes(frame.caller, "big")


def callvalue(frame: Frame) -> int:
    return frame.value


def calldataload(frame: Frame, offset: int) -> int:
    return int.from_bytes(frame.data[offset : offset + 32].ljust(32, b"\0"), "big")


def calldatasize(frame: Frame) -> int:
    return len(frame.data)


def codesize(frame: Frame) -> int:
    return len(frame.code)


def returndatasize(frame: Frame) -> int:
    return len(frame.return_data)


def gas(frame: Frame) -> int:
    return frame.gas


def exp(frame: Frame, base: int, exponent: int) -> int:
    """Costs by the bytes of the exponent, so it is no pure opcode."""
    frame.charge(frame.fork.gas_exp_byte * ((exponent.bit_length() + 7) >> 3))
    return power(base, exponent)


# -- the transaction --


def origin(frame: Frame) -> int:
    return int.from_bytes(frame.env.transaction.origin, "big")


def gasprice(frame: Frame) -> int:
    return frame.env.transaction.gas_price


def blobhash(frame: Frame, index: int) -> int:
    hashes = frame.env.transaction.blob_hashes
    return int.from_bytes(hashes[index], "big") if index < len(hashes) else 0


# -- the block --


def blockhash(frame: Frame, number: int) -> int:
    """The hash of one of the 256 blocks before this one, else 0."""
    block = frame.env.block
    if block.number - 256 <= number < block.number:
        return int.from_bytes(block.block_hash(number), "big")
    return 0


def coinbase(frame: Frame) -> int:
    return int.from_bytes(frame.env.block.coinbase, "big")


def timestamp(frame: Frame) -> int:
    return frame.env.block.timestamp


def number(frame: Frame) -> int:
    return frame.env.block.number


def randomness(frame: Frame) -> int:
    return frame.env.block.randomness


def gaslimit(frame: Frame) -> int:
    return frame.env.block.gas_limit


def chainid(frame: Frame) -> int:
    return frame.env.block.chain_id


def basefee(frame: Frame) -> int:
    return frame.env.block.base_fee


def blobbasefee(frame: Frame) -> int:
    return frame.env.block.blob_base_fee


# -- accounts --


def balance(frame: Frame, word: int) -> int:
    account = address_of(word)
    warm_up(frame, account)
    return frame.state.balance(account)


def selfbalance(frame: Frame) -> int:
    return frame.state.balance(frame.address)


def extcodesize(frame: Frame, word: int) -> int:
    account = address_of(word)
    warm_up(frame, account)
    return len(frame.state.code(account))


def extcodehash(frame: Frame, word: int) -> int:
    """0 for an account that is empty or absent (EIP-1052, EIP-161)."""
    account = address_of(word)
    warm_up(frame, account)
    state = frame.state
    return 0 if state.is_empty(account) else int.from_bytes(state.code_hash(account), "big")
