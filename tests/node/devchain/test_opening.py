"""A developer's ledger opened or begun: which genesis it stands on."""

from chain.genesis import Genesis, dev_genesis
from chain.ledger import Ledger
from chain.storage.memory import MemoryStore
from node.devchain.fork.opening import Forking, open_fork

BEGUN = 1_800_000_000


def _genesis(chain_id: int | None, timestamp: int) -> Genesis:
    assert chain_id is None
    return dev_genesis(timestamp=timestamp)


def test_the_first_block_is_dated_when_the_ledger_was_begun() -> None:
    """Contracts and tests reckon with dates from the first block on; a restart leaves it alone."""
    store = MemoryStore()
    for now in (BEGUN, BEGUN + 86_400):
        genesis, fork = open_fork(store, Forking(), now, _genesis)
        assert fork is None
        assert Ledger.open(store, genesis).head.timestamp == BEGUN
