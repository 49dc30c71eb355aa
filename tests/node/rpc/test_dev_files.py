"""What a developer's chain may begin with: files that are none, and those in other clothes."""

import gzip
import json
from pathlib import Path

import pytest

from chain.errors import Fault, Reason, Rejected
from node.devchain.compose import Developing
from node.rpc.dev_files import is_there, load_file, save_file
from tests.node.rpc.serving import Served

STATE = json.dumps({"accounts": {"0x" + "ab" * 20: {"nonce": 1, "balance": "0x5", "code": "0x"}}})


@pytest.mark.parametrize(
    "data",
    [
        STATE.encode(),
        gzip.compress(STATE.encode()),
        b"0x" + gzip.compress(STATE.encode()).hex().encode() + b"\n",
        b'"0x' + gzip.compress(STATE.encode()).hex().encode() + b'"',
    ],
    ids=["plain", "gzip", "hex", "answer"],
)
def test_a_state_is_read_in_each_form_that_it_is_kept_in(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(data)
    for named in (path, tmp_path):
        assert is_there(named)
        (held,) = load_file(named).accounts.values()
        assert (held.nonce, held.balance) == (1, 5)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, Reason.BAD_SETTING),
        (b"", Reason.BAD_GENESIS),
        (b"0xzz", Reason.BAD_GENESIS),
        (b"\xff\xfe", Reason.BAD_GENESIS),
        (b"[]", Reason.BAD_GENESIS),
        (b"{}", Reason.BAD_GENESIS),
    ],
)
def test_what_is_no_state_is_refused_by_its_name(
    data: bytes | None, reason: Reason, tmp_path: Path
) -> None:
    path = tmp_path / "state.json"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(Rejected, match=r"state\.json") as refused:
        load_file(path)
    assert refused.value.reason is reason


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    with Served(developing=Developing()) as served:
        served.call("anvil_mine", 2)
        save_file(tmp_path / "kept.json", served.node.ledger, history=True)
        with pytest.raises(Fault, match="absent"):
            save_file(tmp_path / "absent" / "kept.json", served.node.ledger, history=False)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.json"]
    assert len(load_file(tmp_path / "kept.json").blocks) == 3
