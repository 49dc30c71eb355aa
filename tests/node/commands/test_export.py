"""Blocks in geth's format: what is exported can be imported."""

import io
from pathlib import Path

import pytest

from chain.blocks import decode_block, split_blocks
from chain.errors import Fault, Reason, Rejected
from chain.genesis import dev_genesis
from chain.ledger import Ledger
from chain.storage.memory import MemoryStore
from node.__main__ import Exit, main
from node.commands.export import export_chain, export_file
from tests.node.rpc.serving import Served


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export of a ledger with three blocks, made while it runs."""
    path = tmp_path_factory.mktemp("export") / "chain.rlp"
    with Served() as served:
        for _ in range(3):
            served.send(to="0x" + "11" * 20, value="0x1")
        export_file(served.node.ledger, path, 0, served.node.ledger.height, lambda line: None)
    return path


def test_the_blocks_stand_one_after_another(chain: Path) -> None:
    blocks = [decode_block(raw) for raw in split_blocks(chain.read_bytes())]
    assert [block.header.number for block in blocks] == [0, 1, 2, 3]
    assert [len(block.transactions) for block in blocks] == [0, 1, 1, 1]
    assert [path.name for path in chain.parent.iterdir()] == [chain.name]


def test_an_export_is_imported_and_exported_the_same(
    chain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    genesis = tmp_path / "genesis.json"
    genesis.write_text(dev_genesis().source)
    folder, again = str(tmp_path / "data"), tmp_path / "again.rlp"
    arguments = ["--genesis", str(genesis), "--datadir", folder, str(chain)]
    assert main(["import", *arguments]) == Exit.OK
    assert main(["export", "--datadir", folder, str(again)]) == Exit.OK
    assert again.read_bytes() == chain.read_bytes()
    assert main(["export", "--datadir", folder, "--first", "2", "--last", "2", str(again)]) == 0
    (only,) = split_blocks(again.read_bytes())
    assert decode_block(only).header.number == 2
    assert "heights 2 to 2" in capsys.readouterr().err


@pytest.mark.parametrize(("first", "last"), [(-1, 0), (0, 1), (1, 0), (5, 9)])
def test_heights_that_are_not_there_are_refused(first: int, last: int, tmp_path: Path) -> None:
    """And no file is made, nor an older one touched."""
    ledger = Ledger.open(MemoryStore(), dev_genesis())
    with pytest.raises(Rejected) as caught:
        export_chain(ledger, io.BytesIO(), first, last, lambda line: None)
    assert caught.value.reason is Reason.UNKNOWN_BLOCK
    path = tmp_path / "chain.rlp"
    path.write_text("older")
    with pytest.raises(Rejected):
        export_file(ledger, path, first, last, lambda line: None)
    assert path.read_text() == "older" and len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_can_not_be_written_is_a_fault(tmp_path: Path) -> None:
    ledger = Ledger.open(MemoryStore(), dev_genesis())
    with pytest.raises(Fault):
        export_file(ledger, tmp_path / "no" / "chain.rlp", 0, 0, lambda line: None)
