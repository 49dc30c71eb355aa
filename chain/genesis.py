"""The first block and the rules a chain runs by, in geth's genesis.json format.

What all nodes of a chain must share is here and nowhere else. `parse_genesis` accepts
what geth accepts - keys it does not know, every spelling of numbers - and names the
key whose value is no good.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from chain.activation import ChainConfig, parse_config
from chain.blocks import EMPTY_BLOOM, Block, Header
from chain.commitment import commit
from chain.crypto.hd import derive_keys
from chain.crypto.keccak import keccak
from chain.crypto.secp256k1 import address_of
from chain.errors import Reason, Rejected
from chain.forks import (
    BASE_FEE_INITIAL,
    CONSOLIDATION_REQUESTS_ADDRESS,
    DEPOSIT_CONTRACT_ADDRESS,
    WITHDRAWAL_REQUESTS_ADDRESS,
)
from chain.json_values import Key
from chain.ledger_rules import LedgerRules, ledger_json
from chain.requests import EMPTY_REQUESTS_HASH
from chain.state import Account, Delta
from chain.system_contracts import SYSTEM_CONTRACTS
from chain.types import (
    EMPTY_CODE_HASH,
    EMPTY_OMMERS_HASH,
    EMPTY_ROOT,
    ZERO_ADDRESS,
    ZERO_HASH,
    Address,
    Hash,
)
from chain.views import EmptyView

__all__ = [
    "ChainConfig",
    "Genesis",
    "GenesisAccount",
    "dev_genesis",
    "genesis_block",
    "new_genesis",
    "parse_genesis",
]

DEV_CHAIN_ID: Final = 31_337
DEV_MNEMONIC: Final = "test test test test test test test test test test test junk"
DEV_BALANCE: Final = 10_000 * 10**18  # wei
DEV_GAS_LIMIT: Final = 60_000_000  # the main network's, geth's and Hardhat's
_GAS_MAX: Final = 2**63 - 1
_HEIGHT_FORKS: Final = (
    "homestead", "eip150", "eip155", "eip158", "byzantium", "constantinople", "petersburg",
    "istanbul", "muirGlacier", "berlin", "london", "arrowGlacier", "grayGlacier",
)  # fmt: skip
_TIME_FORKS: Final = ("shanghai", "cancun", "prague", "osaka")


class GenesisAccount(Struct, frozen=True):
    """What an address starts with."""

    balance: int = 0  # wei
    nonce: int = 0
    code: bytes = b""
    storage: Mapping[int, int] = {}


class Genesis(Struct, frozen=True, kw_only=True):
    """A chain's rules and first block. `source` is the JSON text that says the same."""

    config: ChainConfig
    alloc: Mapping[Address, GenesisAccount]
    gas_limit: int
    difficulty: int
    timestamp: int = 0  # seconds
    extra_data: bytes = b""
    nonce: int = 0
    mix_hash: Hash = ZERO_HASH
    coinbase: Address = ZERO_ADDRESS
    parent_hash: Hash = ZERO_HASH
    gas_used: int = 0
    base_fee: int | None = None  # None: the initial one, where the fork has any
    excess_blob_gas: int | None = None
    blob_gas_used: int | None = None
    source: str = ""


