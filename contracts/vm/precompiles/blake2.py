"""The compression function F of BLAKE2b (EIP-152, RFC 7693 section 3.2)."""

import struct
from functools import cache
from typing import TYPE_CHECKING, Final

from chain.forks import Fork
from contracts.vm.precompiles.blake2_constants import LANES, SIGMA

if TYPE_CHECKING:
    from contracts.vm.native.precompiled.machine_code import Rounds

INPUT: Final = 213  # rounds 4, state 64, message 128, offset 16, last-block flag 1
_MASK: Final = 2**64 - 1

IV: Final = (
    0x6A09E667F3BCC908,
    0xBB67AE8584CAA73B,
    0x3C6EF372FE94F82B,
    0xA54FF53A5F1D36F1,
    0x510E527FADE682D1,
    0x9B05688C2B3E6C1F,
    0x1F83D9ABFB41BD6B,
    0x5BE0CD19137E2179,
)

# From here on it pays to have native code do the rounds: a round takes 5 us, and a message
# may ask for 2^32 of them.
_NATIVE_FROM: Final = 8


@cache
def _native() -> "Rounds | None":
    # Imported when first needed: its code is loaded, or compiled where the cache has none yet.
    from contracts.vm.native.objects import user_cache
    from contracts.vm.native.precompiled.machine_code import native_rounds

    return native_rounds(user_cache())


def gas(data: bytes, fork: Fork) -> int:
    return int.from_bytes(data[:4], "big") if len(data) == INPUT else 0


def run(data: bytes, fork: Fork) -> bytes | None:
    if len(data) != INPUT or data[212] > 1:
        return None
    rounds = int.from_bytes(data[:4], "big")
    state = struct.unpack_from("<8Q", data, 4)
    message = struct.unpack_from("<16Q", data, 68)
    offset = struct.unpack_from("<2Q", data, 196)
    return struct.pack("<8Q", *compress(rounds, state, message, offset, data[212] == 1))


def compress(
    rounds: int,
    state: tuple[int, ...],
    message: tuple[int, ...],
    offset: tuple[int, ...],
    last: bool,
) -> list[int]:
    """The next state after one block of 16 words; all words have 64 bits."""
    v = [*state, *IV]
    v[12] ^= offset[0]
    v[13] ^= offset[1]
    if last:
        v[14] ^= _MASK
    natively = _native() if rounds >= _NATIVE_FROM else None
    if natively is None:
        _mix(v, message, rounds)
    else:
        v = natively(v, message, rounds)
    return [h ^ low ^ high for h, low, high in zip(state, v[:8], v[8:], strict=True)]


def _mix(v: list[int], message: tuple[int, ...], rounds: int) -> None:
    """So many rounds on the working state."""
    for number in range(rounds):
        order = SIGMA[number % len(SIGMA)]
        for lane, (a, b, c, d) in enumerate(LANES):
            va, vb, vc, vd = v[a], v[b], v[c], v[d]
            va = (va + vb + message[order[2 * lane]]) & _MASK
            vd ^= va
            vd = (vd >> 32) | (vd << 32) & _MASK
            vc = (vc + vd) & _MASK
            vb ^= vc
            vb = (vb >> 24) | (vb << 40) & _MASK
            va = (va + vb + message[order[2 * lane + 1]]) & _MASK
            vd ^= va
            vd = (vd >> 16) | (vd << 48) & _MASK
            vc = (vc + vd) & _MASK
            vb ^= vc
            vb = (vb >> 63) | (vb << 1) & _MASK
            v[a], v[b], v[c], v[d] = va, vb, vc, vd
