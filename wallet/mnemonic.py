"""Recovery phrases: entropy as words of the English BIP-39 list, with a checksum.

`english.txt` is that list as published with BIP-39 (2048 words, MIT licence).
"""

import unicodedata
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from secrets import token_bytes
from typing import Final

from chain.errors import Fault, Reason, Rejected

WORD_COUNTS: Final = (12, 15, 18, 21, 24)  # 128 to 256 bits of entropy, in steps of 32

_BITS_PER_WORD: Final = 11
_LIST_SHA256: Final = "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda"


@cache
def english_words() -> tuple[str, ...]:
    """The 2048 words, in order. Fault when the installed list is not the published one."""
    content = files("wallet").joinpath("english.txt").read_bytes()
    if sha256(content).hexdigest() != _LIST_SHA256:
        raise Fault("wallet/english.txt is not the BIP-39 list: the installation is damaged")
    return tuple(content.decode("ascii").split())


def new_mnemonic(words: int = 12) -> str:
    """A phrase of fresh entropy from the operating system; `words` is one of WORD_COUNTS."""
    if words not in WORD_COUNTS:
        raise Rejected(Reason.BAD_KEYSTORE, f"a phrase has {_counts()} words, not {words}")
    return encode_mnemonic(token_bytes(words * 4 // 3))


def encode_mnemonic(entropy: bytes, words: Sequence[str] | None = None) -> str:
    """The phrase of 16, 20, 24, 28 or 32 bytes: 11 bits a word, the last bits a checksum."""
    if len(entropy) not in (16, 20, 24, 28, 32):
        raise Rejected(Reason.BAD_KEYSTORE, f"no phrase encodes {len(entropy)} bytes")
    vocabulary = english_words() if words is None else words
    checksum_bits = len(entropy) // 4
    value = int.from_bytes(entropy) << checksum_bits | _checksum(entropy)
    count = (len(entropy) * 8 + checksum_bits) // _BITS_PER_WORD
    places = range((count - 1) * _BITS_PER_WORD, -1, -_BITS_PER_WORD)
    return " ".join(vocabulary[value >> place & 0x7FF] for place in places)


def decode_mnemonic(phrase: str, words: Sequence[str] | None = None) -> bytes:
    """The entropy of a phrase.

    Rejected(BAD_KEYSTORE) naming the place of an unknown word (never the word: it is
    part of a secret), a wrong number of words, or a checksum that does not hold.
    """
    vocabulary = english_words() if words is None else words
    places = {word: place for place, word in enumerate(vocabulary)}
    typed = normal_form(phrase).split(" ")
    if len(typed) not in WORD_COUNTS:
        raise Rejected(Reason.BAD_KEYSTORE, f"a phrase has {_counts()} words, not {len(typed)}")
    value = 0
    for number, word in enumerate(typed, start=1):
        if word not in places:
            raise Rejected(Reason.BAD_KEYSTORE, f"word {number} of the phrase is not in the list")
        value = value << _BITS_PER_WORD | places[word]
    checksum_bits = len(typed) // 3
    entropy = (value >> checksum_bits).to_bytes(len(typed) * 4 // 3)
    if value & ((1 << checksum_bits) - 1) != _checksum(entropy):
        raise Rejected(
            Reason.BAD_KEYSTORE, "the phrase's checksum does not hold: a word is wrong or misplaced"
        )
    return entropy


def normal_form(phrase: str) -> str:
    """The phrase as its seed is taken of: lower case, one space between words, NFKD."""
    return unicodedata.normalize("NFKD", " ".join(phrase.lower().split()))


def _checksum(entropy: bytes) -> int:
    return sha256(entropy).digest()[0] >> (8 - len(entropy) // 4)


def _counts() -> str:
    return ", ".join(map(str, WORD_COUNTS[:-1])) + f" or {WORD_COUNTS[-1]}"
