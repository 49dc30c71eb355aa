"""Forks of served ledgers, served themselves."""

from pathlib import Path

from chain.genesis import Genesis, dev_genesis
from chain.ledger import Ledger
from chain.storage.memory import MemoryStore
from node.devchain.compose import Developing
from node.devchain.fork.opening import NEWEST, Forking, open_fork
from tests.node.rpc.serving import Served


def url_of(served: Served) -> str:
    return f"http://127.0.0.1:{served.port}"


def _genesis(chain_id: int | None, _: int) -> Genesis:
    return dev_genesis() if chain_id is None else dev_genesis(chain_id)


def forked_from(
    source: Served | str,
    height: int = NEWEST,
    answers: Path | None = None,
    *,
    own_id: bool = False,
    vm: str = "auto",
) -> Served:
    """A developer's node, still to be entered, on a fork of another."""
    url = source if isinstance(source, str) else url_of(source)
    store = MemoryStore()
    genesis, point = open_fork(store, Forking(url, height, answers, not own_id), 0, _genesis)
    assert point is not None
    ledger = Ledger.open(store, genesis, origin=point.origin)
    return Served(ledger=ledger, developing=Developing(fork=point, forks=answers), vm=vm)
