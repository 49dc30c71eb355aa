"""What both implementations are given, and what they must agree on."""

from msgspec import Struct, json

from chain import forks
from chain.forks import Fork

CHAIN_ID = 1
HEIGHT = 300


class PreAccount(Struct, frozen=True):
    balance: int = 0
    nonce: int = 0
    code: bytes = b""
    storage: dict[int, int] = {}


class Surroundings(Struct, frozen=True):
    """The block around the transactions. Fees in wei, time in seconds."""

    coinbase: bytes
    timestamp: int = 1_700_000_000
    gas_limit: int = 40_000_000
    base_fee: int = 7
    randomness: bytes = bytes(31) + b"\x05"  # before Paris: the difficulty
    excess_blob_gas: int = 0


class Case(Struct, frozen=True):
    """Transactions, raw, that run one after another in one block of `fork`."""

    fork: str
    surroundings: Surroundings
    accounts: dict[bytes, PreAccount]
    transactions: list[bytes]

    def as_json(self) -> str:
        """One line that `python -m tests.differential` replays; byte strings in hexadecimal."""
        return json.encode(
            {
                "fork": self.fork,
                "surroundings": {
                    name: value.hex() if isinstance(value, bytes) else value
                    for name, value in (
                        (field, getattr(self.surroundings, field))
                        for field in Surroundings.__struct_fields__
                    )
                },
                "accounts": {
                    address.hex(): {
                        "balance": str(account.balance),
                        "nonce": str(account.nonce),
                        "code": account.code.hex(),
                        "storage": {hex(k): hex(v) for k, v in account.storage.items()},
                    }
                    for address, account in self.accounts.items()
                },
                "transactions": [raw.hex() for raw in self.transactions],
            }
        ).decode()


def case_from_json(text: str | bytes) -> Case:
    """The inverse of `Case.as_json`."""
    document = json.decode(text)
    around = document["surroundings"]
    for name in ("coinbase", "randomness"):
        around[name] = bytes.fromhex(around[name])
    return Case(
        fork=document["fork"],
        surroundings=Surroundings(**around),
        accounts={
            bytes.fromhex(address): PreAccount(
                balance=int(account["balance"]),
                nonce=int(account["nonce"]),
                code=bytes.fromhex(account["code"]),
                storage={int(k, 16): int(v, 16) for k, v in account["storage"].items()},
            )
            for address, account in document["accounts"].items()
        },
        transactions=[bytes.fromhex(raw) for raw in document["transactions"]],
    )


class Included(Struct, frozen=True):
    """A transaction that became part of the block. Gas is the block's so far."""

    cumulative_gas: int
    succeeded: bool | None  # None before Byzantium: receipts did not say
    logs: tuple[tuple[bytes, tuple[bytes, ...], bytes], ...]


class Refused(Struct, frozen=True):
    """A transaction that may not be in the block; `why` is not compared."""

    why: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Refused)

    __hash__ = None  # type: ignore[assignment]


class Account(Struct, frozen=True):
    nonce: int
    balance: int
    code: bytes
    storage: dict[int, int]


class Result(Struct, frozen=True):
    """What a case comes to; equal results are agreement."""

    transactions: list[Included | Refused]
    accounts: dict[bytes, Account]
    state_root: bytes


# Ours, and the package of the specification. Its `constantinople` has Petersburg's rules.
FORKS: dict[str, Fork] = {
    fork.name: fork
    for fork in forks.FORKS
    if fork.name not in ("constantinople", "muir_glacier", "arrow_glacier", "gray_glacier")
}


def block_hash(number: int) -> bytes:
    """The hash of an ancestor, as both sides are told it."""
    return b"\xbb" * 30 + number.to_bytes(2, "big")
