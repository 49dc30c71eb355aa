"""Contracts that a developer's ledger begins with, at the addresses where tools look for them."""

import json
from functools import cache
from pathlib import Path
from typing import Any, Final

from chain.genesis import GenesisAccount
from chain.types import Address

_FILE: Final = Path(__file__).with_name("contracts.json")


@cache
def _document() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(_FILE.read_text(encoding="ascii"))
    return found


def first_contracts() -> dict[Address, GenesisAccount]:
    """The deterministic deployer and Multicall3, by address."""
    return {
        Address(bytes.fromhex(entry["address"][2:])): GenesisAccount(
            nonce=1, code=bytes.fromhex(entry["code"][2:])
        )
        for entry in _document().values()
    }
