"""Random state tests: accounts that call each other, a block, a transaction, a fork.

A test is what `chain-node statetest` reads, so that whatever goes wrong can be kept.
"""

from random import Random
from typing import Any, Final

from chain.crypto.secp256k1 import address_of
from node.conformance.networks import fork_named
from tests.differential_vm.bytecode import COINBASE, CONTRACTS, DELEGATED, FUNDED, Author

Json = dict[str, Any]

FORKS: Final = (
    "Frontier", "Homestead", "EIP150", "EIP158", "Byzantium", "Constantinople",
    "ConstantinopleFix", "Istanbul", "Berlin", "London", "Paris", "Shanghai", "Cancun", "Prague",
    "Osaka", "Osaka", "Osaka", "BPO2",
)  # fmt: skip
SENDER_KEY: Final = (7).to_bytes(32, "big")
SENDER: Final = address_of(SENDER_KEY)
_GASES: Final = (
    60_000, 120_000, 300_000, 1_000_000, 1_000_000, 3_000_000, 3_000_000,
)  # fmt: skip
_LARGE_GASES: Final = (2**32, 2**53, 2**62, 2**63 - 1, 2**63, 2**63 + 2**20, 2**64 - 1)


def random_test(seed: int) -> tuple[str, Json]:
    """A fork's name and a test of one transaction; the same for the same seed."""
    random = Random(seed)
    fork_name = random.choice(FORKS)
    fork = fork_named(fork_name)
    author = Author(random, fork)
    pre = _accounts(author, delegations=fork.delegations)
    creates = random.random() < 0.12
    gas = random.choice(_GASES) + random.randrange(64)
    chance = random.random()
    if chance < 0.02:
        gas = 15_000_000
    elif chance < 0.08 and fork.transaction_gas_max is None:
        gas = random.choice(_LARGE_GASES)
    transaction: Json = {
        "nonce": "0x00",
        "gasLimit": [hex(gas)],
        "to": "" if creates else "0x" + _callee(random).hex(),
        "value": [hex(random.choice((0, 0, 0, 1, 10**9)))],
        "data": ["0x" + _data(author, creates=creates).hex()],
        "secretKey": "0x" + SENDER_KEY.hex(),
    }
    if fork.blobs is not None and not creates and random.random() < 0.15:
        count = random.randrange(1, 4)
        transaction["maxFeePerBlobGas"] = hex(10**9)
        transaction["blobVersionedHashes"] = [
            "0x01" + random.randbytes(31).hex() for _ in range(count)
        ]
    if "maxFeePerBlobGas" in transaction or (fork.base_fee and random.random() < 0.3):
        transaction["maxFeePerGas"] = "0x14"
        transaction["maxPriorityFeePerGas"] = "0x02"
        transaction["accessLists"] = [_access_list(random)]
    else:
        transaction["gasPrice"] = "0x0c"
        if fork.access_lists and random.random() < 0.3:
            transaction["accessLists"] = [_access_list(random)]
    environment = {
        "currentCoinbase": "0x" + random.choice((COINBASE, COINBASE, CONTRACTS[1])).hex(),
        "currentGasLimit": hex(2**64 - 1 if gas > 2**31 else 30_000_000),
        "currentNumber": "0x03e8",
        "currentTimestamp": "0x6553f100",
        "currentDifficulty": "0x020000",
        "currentRandom": "0x" + random.randbytes(32).hex(),
        "currentBaseFee": "0x0a",
        "currentExcessBlobGas": hex(random.choice((0, 2**20, 2**26))),
    }
    test: Json = {"env": environment, "pre": pre, "transaction": transaction}
    return fork_name, test


def _callee(random: Random) -> bytes:
    chance = random.random()
    if chance < 0.9:
        return CONTRACTS[0]
    return random.choice((CONTRACTS[1], DELEGATED, FUNDED))


def _accounts(author: Author, *, delegations: bool) -> Json:
    random = author.random
    pre: Json = {
        "0x" + SENDER.hex(): _account(balance=2**200),
        "0x" + FUNDED.hex(): _account(balance=random.choice((1, 10**9))),
    }
    code = b""
    for address in CONTRACTS:
        chance = random.random()
        if chance < 0.1:
            code = author.mutated(code)  # nearly the same as the one before
        elif chance > 0.05:
            code = author.program()
        storage = {
            hex(slot): hex(random.choice((1, 2, 2**255)))
            for slot in range(4)
            if random.random() < 0.3
        }
        balance = random.choice((0, 1, 10**9, 2**90))
        pre["0x" + address.hex()] = _account(1, balance, code, storage)
    if random.random() < 0.6:
        target = author.address() if random.random() < 0.5 else None
        to = random.choice(CONTRACTS) if target is None else (target % 2**160).to_bytes(20, "big")
        pre["0x" + DELEGATED.hex()] = _account(1, 7, b"\xef\x01\x00" + to if delegations else to)
    if random.random() < 0.2:
        pre["0x" + COINBASE.hex()] = _account(balance=1)
    return pre


def _account(
    nonce: int = 0, balance: int = 0, code: bytes = b"", storage: Json | None = None
) -> Json:
    return {
        "nonce": hex(nonce),
        "balance": hex(balance),
        "code": "0x" + code.hex(),
        "storage": storage or {},
    }


def _data(author: Author, *, creates: bool) -> bytes:
    random = author.random
    if creates:
        return author.program()
    return random.randbytes(random.choice((0, 0, 1, 4, 31, 32, 33, 36, 68, 200)))


def _access_list(random: Random) -> list[Json]:
    return [
        {
            "address": "0x" + random.choice(CONTRACTS).hex(),
            "storageKeys": [f"0x{slot:064x}" for slot in range(random.randrange(4))],
        }
        for _ in range(random.randrange(3))
    ]
