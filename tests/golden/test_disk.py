"""The bytes that a ledger keeps, table by table.

When one of these fails, data folders of earlier versions are no longer read rightly:
raise `chain.storage.schema.VERSION` with the change, then put in the printed digests.
"""

from msgspec.structs import replace

from chain.blocks import Block, Log, Receipt, logs_bloom
from chain.commitment import commit
from chain.crypto.keccak import keccak
from chain.execution import Executed
from chain.genesis import parse_genesis
from chain.headers import header_hash
from chain.ledger import Ledger
from chain.state import Account, Delta
from chain.storage import MemoryStore
from chain.storage.schema import TABLES, VERSION
from chain.transactions import build_transaction, sign_transaction
from chain.types import Address, Hash
from tests.golden.expected_disk import DIGESTS

GENESIS = {
    "config": {"chainId": 7, "homesteadBlock": 0, "eip150Block": 0, "eip155Block": 0},
    "gasLimit": "0x47b760",
    "difficulty": "0x20000",
    "alloc": {
        f"0x{number:040x}": {
            "balance": hex(number * 10**18),
            "code": "0x6001" if number == 3 else "0x",
            "storage": {"0x1": "0x2", "0x3": "0x4444444444"} if number == 3 else {},
        }
        for number in range(1, 30)
    },
}


def _ledger(store: MemoryStore) -> Ledger:
    """Two blocks on a small genesis: accounts and slots made, changed and deleted."""
    ledger = Ledger.open(store, parse_genesis(GENESIS))
    addresses = [Address(number.to_bytes(20, "big")) for number in range(1, 40)]
    contract = addresses[2]
    transaction = sign_transaction(
        build_transaction(
            kind=0, chain_id=7, nonce=0, max_fee=1, gas_limit=21000, to=contract, value=1
        ),
        bytes(31) + b"\1",
    )
    log = Log(contract, (Hash(b"\5" * 32),), b"log")
    receipt = Receipt(0, 1, None, 21000, logs_bloom([log]), (log,))
    code = b"\x60\x02"
    deltas = [
        Delta(
            {
                contract: replace(ledger.view().account(contract) or Account(), nonce=5),
                addresses[0]: None,
                addresses[35]: Account(1, 2, code_hash=keccak(code)),
            },
            {contract: {1: 0, 2: 9}},
            frozenset(),
            {keccak(code): code},
        ),
        Delta(
            {contract: Account(6), addresses[36]: Account(0, 1)},
            {contract: {7: 7}},
            frozenset({contract}),
            {},
        ),
    ]
    for number, delta in enumerate(deltas, 1):
        changes = commit(ledger.view(), delta)
        header = replace(
            ledger.head,
            parent_hash=ledger.head_hash,
            number=number,
            state_root=changes.root,
        )
        block = Block(header, (transaction,) if number == 1 else ())
        ledger.commit(
            Executed(
                block,
                header_hash(header),
                (addresses[4],) if number == 1 else (),
                (receipt,) if number == 1 else (),
                changes,
                number * 1000,
            ),
            certificate=b"certificate",
            record=b"record",
        )
    return ledger


def test_a_ledger_keeps_the_bytes_it_always_kept() -> None:
    store = MemoryStore()
    _ledger(store)
    found = {
        table: keccak(
            b"".join(
                len(part).to_bytes(4, "big") + part
                for pair in store.scan(table, b"")
                for part in pair
            )
        ).hex()[:16]
        for table in TABLES
    }
    assert (VERSION, found) == DIGESTS
