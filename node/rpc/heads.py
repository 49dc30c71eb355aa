"""The heads of plain HTTP requests.

A plain request is one that can be read in one way only: a POST to / in HTTP/1.1 with one
Content-Length, no transfer coding, upgrade or expectation, of a host and content type that
are allowed, and with nothing but printable ASCII in its headers.
"""

import re
from typing import Final, Protocol

from msgspec import Struct

from node.rpc.context import Context

_HEAD_BYTES_MAX: Final = 8192
_HEAD: Final = re.compile(
    rb"POST / HTTP/1\.1\r\n(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e]*\r\n)+\r\n\Z"
)
_FIELDS: Final = re.compile(rb"([^:\r\n]+):[ \t]*([^\r\n]*?)[ \t]*\r\n")
_ONCE: Final = frozenset({b"host", b"content-length", b"content-type", b"connection", b"origin"})
# What may stand in a plain request beside those; the rest of what browsers and clients send
# says nothing that matters here.
_NEVER: Final = frozenset(
    {
        b"transfer-encoding", b"content-encoding", b"upgrade", b"expect", b"te", b"trailer",
        b"http2-settings", b"proxy-connection",
    }
)  # fmt: skip


class Head(Struct, frozen=True):
    """What the head of a plain request says."""

    size: int  # bytes of the body
    context: Context
    closes: bool  # whether the connection ends with the answer
    origin: bytes | None  # which is told that it may read the answer


class Fields(Struct, frozen=True):
    """The headers of a plain request that matter. `others` are the names of the rest."""

    host: str
    content_type: str
    origin: str | None
    size: int
    closes: bool
    others: frozenset[str]


def read_fields(head: bytes) -> Fields | None:
    """The headers up to and with the empty line; None unless they can be read in one way only."""
    if len(head) > _HEAD_BYTES_MAX or _HEAD.match(head) is None:
        return None
    found: dict[bytes, bytes] = {}
    others: set[str] = set()
    for name, value in _FIELDS.findall(head, head.index(b"\n") + 1):
        name = name.lower()
        if name in _NEVER:
            return None
        if name not in _ONCE:
            others.add(name.decode())
        elif name in found:
            return None
        else:
            found[name] = value
    length = found.get(b"content-length", b"")
    connection = found.get(b"connection", b"keep-alive").lower()
    if not 0 < len(length) <= 12 or not length.isdigit():
        return None
    if connection not in (b"keep-alive", b"close"):
        return None
    origin = found.get(b"origin")
    return Fields(
        host=found.get(b"host", b"").decode(),
        content_type=found.get(b"content-type", b"").decode(),
        origin=None if origin is None else origin.decode(),
        size=int(length),
        closes=connection == b"close",
        others=frozenset(others),
    )


class Rules(Protocol):
    """What a server says of plain requests."""

    def read_head(self, head: bytes, peer: str) -> Head | None:
        """The head of an allowed plain request that `peer` (an address) sent, or None."""
        ...
