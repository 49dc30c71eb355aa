"""What was waiting in the pool when the node stopped, kept for the next start.

File: CRC-32 (4 bytes) of the rest, then an RLP list of transactions in their network
form. It is a courtesy, not a promise: a crash leaves the last clean stop's file, and
what is in blocks by then is refused for its nonce when it comes again.
"""

import logging
import os
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from chain import codec
from chain.errors import Rejected
from chain.transactions import encode_network_transaction
from node.mempool import Mempool

_log: Final = logging.getLogger("pool")


def waiting(mempool: Mempool) -> list[bytes]:
    """The pool's transactions in their network form, each sender's in nonce order."""
    raws = []
    for lanes in (mempool.pending(), mempool.queued()):
        for lane in lanes.values():
            for checked in lane:
                sidecar = mempool.sidecar(checked.transaction.hash)
                raws.append(
                    checked.transaction.raw
                    if sidecar is None
                    else encode_network_transaction(checked.transaction, sidecar)
                )
    return raws


def save(path: Path, raws: Iterable[bytes]) -> None:
    """Replace the file; an error of the disk is logged and no more."""
    payload = codec.encode_list(map(codec.encode_bytes, raws))
    fresh = path.with_suffix(".new")
    try:
        with fresh.open("wb") as file:
            file.write(zlib.crc32(payload).to_bytes(4, "big") + payload)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        _log.warning("the pool was not kept: %s", error.strerror)


def load(path: Path) -> list[bytes]:
    """What `save` wrote; nothing when there is no file or it is damaged."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        _log.warning("%s can't be read: %s", path, error.strerror)
        return []
    payload = data[4:]
    if data[:4] == zlib.crc32(payload).to_bytes(4, "big"):
        try:
            items = codec.decode(payload)
        except Rejected:
            items = b""
        if isinstance(items, list):
            return [item for item in items if isinstance(item, bytes)]
    _log.warning("%s is damaged and is passed over", path)
    return []
