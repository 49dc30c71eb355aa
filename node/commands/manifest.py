"""testnet.json: the nodes of a network on this machine, and where each of them answers.

The file is a list with one object per node, so that a script needs nothing else.
"""

import fcntl
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from chain.errors import Reason, Rejected

MANIFEST: Final = "testnet.json"
GENESIS: Final = "genesis.json"
RUN_FOLDER: Final = "run"  # what a running `chain-node up` keeps: its lock and its socket
_LOCK: Final = "lock"
_BYTES_MAX: Final = 16 * 2**20


class NodeEntry(Struct, frozen=True):
    """One node. `validator` is the address that it signs votes with; None: it follows.

    `p2p` is `<node id>@host:port`, the form in which other nodes are told of it.
    """

    name: str
    datadir: str
    rpc_url: str
    p2p: str
    validator: str | None
    node_id: str


class _Written(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A node as it stands in the file, with what it shares with the others."""

    name: str
    datadir: str
    rpc_url: str
    p2p_address: str
    validator_address: str | None
    node_id: str
    chain_id: int
    genesis: str
    insecure: bool = False


class Manifest(Struct, frozen=True):
    """A network. `insecure`: its keys follow from a seed that was on a command line."""

    chain_id: int
    genesis: str
    nodes: tuple[NodeEntry, ...]
    insecure: bool = False

    def node(self, which: str) -> NodeEntry:
        """The node of a name or a place from 0 on; Rejected(BAD_SETTING) when there is none."""
        for place, node in enumerate(self.nodes):
            if which in (node.name, str(place)):
                return node
        names = ", ".join(node.name for node in self.nodes)
        raise Rejected(Reason.BAD_SETTING, f"no node {which!r}; there are {names}")


def load_manifest(folder: Path) -> Manifest:
    """The manifest of a folder that `chain-node testnet` wrote; Rejected(BAD_SETTING) if none."""
    path = folder / MANIFEST
    try:
        if path.stat().st_size > _BYTES_MAX:
            raise Rejected(Reason.BAD_SETTING, f"{path} is larger than a manifest can be")
        written = msgspec.json.decode(path.read_bytes(), type=tuple[_Written, ...])
    except OSError as error:
        raise Rejected(
            Reason.BAD_SETTING,
            f"{path}: {os.strerror(error.errno or 0)} (make a network with chain-node testnet)",
        ) from None
    except msgspec.DecodeError as error:
        raise Rejected(Reason.BAD_SETTING, f"{path}: {error}") from None
    if not written:
        raise Rejected(Reason.BAD_SETTING, f"{path} lists no nodes")
    first = written[0]
    nodes = tuple(
        NodeEntry(
            node.name,
            node.datadir,
            node.rpc_url,
            node.p2p_address,
            node.validator_address,
            node.node_id,
        )
        for node in written
    )
    return Manifest(first.chain_id, first.genesis, nodes, first.insecure)


def store_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest, readable by programs and people."""
    written = [
        _Written(
            name=node.name,
            datadir=node.datadir,
            rpc_url=node.rpc_url,
            p2p_address=node.p2p,
            validator_address=node.validator,
            node_id=node.node_id,
            chain_id=manifest.chain_id,
            genesis=manifest.genesis,
            insecure=manifest.insecure,
        )
        for node in manifest.nodes
    ]
    text = msgspec.json.format(msgspec.json.encode(written), indent=2)
    (folder / MANIFEST).write_bytes(text + b"\n")


def lock_folder(folder: Path, held: ExitStack) -> None:
    """Keep everybody else from running or rewriting the network until `held` ends.

    Rejected(DATADIR_IN_USE) when somebody does already. The lock ends with its process.
    """
    run = folder / RUN_FOLDER
    run.mkdir(mode=0o700, exist_ok=True)
    file = os.open(run / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    held.callback(os.close, file)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Rejected(
            Reason.DATADIR_IN_USE, f"{folder}: its network is up (chain-node up)"
        ) from None
