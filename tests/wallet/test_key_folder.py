"""The folder of keys: private, whole or absent, found by address."""

import re
import stat
from pathlib import Path

import pytest

from chain.errors import Reason, Rejected
from chain.types import Address
from wallet.key_folder import find_key, list_keys, open_key, store_key
from wallet.keystore import Cost
from wallet.signer import address_of

CHEAP = Cost(n=2, r=1, p=1)
KEYS = [bytes(31) + bytes((number,)) for number in (1, 2, 3)]


def test_a_stored_key_is_listed_found_and_opened(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "keys"
    entries = [store_key(folder, key, "pass", CHEAP) for key in KEYS]
    assert list_keys(folder) == entries
    assert find_key(folder, address_of(KEYS[1])) == entries[1]
    assert open_key(entries[1], "pass") == KEYS[1]


def test_files_have_geths_names_and_are_private(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    entry = store_key(folder, KEYS[0], "pass", CHEAP)
    pattern = r"UTC--\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{9}Z--" + entry.address.hex()
    assert re.fullmatch(pattern, entry.path.name)
    assert stat.S_IMODE(entry.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [path.name for path in folder.iterdir()] == [entry.path.name]


def test_a_key_is_not_stored_twice(tmp_path: Path) -> None:
    store_key(tmp_path, KEYS[0], "pass", CHEAP)
    with pytest.raises(Rejected, match="already has the key") as rejection:
        store_key(tmp_path, KEYS[0], "other", CHEAP)
    assert rejection.value.reason is Reason.BAD_KEYSTORE
    assert len(list_keys(tmp_path)) == 1


def test_a_folder_that_cannot_be_written_is_a_clear_refusal(tmp_path: Path) -> None:
    obstacle = tmp_path / "file"
    obstacle.write_text("in the way")
    for folder in (obstacle, obstacle / "keys"):
        with pytest.raises(Rejected) as rejection:
            store_key(folder, KEYS[0], "pass", CHEAP)
        assert rejection.value.reason is Reason.BAD_KEYSTORE


def test_other_files_and_drafts_are_passed_over(tmp_path: Path) -> None:
    entry = store_key(tmp_path, KEYS[0], "pass", CHEAP)
    (tmp_path / "notes.txt").write_text("not a key")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / f".{entry.path.name}.0a1b").write_text("half a fi")
    (tmp_path / "folder").mkdir()
    assert list_keys(tmp_path) == [entry]


def test_a_key_file_of_any_name_is_found_by_the_address_in_it(tmp_path: Path) -> None:
    entry = store_key(tmp_path, KEYS[0], "pass", CHEAP)
    renamed = entry.path.rename(tmp_path / "main.json")
    assert [found.path for found in list_keys(tmp_path)] == [renamed]


def test_a_key_under_another_keys_name_does_not_open(tmp_path: Path) -> None:
    first = store_key(tmp_path, KEYS[0], "pass", CHEAP)
    second = store_key(tmp_path, KEYS[1], "pass", CHEAP)
    first.path.write_text(second.path.read_text())
    with pytest.raises(Rejected, match="another address") as rejection:
        open_key(first, "pass")
    assert rejection.value.reason is Reason.BAD_KEYSTORE


def test_an_unknown_address_and_a_missing_folder_have_no_key(tmp_path: Path) -> None:
    assert list_keys(tmp_path / "none") == []
    with pytest.raises(Rejected, match="has no key") as rejection:
        find_key(tmp_path, Address(bytes(20)))
    assert rejection.value.reason is Reason.BAD_KEYSTORE
