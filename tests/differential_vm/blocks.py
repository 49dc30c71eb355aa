"""Random blocks: many transactions and messages on a living state, and changes between them.

A block is a world, a fork and steps, all of it JSON. Steps say on which of two living
states they happen, so that a machine has to tell states apart; what they do is in
`tests.differential_vm.play`.
"""

from collections.abc import Sequence
from copy import deepcopy
from random import Random
from typing import Any, Final

from chain import codec
from chain.crypto import secp256k1
from chain.crypto.keccak import keccak
from chain.forks import Fork
from chain.transition import DELEGATION_PREFIX, contract_address
from node.conformance.networks import fork_named
from tests.differential_vm import actors
from tests.differential_vm.bytecode import (
    ABSENT,
    COINBASE,
    CONTRACTS,
    DELEGATED,
    FUNDED,
    PRECOMPILES,
    SLOTS,
    Author,
)

Json = dict[str, Any]

FORKS: Final = (
    "Homestead", "EIP158", "Byzantium", "Constantinople", "Istanbul", "Berlin", "London",
    "Shanghai", "Shanghai", "Cancun", "Prague", "Prague", "Osaka", "Osaka", "Osaka", "BPO2",
)  # fmt: skip
KEYS: Final = tuple(number.to_bytes(32, "big") for number in (7, 8, 9))
SENDERS: Final = tuple(map(secp256k1.address_of, KEYS))
# What a world's contracts create, if they do.
SALTED: Final = {
    actors.created_with_salt(factory, salt, initcode): (factory, salt, initcode)
    for factory in actors.SALTING
    for salt in range(2)
    for initcode in actors.INITCODES
}
_SALTED: Final = tuple(SALTED)
_MORTALS: Final = tuple(
    address for address, (_, _, initcode) in SALTED.items() if actors.DESTROYER in initcode
)
# Who may be where a contract is about to be created: only the first one is no collision.
_SQUATTERS: Final[tuple[Json, ...]] = (
    {"nonce": "0x0", "balance": "0x1", "code": "0x", "storage": {}},
    {"nonce": "0x0", "balance": "0x1", "code": "0x", "storage": {"0x1": "0x2"}},
    {"nonce": "0x1", "balance": "0x0", "code": "0x", "storage": {}},
    {"nonce": "0x0", "balance": "0x0", "code": "0x00", "storage": {}},
)
_MESSAGE_GASES: Final = (30_000, 100_000, 300_000, 1_000_000, 1_000_000, 3_000_000)
_CALL_GASES: Final = (0, 3_000, 9_000, 30_000, 50_000, 50_000, 100_000, 100_000)
_ALL_GAS: Final = 2**60
_NESTED_MAX: Final = 3  # scripts in scripts
_CHANGES: Final = (
    "balance", "balance", "nonce", "code", "storage", "storage", "override_storage",
    "override_account", "warm_address", "warm_slot", "transient", "touch", "refund",
)  # fmt: skip


def random_block(seed: int, *, programs: bool | None = None) -> Json:
    """The same for the same seed. Without `programs` all code is `actors`', which is few."""
    random = Random(seed)
    fork_name = random.choice(FORKS)
    return _Director(random, fork_name, programs).block()


