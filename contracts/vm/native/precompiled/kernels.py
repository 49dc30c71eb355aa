"""Kernels of the contracts that copy and hash: gas, input and output as the definitions say."""

from contracts.vm.native.precompiled.entries import FAILED, LEFT, Contract, ask_python
from contracts.vm.native.precompiled.exchange import give_output, take
from contracts.vm.native.precompiled.recovery import (
    SERIALIZED,
    UNCOMPRESSED,
    Library,
    Scratch,
    parse_signature,
    recover_signer,
    serialize_key,
)
from contracts.vm.native.precompiled.sha256 import START, sha256_blocks
from contracts.vm.native.precompiled.sums import RIPEMD160_START, blake2_rounds, ripemd160_blocks
from contracts.vm.native.records import BROKEN, NO_GAS, U64, Words
from contracts.vm.native.words import (
    address_of,
    at,
    clear_bytes,
    fresh,
    inlined,
    keccak_permute,
    load_byte,
    move_bytes,
    room,
    store_byte,
)
from contracts.vm.precompiles.blake2 import INPUT, IV

# Two words of the state in one: the first in the lower half.
SHA_0 = START[0] | START[1] << 32
SHA_1 = START[2] | START[3] << 32
SHA_2 = START[4] | START[5] << 32
SHA_3 = START[6] | START[7] << 32
RIPEMD_0 = RIPEMD160_START[0] | RIPEMD160_START[1] << 32
RIPEMD_1 = RIPEMD160_START[2] | RIPEMD160_START[3] << 32
RIPEMD_2 = RIPEMD160_START[4]

PARITY_REST = 2**56 - 1  # of the word with the parity, all but its last byte

IV_0, IV_1, IV_2, IV_3, IV_4, IV_5, IV_6, IV_7 = IV


@inlined
def after_words(contract: Contract, size: U64, gas: U64) -> U64:
    """The gas left when every begun word of the input has been paid for, or NO_GAS."""
    cost = contract.price + contract.unit_price * ((size + 31) >> 5)
    return NO_GAS if cost > gas else gas - cost


@inlined
def store_big(place: U64, number: U64) -> None:
    for i in range(8):
        store_byte(place + i, number >> (56 - 8 * i))


def run_identity(contract: Contract, data: U64, size: U64, gas: U64) -> U64:
    contract.output_at = data
    contract.output_size = size
    return after_words(contract, size, gas)


def pad(last: Words, rest: U64, size: U64) -> U64:
    """Put what is left of a message, a one bit and zeros into one block or two; how many."""
    start = address_of(last)
    clear_bytes(start, 128)
    move_bytes(start, rest, size)
    store_byte(start + size, 0x80)
    return 1 if size < 56 else 2


def hash_sha256(out: U64, data: U64, size: U64) -> None:
    """Put the 32 bytes of the digest at an address."""
    state = room(4)
    state[0] = SHA_0
    state[1] = SHA_1
    state[2] = SHA_2
    state[3] = SHA_3
    sha256_blocks(state, data, size >> 6)
    last = room(16)
    blocks = pad(last, data + (size & ~63), size & 63)
    store_big(address_of(last) + 64 * blocks - 8, size << 3)
    sha256_blocks(state, address_of(last), blocks)
    for i in range(4):
        store_big(out + 8 * i, (state[i] << 32) | (state[i] >> 32))


def run_sha256(contract: Contract, data: U64, size: U64, gas: U64) -> U64:
    left_gas = after_words(contract, size, gas)
    if left_gas == NO_GAS:
        return NO_GAS
    hash_sha256(address_of(contract.output), data, size)
    give_output(contract, 32)
    return left_gas


def run_ripemd160(contract: Contract, data: U64, size: U64, gas: U64) -> U64:
    left_gas = after_words(contract, size, gas)
    if left_gas == NO_GAS:
        return NO_GAS
    state = room(3)
    state[0] = RIPEMD_0
    state[1] = RIPEMD_1
    state[2] = RIPEMD_2
    ripemd160_blocks(state, data, size >> 6)
    last = room(16)
    blocks = pad(last, data + (size & ~63), size & 63)
    last[8 * blocks - 1] = size << 3
    ripemd160_blocks(state, address_of(last), blocks)
    out = address_of(contract.output)
    clear_bytes(out, 12)
    move_bytes(out + 12, address_of(state), 20)
    give_output(contract, 32)
    return left_gas


def run_ecrecover(contract: Contract, data: U64, size: U64, gas: U64) -> U64:
    if contract.price > gas:
        return NO_GAS
    given = room(16)
    take(address_of(given), data, size, 0, 128)
    contract.output_size = 0
    parity = load_byte(address_of(given) + 63) - 27
    if (given[4] | given[5] | given[6] | (given[7] & PARITY_REST)) != 0 or parity > 1:
        return gas - contract.price
    scratch = fresh(Scratch)
    library = at(Library, contract.constants)
    context = library.context
    if not parse_signature(
        library, context, scratch.signature, address_of(given) + 64, parity
    ) or not recover_signer(library, context, scratch.key, scratch.signature, given):
        return gas - contract.price
    size_given = scratch.size
    size_given[0] = SERIALIZED
    serialize_key(library, context, scratch.serialized, size_given, scratch.key, UNCOMPRESSED)
    # The address is the end of the hash of the key without its first byte.
    state = room(25)
    clear_bytes(address_of(state), 200)
    move_bytes(address_of(state), address_of(scratch.serialized) + 1, 64)
    state[8] = 1
    state[16] = 1 << 63
    keccak_permute(state)
    give_output(contract, 32)
    out = address_of(contract.output)
    clear_bytes(out, 12)
    move_bytes(out + 12, address_of(state) + 12, 20)
    return gas - contract.price


def run_blake2(contract: Contract, data: U64, size: U64, gas: U64) -> U64:
    if size != INPUT or load_byte(data + 212) > 1:
        return NO_GAS
    rounds = 0
    for i in range(4):
        rounds = (rounds << 8) | load_byte(data + i)
    if rounds > gas:
        return NO_GAS
    v = room(16)
    message = room(16)
    offset = room(2)
    move_bytes(address_of(v), data + 4, 64)
    move_bytes(address_of(message), data + 68, 128)
    move_bytes(address_of(offset), data + 196, 16)
    out = contract.output
    for i in range(8):
        out[i] = v[i]
    v[8] = IV_0
    v[9] = IV_1
    v[10] = IV_2
    v[11] = IV_3
    v[12] = IV_4 ^ offset[0]
    v[13] = IV_5 ^ offset[1]
    v[14] = ~IV_6 if load_byte(data + 212) else IV_6
    v[15] = IV_7
    blake2_rounds(v, message, rounds)
    for i in range(8):
        out[i] = out[i] ^ v[i] ^ v[i + 8]
    give_output(contract, 64)
    return gas - rounds


def run_in_python(contract: Contract, data: U64, size: U64, gas: U64) -> U64:
    """For contracts that a library serves, which native code does not call."""
    answer = ask_python(contract, data, size, gas)
    if answer >= LEFT:
        return answer - LEFT
    return NO_GAS if answer == FAILED else BROKEN
