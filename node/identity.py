"""Who a node is: the key that it signs votes with, and the key that its links prove.

validator.key  signs votes; its address stands in the validator set. None: it only observes
votes.log      what that key has signed; made together with it, because a key without its
               log may have signed anything (V5 of docs/protocol/consensus.md)
node.key       names the node to its peers; made at the first start
"""

from pathlib import Path
from typing import Final

from node import keys
from node.consensus.log_file import DiskFile
from node.consensus.vote_log import VoteLog
from node.datadir import VALIDATOR_KEY, VOTES, make_folder

NODE_KEY: Final = "node.key"


def load_validator_key(folder: Path) -> bytes | None:
    """The validator's key of a data folder; None when the node only observes."""
    path = folder / VALIDATOR_KEY
    return keys.load_key(path) if path.exists() else None


def make_validator_key(folder: Path, key: bytes | None = None) -> bytes:
    """The folder's validator key; made, with its empty vote log, when there is none.

    `key` is the one to write instead of a fresh one. A key that is there stays, and so does
    the absence of its log.
    """
    make_folder(folder)
    path = folder / VALIDATOR_KEY
    if not path.exists():
        # The log first: after a crash in between there is a log without a key, never a key
        # that seems to have lost its log.
        VoteLog(DiskFile(folder / VOTES)).close()
    return keys.create_key(path, key)


def make_node_key(folder: Path, key: bytes | None = None) -> bytes:
    """The folder's node key, made (from `key`, if given) when there is none."""
    make_folder(folder)
    return keys.create_key(folder / NODE_KEY, key)