class _Director:
    """Makes up one block."""

    def __init__(self, random: Random, fork_name: str, programs: bool | None) -> None:
        self.random = random
        self.fork_name = fork_name
        self.fork: Fork = fork_named(fork_name)
        self.programs = random.random() < 0.5 if programs is None else programs
        created = [
            contract_address(creator, nonce)
            for creator in (*actors.FACTORIES, *SENDERS)
            for nonce in range(3)
        ]
        everybody = [*actors.ACTORS, DELEGATED, FUNDED, ABSENT, COINBASE, *SENDERS, *created]
        everybody += [*random.sample(_SALTED, 6), *random.sample(PRECOMPILES, 4)]
        everybody += CONTRACTS if self.programs else ()
        # A few whom most messages go to, or the same would rarely happen twice.
        self.cast: list[bytes] = random.sample(everybody, random.randrange(3, 7))
        self.cast += random.sample(actors.KEEPERS, 2)
        self.cast.append(random.choice(actors.SCRIPTS))
        self.cast.append(random.choice(actors.FACTORIES))
        if self.fork.delegations:
            self.cast.append(random.choice((DELEGATED, SENDERS[1])))
        self.everybody: Sequence[bytes] = everybody
        self.author = Author(random, self.fork, tuple(actors.ACTORS))
        self.quiet = random.choice((random.random(), 1.0))  # how rarely is looked at the state
        self.two_states = random.random() < 0.3

    def block(self) -> Json:
        random = self.random
        environment = {
            "currentCoinbase": self._someone() if random.random() < 0.5 else _hex(COINBASE),
            "currentGasLimit": hex(30_000_000),
            "currentNumber": "0x03e8",
            "currentTimestamp": "0x6553f100",
            "currentDifficulty": "0x020000",
            "currentRandom": "0x" + random.randbytes(32).hex(),
            "currentBaseFee": "0x0a",
            "currentExcessBlobGas": "0x00",
        }
        pre = self._accounts()
        steps: list[Json] = []
        for _ in range(random.randrange(2, 14)):
            again = steps and steps[-1]["do"] in ("transaction", "message", "query")
            steps.append(
                self._again(steps[-1]) if again and random.random() < 0.3 else self._step()
            )
        return {"fork": self.fork_name, "env": environment, "pre": pre, "steps": steps}

    def _accounts(self) -> Json:
        random = self.random
        pre: Json = {_hex(sender): _account(balance=2**200) for sender in SENDERS}
        pre[_hex(FUNDED)] = _account(balance=random.choice((1, 10**9)))
        pre[_hex(COINBASE)] = _account(balance=random.choice((0, 1)), nonce=random.randrange(2))
        for address, code in actors.ACTORS.items():
            pre[_hex(address)] = _account(
                1, random.choice((0, 1, 2**90, 2**90)), code, self._storage()
            )
        if self.programs:
            for address in CONTRACTS:
                code = self.author.program()
                pre[_hex(address)] = _account(1, 2**80, code, self._storage())
        if self.fork.delegations:
            for address in (DELEGATED, *SENDERS[1:]):
                if random.random() < 0.6:
                    to = random.choice(self.cast)
                    pre[_hex(address)] = _account(1, 2**200, DELEGATION_PREFIX + to)
        for address in random.sample(_SALTED, 2):
            if random.random() < 0.3:
                pre[_hex(address)] = random.choice(_SQUATTERS)
        return pre

    def _storage(self) -> Json:
        random = self.random
        chosen = [slot for slot in SLOTS if random.random() < 0.25]
        return {hex(slot): hex(random.choice((1, 2, 2**255))) for slot in chosen}

    # -- steps --

    def _step(self) -> Json:
        random = self.random
        step = random.choices(
            (
                self._transaction,
                self._message,
                self._query,
                self._change,
                self._mark,
                self._turn,
                self._cut,
            ),
            (8, 8, 3, 5, 3, 2, 0.5),
        )[0]()
        step["on"] = int(self.two_states and random.random() < 0.5)
        step["look"] = random.random() > self.quiet
        return step

    def _again(self, step: Json) -> Json:
        """The same once more, with other things warm."""
        step = deepcopy(step)
        told = step.get("transaction", {})
        if told.get("accessLists"):
            told["accessLists"] = [self._access_list()]
        return step

    def _transaction(self) -> Json:
        random = self.random
        told: Json = {
            "gasLimit": [hex(random.choice(_MESSAGE_GASES) + 30_000)],
            "value": [hex(random.choice((0, 0, 1, 10**9)))],
            "secretKey": _hex(random.choice((KEYS[0], *KEYS))),
        }
        if random.random() < 0.12:
            initcode = self._initcode()
            told |= {"to": "", "data": [_hex(initcode)]}
        else:
            to = self._target(scripts=0.75)
            told |= {"to": _hex(to), "data": [self._data(to, 0)]}
        fork = self.fork
        if fork.delegations and told["to"] and random.random() < 0.3:
            told["authorizationList"] = [
                self._authorization() for _ in range(random.randrange(1, 3))
            ]
        elif fork.blobs is not None and told["to"] and random.random() < 0.25:
            told["maxFeePerBlobGas"] = hex(10**9)
            told["blobVersionedHashes"] = [
                "0x01" + random.randbytes(31).hex() for _ in range(random.randrange(1, 4))
            ]
        if not told.keys().isdisjoint(("authorizationList", "maxFeePerBlobGas")) or (
            fork.base_fee and random.random() < 0.3
        ):
            told |= {"maxFeePerGas": "0x14", "maxPriorityFeePerGas": "0x02"}
            told["accessLists"] = [self._access_list()]
        else:
            told["gasPrice"] = "0x0c"
            if fork.access_lists and random.random() < 0.4:
                told["accessLists"] = [self._access_list()]
        return {
            "do": "transaction",
            "transaction": told,
            "look_inside": random.random() > self.quiet,
            "traced": random.random() < 0.08,
        }

    def _authorization(self) -> Json:
        random = self.random
        key = random.choice(KEYS)
        address = random.choice((bytes(20), *self.cast, *self.cast))
        nonce = random.choice((0, 1, 1, 2, 3))
        payload = codec.encode_list(
            [codec.encode_int(0), codec.encode_bytes(address), codec.encode_int(nonce)]
        )
        parity, r, s = secp256k1.sign(keccak(b"\x05" + payload), key)
        return {
            "chainId": "0x0",
            "address": _hex(address),
            "nonce": hex(nonce),
            "yParity": hex(parity),
            "r": hex(r),
            "s": hex(s),
        }

    def _access_list(self) -> list[Json]:
        random = self.random
        return [
            {
                "address": _hex(random.choice(self.cast)),
                "storageKeys": [f"0x{random.choice(SLOTS):064x}" for _ in range(3)],
            }
            for _ in range(random.randrange(5))
        ]

    def _message(self) -> Json:
        """A message that no transaction asked for, as system calls and calls over RPC are."""
        random = self.random
        told: Json = {
            "do": "message",
            "caller": _hex(random.choice((*SENDERS, COINBASE, random.choice(self.cast)))),
            "gas": hex(random.choice(_MESSAGE_GASES)),
            "value": hex(random.choice((0, 0, 0, 1, 10**9))),
            "begins": random.random() < 0.3,
            "ends": random.random() < 0.3,
            "undone": random.random() < 0.2,
            "static": random.random() < 0.05,
            "traced": random.random() < 0.08,
            "look_inside": False,
        }
        if random.random() < 0.1:
            return told | {"to": "", "data": _hex(self._initcode())}
        to = self._target(scripts=0.75)
        return told | {"to": _hex(to), "data": self._data(to, 0)}

    def _query(self) -> Json:
        """A call on the state before the block that nobody signed and nothing is left of."""
        random = self.random
        # Most scripts do something that quick queries leave to others.
        to = self._target(scripts=0.3)
        return {
            "do": "query",
            "caller": _hex(random.choice((bytes(20), *SENDERS, random.choice(self.cast)))),
            "gas": hex(random.choice(_MESSAGE_GASES) + 30_000),
            "to": _hex(to),
            "data": self._data(to, _NESTED_MAX),
        }

    def _change(self) -> Json:
        random = self.random
        what = random.choice(_CHANGES)
        code: bytes = random.choice((b"", *actors.ACTORS.values()))
        if what == "code" and self.fork.delegations and random.random() < 0.4:
            code = DELEGATION_PREFIX + random.choice(self.cast)
        return {
            "do": "change",
            "what": what,
            "address": _hex(random.choice(self.cast) if random.random() < 0.8 else ABSENT),
            "slot": hex(random.choice(SLOTS)),
            "value": hex(random.choice((0, 0, 1, 2, 7, 2**64))),
            "code": _hex(code),
        }

    def _mark(self) -> Json:
        """Checkpoints nest; undoing without one does nothing."""
        return {"do": self.random.choice(("checkpoint", "checkpoint", "undo"))}

    def _turn(self) -> Json:
        """The end of a transaction, of a block, or of a block that nobody wants."""
        return {"do": self.random.choice(("begin", "end", "next block", "other block"))}

    def _cut(self) -> Json:
        """A message that is ended from outside while it runs, on a state of its own."""
        to = self.random.choice(actors.SCRIPTS)
        return {
            "do": "cut",
            "to": _hex(to),
            "data": self._script(0),
            "checkpoints": self.random.randrange(1, 6),
        }

    # -- call data --

    def _target(self, scripts: float) -> bytes:
        random = self.random
        if random.random() < scripts:
            return random.choice(actors.SCRIPTS)
        return self._someone_raw()

    def _someone_raw(self) -> bytes:
        random = self.random
        return random.choice(self.cast if random.random() < 0.75 else self.everybody)

    def _someone(self) -> str:
        return _hex(self._someone_raw())

    def _data(self, to: bytes, nested: int) -> str | Json:
        random = self.random
        code = actors.ACTORS.get(to, b"")
        if to in actors.SCRIPTS or random.random() < 0.1:
            return self._script(nested)
        if to in actors.FACTORIES:
            initcode = random.choice(actors.INITCODES)
            return _hex(random.randrange(2).to_bytes(32, "big") + initcode)
        words: list[int] = []
        if code in (actors.DESTROYER, actors.READER, actors.UNDOING) or random.random() < 0.2:
            words.append(int.from_bytes(self._someone_raw(), "big"))
        else:
            words += (random.choice(SLOTS), random.choice((0, 0, 1, 2, 2**255)))
        return _hex(b"".join(word.to_bytes(32, "big") for word in words))

    def _script(self, nested: int) -> Json:
        random = self.random
        calls: list[Json] = []
        for _ in range(random.randrange(0 if nested else 2, 8)):
            chance = random.random()
            if calls and chance < 0.25:
                calls.append(calls[-1])
            elif chance < 0.35 and nested < _NESTED_MAX:
                calls += self._birth()
            else:
                to = self._target(scripts=0.25 if nested < _NESTED_MAX else 0.0)
                calls.append(self._call(to, nested))
        end = random.choice(
            (*(actors.RETURNS,) * 24, actors.REVERTS, actors.REVERTS, actors.HALTS,
             actors.DESTROYS, actors.DESTROYS_FOR_ITSELF)
        )  # fmt: skip
        return {"calls": calls, "end": end}

    def _call(self, to: bytes, nested: int) -> Json:
        random = self.random
        return {
            "kind": random.choice((*(actors.CALL,) * 6, *range(4))),
            "to": _hex(to),
            "value": hex(random.choice((*(0,) * 9, 1, 2, 10**9, 2**87))),
            "gas": hex(self._gas()),
            "data": self._data(to, nested + 1) if nested < _NESTED_MAX else "0x",
        }

    def _birth(self) -> list[Json]:
        """An account called before and after it comes into being."""
        random = self.random
        child = random.choice(_MORTALS if random.random() < 0.3 else _SALTED)
        factory, salt, initcode = SALTED[child]
        data = _hex(salt.to_bytes(32, "big") + initcode)
        birth = self._call(factory, _NESTED_MAX) | {"data": data, "value": hex(random.randrange(2))}
        calls = [birth | {"kind": actors.CALL, "gas": hex(_ALL_GAS)}]
        for _ in range(random.randrange(3)):
            calls.insert(random.randrange(len(calls) + 1), self._call(child, 0))
        calls += [self._call(child, 0)] * random.randrange(3)
        return calls

    def _gas(self) -> int:
        random = self.random
        # Who may not keep a 64th fails when there is less than was asked for.
        if self.fork.keeps_one_64th and random.random() < 0.75:
            return _ALL_GAS
        return random.choice(_CALL_GASES)

    def _initcode(self) -> bytes:
        if self.programs and self.random.random() < 0.5:
            return self.author.program(6)
        return self.random.choice(actors.INITCODES)


def _hex(content: bytes) -> str:
    return "0x" + content.hex()


def _account(
    nonce: int = 0, balance: int = 0, code: bytes = b"", storage: Json | None = None
) -> Json:
    return {
        "nonce": hex(nonce),
        "balance": hex(balance),
        "code": _hex(code),
        "storage": storage or {},
    }
