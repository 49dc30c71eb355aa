"""The compression function F of BLAKE2b (EIP-152, RFC 7693 section 3.2)."""

import struct
from typing import Final

from chain.forks import Fork

_INPUT: Final = 213  # rounds 4, state 64, message 128, offset 16, last-block flag 1
_MASK: Final = 2**64 - 1

_IV: Final = (
    0x6A09E667F3BCC908,
    0xBB67AE8584CAA73B,
    0x3C6EF372FE94F82B,
    0xA54FF53A5F1D36F1,
    0x510E527FADE682D1,
    0x9B05688C2B3E6C1F,
    0x1F83D9ABFB41BD6B,
    0x5BE0CD19137E2179,
)
_SIGMA: Final = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
    (14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3),
    (11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4),
    (7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8),
    (9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13),
    (2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9),
    (12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11),
    (13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10),
    (6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5),
    (10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0),
)
# The columns, then the diagonals, of the 4 by 4 working state.
_LANES: Final = (
    (0, 4, 8, 12),
    (1, 5, 9, 13),
    (2, 6, 10, 14),
    (3, 7, 11, 15),
    (0, 5, 10, 15),
    (1, 6, 11, 12),
    (2, 7, 8, 13),
    (3, 4, 9, 14),
)


def gas(data: bytes, fork: Fork) -> int:
    return int.from_bytes(data[:4], "big") if len(data) == _INPUT else 0


def run(data: bytes, fork: Fork) -> bytes | None:
    if len(data) != _INPUT or data[212] > 1:
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
    v = [*state, *_IV]
    v[12] ^= offset[0]
    v[13] ^= offset[1]
    if last:
        v[14] ^= _MASK
    for number in range(rounds):
        order = _SIGMA[number % 10]
        for lane, (a, b, c, d) in enumerate(_LANES):
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
    return [h ^ low ^ high for h, low, high in zip(state, v[:8], v[8:], strict=True)]
