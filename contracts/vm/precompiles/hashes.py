"""SHA-256, RIPEMD-160 and the identity (Yellow Paper, appendix E)."""

import hashlib

from chain.forks import Fork


def _words(data: bytes) -> int:
    return (len(data) + 31) >> 5


def sha256_gas(data: bytes, fork: Fork) -> int:
    return 60 + 12 * _words(data)


def sha256(data: bytes, fork: Fork) -> bytes:
    return hashlib.sha256(data).digest()


def ripemd160_gas(data: bytes, fork: Fork) -> int:
    return 600 + 120 * _words(data)


def ripemd160(data: bytes, fork: Fork) -> bytes:
    # OpenSSL builds often lack RIPEMD-160, so hashlib can't be relied on for it. Loaded when
    # it is called for the first time, for it is seldom, and brings a parser of C with it.
    from Crypto.Hash import RIPEMD160

    return bytes(12) + RIPEMD160.new(data).digest()


def identity_gas(data: bytes, fork: Fork) -> int:
    return 15 + 3 * _words(data)


def identity(data: bytes, fork: Fork) -> bytes:
    return data