def parse_genesis(document: str | bytes | Mapping[str, object]) -> Genesis:
    """The genesis in geth's JSON, as text or already parsed; raises BAD_GENESIS naming the key."""
    if isinstance(document, str | bytes):
        try:
            document = json.loads(document)
        except (ValueError, RecursionError) as error:
            raise Rejected(Reason.BAD_GENESIS, f"not JSON: {error}") from error
    root = Key(document)
    number = root.optional("number")
    if number is not None and number.integer(8) != 0:
        raise number.refuse("the first block's number is 0")
    optional = root.optional
    config = parse_config(root.required("config"))
    fee = optional("baseFeePerGas")
    alloc = _parse_alloc(root.required("alloc"))
    timestamp = key.integer(8) if (key := optional("timestamp")) else 0
    if config.ledger.validators:
        _check_grounds(config, alloc, timestamp)
    return Genesis(
        config=config,
        alloc=alloc,
        gas_limit=root.required("gasLimit").integer(8, largest=_GAS_MAX),
        difficulty=root.required("difficulty").integer(32),
        timestamp=timestamp,
        extra_data=key.data() if (key := optional("extraData")) else b"",
        nonce=key.integer(8) if (key := optional("nonce")) else 0,
        mix_hash=Hash(key.fixed(32)) if (key := optional("mixHash")) else ZERO_HASH,
        coinbase=Address(key.fixed(20)) if (key := optional("coinbase")) else ZERO_ADDRESS,
        parent_hash=Hash(key.fixed(32)) if (key := optional("parentHash")) else ZERO_HASH,
        gas_used=key.integer(8) if (key := optional("gasUsed")) else 0,
        base_fee=_first_base_fee(fee, config),
        excess_blob_gas=key.integer(8) if (key := optional("excessBlobGas")) else None,
        blob_gas_used=key.integer(8) if (key := optional("blobGasUsed")) else None,
        source=json.dumps(root.value),
    )


def _check_grounds(
    config: ChainConfig, alloc: Mapping[Address, GenesisAccount], timestamp: int
) -> None:
    """What validators need to build a first block on: without it none would be valid."""
    fork = config.fork_at(1, timestamp, merged=config.merged_after(0))
    if not fork.beacon_root:
        raise Rejected(
            Reason.BAD_GENESIS,
            "config.ledger.validators: blocks of validators need terminalTotalDifficulty 0, "
            "and shanghaiTime and cancunTime not after the genesis' timestamp",
        )
    needed = (WITHDRAWAL_REQUESTS_ADDRESS, CONSOLIDATION_REQUESTS_ADDRESS)
    for address in needed if fork.requests else ():
        account = alloc.get(address)
        if account is None or not account.code:
            raise Rejected(
                Reason.BAD_GENESIS,
                f"alloc: no code at 0x{address.hex()}, which every block from Prague on calls",
            )


def _first_base_fee(key: Key | None, config: ChainConfig) -> int | None:
    """The first block's base fee, None where nothing is said; 0 on a free ledger."""
    if key is None:
        return 0 if config.ledger.free else None
    base_fee = key.integer(32)
    if base_fee and config.ledger.free:
        raise key.refuse("must be 0 or absent, for config.ledger.free is true")
    return base_fee


def _parse_alloc(key: Key) -> dict[Address, GenesisAccount]:
    alloc: dict[Address, GenesisAccount] = {}
    for entry in key.entries():
        address = Address(entry.name_bytes(20))
        if address in alloc:
            raise entry.refuse("the address stands there twice")
        balance, nonce = entry.optional("balance"), entry.optional("nonce")
        code, storage = entry.optional("code"), entry.optional("storage")
        alloc[address] = GenesisAccount(
            balance=balance.integer(32) if balance else 0,
            nonce=nonce.integer(8) if nonce else 0,
            code=code.data() if code else b"",
            storage={
                slot.name_word(): value
                for slot in (storage.entries() if storage else ())
                if (value := slot.word())
            },
        )
    return alloc


def genesis_delta(alloc: Mapping[Address, GenesisAccount]) -> Delta:
    """The change from nothing to the state that `alloc` describes."""
    accounts: dict[Address, Account | None] = {}
    codes: dict[Hash, bytes] = {}
    for address, start in alloc.items():
        code_hash = EMPTY_CODE_HASH
        if start.code:
            code_hash = keccak(start.code)
            codes[code_hash] = start.code
        accounts[address] = Account(start.nonce, start.balance, EMPTY_ROOT, code_hash)
    storage = {address: start.storage for address, start in alloc.items() if start.storage}
    return Delta(accounts, storage, frozenset(), codes)


