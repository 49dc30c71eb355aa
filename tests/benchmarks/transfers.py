"""Signed transfers, and a ledger and a py-evm chain to put them in.

Every transfer is an EIP-1559 transaction of another recipient's, so that each block of
5,000 touches 5,000 new accounts: the dear case. Both chains run Cancun's rules.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import rlp
from coincurve import PrivateKey

from chain.crypto.keccak import keccak
from chain.errors import Rejected
from chain.execution import BlockBuilder, Executed
from chain.genesis import Genesis, parse_genesis
from chain.ledger import Ledger
from chain.transactions import decode_transaction
from chain.types import ZERO_HASH, Address, Height
from chain.validation import check_ahead
from contracts.vm import Interpreter

CHAIN_ID = 1337
GAS_LIMIT = 300_000_000
SENDERS = 500
_BALANCE = 10**24
_TIP, _FEE_CAP = 10**9, 10**11
COINBASE = Address(b"\xcb" * 20)

_KEYS = [PrivateKey((number + 1).to_bytes(32, "big")) for number in range(SENDERS)]


def senders() -> list[Address]:
    return [Address(keccak(key.public_key.format(compressed=False)[1:])[12:]) for key in _KEYS]


def signed_transfers(first: int, count: int) -> list[bytes]:
    """Raw transfers number `first` and on; the senders take turns."""
    return list(_transfers(first, count))


def _transfers(first: int, count: int) -> Iterator[bytes]:
    for number in range(first, first + count):
        nonce, which = divmod(number, SENDERS)
        to = keccak(b"recipient" + number.to_bytes(8, "big"))[:20]
        fields = [CHAIN_ID, nonce, _TIP, _FEE_CAP, 21_000, to, 10**9 + number, b"", []]
        digest = keccak(b"\x02" + rlp.encode(fields))
        signature = _KEYS[which].sign_recoverable(digest, hasher=None)
        r, s = (int.from_bytes(signature[at : at + 32], "big") for at in (0, 32))
        yield b"\x02" + rlp.encode([*fields, signature[64], r, s])


def genesis() -> Genesis:
    """A chain with Cancun's rules and the senders' coins."""
    heights = (
        "homestead", "eip150", "eip155", "eip158", "byzantium", "constantinople", "petersburg",
        "istanbul", "berlin", "london",
    )  # fmt: skip
    return parse_genesis(
        {
            "config": {
                "chainId": CHAIN_ID,
                **{f"{name}Block": 0 for name in heights},
                "terminalTotalDifficulty": 0,
                "shanghaiTime": 0,
                "cancunTime": 0,
            },
            "timestamp": "0x1",
            "gasLimit": hex(GAS_LIMIT),
            "difficulty": "0x0",
            "baseFeePerGas": hex(10**9),
            "alloc": {"0x" + each.hex(): {"balance": hex(_BALANCE)} for each in senders()},
        }
    )


def pyevm_chain() -> Any:
    """A py-evm chain in memory, with libsecp256k1 behind its keys: its fastest form."""
    os.environ.setdefault("ECC_BACKEND_CLASS", "eth_keys.backends.CoinCurveECCBackend")
    from eth.chains.base import MiningChain
    from eth.db.atomic import AtomicDB
    from eth.vm.forks import CancunVM

    chain_class = MiningChain.configure(
        __name__="BenchmarkChain", vm_configuration=((0, CancunVM),), chain_id=CHAIN_ID
    )
    account = {"balance": _BALANCE, "nonce": 0, "code": b"", "storage": {}}
    return chain_class.from_genesis(
        AtomicDB(),
        {
            "difficulty": 0,
            "gas_limit": GAS_LIMIT,
            "timestamp": 1,
            "coinbase": bytes(20),
            "parent_beacon_block_root": bytes(32),
        },
        dict.fromkeys(senders(), account),
    )


def build(ledger: Ledger, raws: list[bytes]) -> Executed:
    """The next block, of these transfers."""
    parent = ledger.head
    builder = new_block(ledger)
    fork = builder.execution.fork
    for each in check_ahead(map(decode_transaction, raws), fork, CHAIN_ID):
        if isinstance(each, Rejected):
            raise each
        builder.add(each)
    return builder.seal(parent_total_difficulty=ledger.total_difficulty(Height(parent.number)))


def new_block(ledger: Ledger) -> BlockBuilder:
    """The empty block on the ledger's head."""
    parent = ledger.head
    return BlockBuilder(
        ledger.view(),
        parent,
        Interpreter(),
        ledger.config,
        ledger.hash_at,
        timestamp=parent.timestamp + 1,
        coinbase=COINBASE,
        gas_limit=GAS_LIMIT,
        randomness=ZERO_HASH,
    )


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
