"""The contracts of the end-to-end tests, compiled by the tools that their authors use."""

import json
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec import Struct

from tests.support.javascript import run_script

CONTRACTS: Final = Path(__file__).resolve().parents[1] / "end_to_end" / "contracts"


class Artefact(Struct, frozen=True):
    """What a compiler makes of a contract, as clients take it."""

    abi: list[dict[str, Any]]
    bytecode: str  # 0x and hexadecimal: the creation code

    def selector_of_error(self, name: str) -> str:
        """The first four bytes of a revert with the custom error `name`, as 0x hexadecimal."""
        from eth_utils.abi import abi_to_signature, function_signature_to_4byte_selector

        (entry,) = (each for each in self.abi if each["type"] == "error" and each["name"] == name)
        signature = abi_to_signature(entry)  # type: ignore[arg-type]
        return "0x" + function_signature_to_4byte_selector(signature).hex()


@cache
def solidity(file: str, contract: str) -> Artefact:
    """A contract of a Solidity file, which may import @openzeppelin; by solc of npm."""
    made = json.loads(run_script("compile.mjs", str(CONTRACTS / file)))[contract]
    return Artefact(abi=made["abi"], bytecode=made["bytecode"])


@cache
def vyper(file: str) -> Artefact:
    """The contract of a Vyper file."""
    compiler = pytest.importorskip("vyper", reason="vyper is not installed")
    source = (CONTRACTS / file).read_text()
    made = compiler.compile_code(source, output_formats=["abi", "bytecode"])
    return Artefact(abi=made["abi"], bytecode=made["bytecode"])
