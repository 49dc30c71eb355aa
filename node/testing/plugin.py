"""pytest's fixtures: a ledger, its accounts, contracts put on it; each test undone at its end.

One ledger serves all tests of a process, so with xdist each worker has its own. Nothing is
loaded before the first test that asks for it.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from web3 import Web3

    from node.testing.ledger import Ledger

Deploy = Callable[..., Any]


def pytest_addoption(parser: pytest.Parser) -> None:
    """The ledger's own settings, in pytest.ini or pyproject.toml."""
    parser.addini("ledger_accounts", "funded accounts of the test ledger", default="10")
    parser.addini("ledger_balance", "coins of each funded account", default="10000")
    parser.addini("ledger_chain_id", "chain id of the test ledger", default="31337")


@pytest.fixture(scope="session")
def session_ledger(pytestconfig: pytest.Config) -> "Iterator[Ledger]":
    """The ledger of this process, for fixtures whose work all tests begin with."""
    from node.testing.ledger import Ledger

    with Ledger(
        accounts=int(pytestconfig.getini("ledger_accounts")),
        balance=int(pytestconfig.getini("ledger_balance")),
        chain_id=int(pytestconfig.getini("ledger_chain_id")),
    ) as ledger:
        yield ledger


@pytest.fixture
def ledger(session_ledger: "Ledger") -> "Iterator[Ledger]":
    """A ledger that is after the test as it was before."""
    with session_ledger.moment():
        yield session_ledger


@pytest.fixture
def accounts(ledger: "Ledger") -> list[str]:
    """The funded accounts' addresses."""
    return list(ledger.accounts)


@pytest.fixture
def w3(ledger: "Ledger") -> "Web3":
    """web3.py on the ledger; the first account sends unless another is named."""
    return ledger.web3


@pytest.fixture
def deploy(ledger: "Ledger") -> Deploy:
    """`deploy(artefact, *arguments, **transaction)` puts a contract on the ledger.

    The artefact is a compiler's JSON file (Foundry's, Hardhat's, Ape's), what such a file
    holds, a Vyper source file, or anything with `abi` and `bytecode`. Gives web3.py's
    contract at its address.
    """

    def deployed(artefact: Any, *arguments: Any, **transaction: Any) -> Any:
        abi, bytecode = _artefact(artefact)
        w3 = ledger.web3
        factory = w3.eth.contract(abi=abi, bytecode=bytecode)
        sent = factory.constructor(*arguments).transact(transaction or None)
        receipt = w3.eth.get_transaction_receipt(sent)
        return w3.eth.contract(address=receipt["contractAddress"], abi=abi)

    return deployed


def _artefact(artefact: Any) -> tuple[list[Any], str]:
    """The ABI and the creation code; ValueError when they can't be found."""
    if isinstance(artefact, str | Path):
        path = Path(artefact)
        artefact = _compiled(path) if path.suffix == ".vy" else json.loads(path.read_bytes())
    if isinstance(artefact, Mapping):
        abi = artefact.get("abi")
        code = artefact.get("bytecode", artefact.get("deploymentBytecode"))
    else:
        abi, code = getattr(artefact, "abi", None), getattr(artefact, "bytecode", None)
    if isinstance(code, Mapping):
        code = code.get("object", code.get("bytecode"))
    if isinstance(code, bytes):
        code = code.hex()
    if not isinstance(abi, list) or not isinstance(code, str) or not code:
        raise ValueError("an artefact has an abi and a bytecode")
    return abi, code if code.startswith("0x") else "0x" + code


def _compiled(path: Path) -> dict[str, Any]:
    """A Vyper contract, by the compiler that is installed."""
    import vyper

    found: dict[str, Any] = vyper.compile_code(
        path.read_text(encoding="utf-8"), output_formats=["abi", "bytecode"]
    )
    return found
