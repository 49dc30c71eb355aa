"""Importing an exported chain: all of it, once, up to the first bad block."""

import argparse
import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from chain.blocks import Block, encode_block
from chain.commitment import commit
from chain.errors import Reason, Rejected
from chain.execution import BlockBuilder
from chain.genesis import dev_genesis, genesis_block
from chain.headers import header_hash
from chain.types import ZERO_HASH, Address, Hash
from chain.views import EmptyView, Overlay
from contracts.vm import Interpreter
from node.conformance import chain_import
from node.datadir import open_ledger

GENESIS = dev_genesis()


def built_chain(length: int) -> list[Block]:
    """Genesis and empty blocks on it."""
    block, delta = genesis_block(GENESIS)
    view = Overlay(EmptyView(), commit(EmptyView(), delta))
    chain = [block]
    for number in range(1, length + 1):
        builder = BlockBuilder(
            view,
            chain[-1].header,
            Interpreter(),
            GENESIS.config,
            lambda number: ZERO_HASH,
            timestamp=number,
            coinbase=Address(bytes(20)),
            gas_limit=chain[-1].header.gas_limit,
            randomness=Hash(bytes(32)),
        )
        executed = builder.seal()
        view = Overlay(view, executed.changes)
        chain.append(executed.block)
    return chain


CHAIN = built_chain(6)


def write(path: Path, blocks: list[Block], tail: bytes = b"") -> Path:
    path.write_bytes(b"".join(encode_block(block) for block in blocks) + tail)
    return path


def imported(file: Path, folder: Path | None = None) -> tuple[int, int, Hash]:
    """How many blocks were new, and the head afterwards."""
    ledger = open_ledger(folder, GENESIS)
    try:
        new = chain_import.import_chain(ledger, file, lambda line: None)
        return new, ledger.height, ledger.head_hash
    finally:
        ledger.close()


def head(height: int) -> Hash:
    return header_hash(CHAIN[height].header)


def test_an_import_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    assert imported(write(tmp_path / "a.rlp", CHAIN[1:4]), folder) == (3, 3, head(3))
    assert imported(write(tmp_path / "b.rlp", CHAIN[1:]), folder) == (3, 6, head(6))
    assert imported(tmp_path / "b.rlp", folder) == (0, 6, head(6))


def test_an_export_may_begin_with_the_first_block(tmp_path: Path) -> None:
    assert imported(write(tmp_path / "a.rlp", CHAIN)) == (6, 6, head(6))


def test_an_empty_file_imports_nothing(tmp_path: Path) -> None:
    assert imported(write(tmp_path / "a.rlp", [])) == (0, 0, head(0))


@pytest.mark.parametrize(
    ("blocks", "tail", "reason", "place"),
    [
        ([*CHAIN[1:3], CHAIN[4]], b"", Reason.UNKNOWN_PARENT, 3),
        ([*CHAIN[1:3], replace(CHAIN[3], withdrawals=None)], b"", Reason.WRONG_WITHDRAWALS, 3),
        (CHAIN[1:3], b"\xf9", Reason.BAD_RLP, 3),
        (CHAIN[1:3], b"\xc0", Reason.BAD_BLOCK, 3),
        (CHAIN[1:3], b"hello", Reason.BAD_RLP, 3),
    ],
)
def test_the_blocks_before_a_bad_one_stay(
    tmp_path: Path, blocks: list[Block], tail: bytes, reason: Reason, place: int
) -> None:
    """The refusal names the bad block's place in the file."""
    folder = tmp_path / "data"
    with pytest.raises(Rejected) as caught:
        imported(write(tmp_path / "a.rlp", blocks, tail), folder)
    assert caught.value.reason == reason
    assert f"block {place} in" in caught.value.detail
    assert imported(write(tmp_path / "none.rlp", []), folder) == (0, 2, head(2))


def test_another_chains_blocks_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    imported(write(tmp_path / "a.rlp", CHAIN[1:]), folder)
    other = replace(CHAIN[2], header=replace(CHAIN[2].header, extra_data=b"other"))
    for block in (other, replace(CHAIN[0], header=replace(CHAIN[0].header, extra_data=b"x"))):
        with pytest.raises(Rejected) as caught:
            imported(write(tmp_path / "b.rlp", [block]), folder)
        assert caught.value.reason == Reason.WRONG_CHAIN


def test_the_command_prints_the_head(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """stdout has the result, stderr the progress; without a data folder nothing is kept."""
    genesis = tmp_path / "genesis.json"
    genesis.write_text(json.dumps(json.loads(GENESIS.source)))
    chain = write(tmp_path / "chain.rlp", CHAIN[1:])
    parser = argparse.ArgumentParser()
    chain_import.add_arguments(parser)
    arguments = ["--genesis", str(genesis), str(chain)]
    for more in ([], ["--datadir", str(tmp_path / "data")]):
        assert chain_import.run_import(parser.parse_args(arguments + more)) == 0
        captured = capsys.readouterr()
        assert captured.out == f"head 6 0x{head(6).hex()}\n"
        assert "imported 6 blocks" in captured.err
    with pytest.raises(Rejected) as caught:
        chain_import.run_import(parser.parse_args(["--genesis", str(genesis), "absent.rlp"]))
    assert caught.value.reason == Reason.BAD_SETTING