def genesis_block(genesis: Genesis) -> tuple[Block, Delta]:
    """The first block, and the change from nothing to its state.

    Its header has the fields of the fork that is active at its time, as in geth.
    """
    delta = genesis_delta(genesis.alloc)
    config, timestamp = genesis.config, genesis.timestamp
    # Forks by time count at genesis whether or not the total difficulty is reached.
    by_time = any(time <= timestamp for time, _ in config.times)
    fork = config.fork_at(0, timestamp, merged=by_time)
    base_fee = genesis.base_fee
    if base_fee is None:
        base_fee = BASE_FEE_INITIAL
    header = Header(
        parent_hash=genesis.parent_hash,
        ommers_hash=EMPTY_OMMERS_HASH,
        coinbase=genesis.coinbase,
        state_root=commit(EmptyView(), delta).root,
        transactions_root=EMPTY_ROOT,
        receipts_root=EMPTY_ROOT,
        logs_bloom=EMPTY_BLOOM,
        difficulty=genesis.difficulty,
        number=0,
        gas_limit=genesis.gas_limit,
        gas_used=genesis.gas_used,
        timestamp=timestamp,
        extra_data=genesis.extra_data,
        mix_hash=genesis.mix_hash,
        nonce=genesis.nonce.to_bytes(8, "big"),
        base_fee=base_fee if fork.base_fee else None,
        withdrawals_root=EMPTY_ROOT if fork.withdrawals else None,
        blob_gas_used=(genesis.blob_gas_used or 0) if fork.blobs else None,
        excess_blob_gas=(genesis.excess_blob_gas or 0) if fork.blobs else None,
        parent_beacon_root=ZERO_HASH if fork.beacon_root else None,
        requests_hash=EMPTY_REQUESTS_HASH if fork.requests else None,
    )
    return Block(header, (), (), () if fork.withdrawals else None), delta


def dev_genesis(
    chain_id: int = DEV_CHAIN_ID,
    *,
    accounts: Sequence[Address] | None = None,
    balance: int = DEV_BALANCE,
    gas_limit: int = DEV_GAS_LIMIT,
    timestamp: int = 0,
    contracts: Mapping[Address, GenesisAccount] | None = None,
) -> Genesis:
    """A developer's chain: every fork from the start, system contracts, funded accounts.

    `accounts` are by default the first ten of the well-known test mnemonic; `balance`
    is each one's, in wei. `contracts` are there beside them.
    """
    if accounts is None:
        accounts = [address_of(key) for key in derive_keys(DEV_MNEMONIC, 10)]
    alloc = dict(contracts or {}) | {address: GenesisAccount(balance) for address in accounts}
    return new_genesis(chain_id, alloc=alloc, gas_limit=gas_limit, timestamp=timestamp)


def new_genesis(
    chain_id: int,
    *,
    alloc: Mapping[Address, GenesisAccount],
    rules: LedgerRules | None = None,
    gas_limit: int = DEV_GAS_LIMIT,
    timestamp: int = 0,
) -> Genesis:
    """A new ledger: every fork from the start, the system contracts, and what `alloc` holds.

    `rules` become its `config.ledger`; raises BAD_GENESIS when they can't be.
    """
    contracts = {
        address: GenesisAccount(nonce=1, code=code) for address, code in SYSTEM_CONTRACTS.items()
    }
    config: dict[str, object] = {
        "chainId": chain_id,
        **{f"{name}Block": 0 for name in _HEIGHT_FORKS},
        "terminalTotalDifficulty": 0,
        "depositContractAddress": "0x" + DEPOSIT_CONTRACT_ADDRESS.hex(),
        **{f"{name}Time": 0 for name in _TIME_FORKS},
    }
    if rules is not None:
        config["ledger"] = ledger_json(rules)
    free = rules is not None and rules.free
    return parse_genesis(
        {
            "config": config,
            "timestamp": hex(timestamp),
            "gasLimit": hex(gas_limit),
            "difficulty": "0x0",
            "baseFeePerGas": hex(0 if free else BASE_FEE_INITIAL),
            "alloc": {
                "0x" + address.hex(): _account_json(account)
                for address, account in (contracts | dict(alloc)).items()
            },
        }
    )


def _account_json(account: GenesisAccount) -> dict[str, object]:
    fields: dict[str, object] = {"balance": hex(account.balance)}
    if account.nonce:
        fields["nonce"] = hex(account.nonce)
    if account.code:
        fields["code"] = "0x" + account.code.hex()
    if account.storage:
        fields["storage"] = {
            f"0x{slot:064x}": f"0x{value:064x}" for slot, value in account.storage.items()
        }
    return fields
