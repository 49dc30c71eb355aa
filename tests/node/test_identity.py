"""The keys in a data folder, and the log that goes with one of them."""

from pathlib import Path

from node import identity, keys
from node.consensus.log_file import DiskFile
from node.consensus.vote_log import VoteLog
from node.datadir import VALIDATOR_KEY, VOTES


def test_a_fresh_validator_key_has_its_vote_log(tmp_path: Path) -> None:
    key = identity.make_validator_key(tmp_path)
    assert identity.load_validator_key(tmp_path) == key
    log = VoteLog(DiskFile(tmp_path / VOTES))
    assert not log.votes
    assert (tmp_path / VOTES).stat().st_mode & 0o777 == 0o600


def test_a_lost_vote_log_stays_lost(tmp_path: Path) -> None:
    """Given a key without its log, when the folder is made again, then no log hides the loss."""
    key = identity.make_validator_key(tmp_path)
    (tmp_path / VOTES).unlink()
    assert identity.make_validator_key(tmp_path) == key
    assert not (tmp_path / VOTES).exists()


def test_keys_are_made_once_and_for_their_owner_only(tmp_path: Path) -> None:
    given = keys.new_key()
    assert identity.make_node_key(tmp_path / "new", given) == given
    assert identity.make_node_key(tmp_path / "new") == given
    assert (tmp_path / "new" / identity.NODE_KEY).stat().st_mode & 0o777 == 0o600


def test_a_folder_without_a_key_observes(tmp_path: Path) -> None:
    assert identity.load_validator_key(tmp_path) is None
    assert not (tmp_path / VALIDATOR_KEY).exists()
