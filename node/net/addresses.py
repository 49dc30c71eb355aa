"""Where nodes are reached: the text `<node id>@host:port`, and what an IP address is part of."""

import ipaddress
import re
from enum import IntEnum
from typing import Final

from msgspec import Struct

from chain.errors import Reason, Rejected
from node.net.network import PeerId

NODE_ID_SIZE: Final = 20
_HOST_CHARACTERS_MAX: Final = 253
_HOST_NAME: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")


class Address(Struct, frozen=True, order=True):
    """Where a node listens; `host` is an IP address or, from an operator, a name."""

    node: PeerId
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.node.hex()}@{host}:{self.port}"


class Reach(IntEnum):
    """From where an address can be reached: wider ones are greater."""

    LOOPBACK = 1
    PRIVATE = 2
    PUBLIC = 3


def parse_node_id(text: str) -> PeerId:
    """A node id in 40 hex digits, with or without 0x; Rejected(BAD_PEER_ADDRESS)."""
    digits = text.strip().removeprefix("0x")
    if not re.fullmatch(r"[0-9a-fA-F]{40}", digits):
        raise Rejected(Reason.BAD_PEER_ADDRESS, f"{text!r} is not a node id of 40 hex digits")
    return PeerId(bytes.fromhex(digits))


def is_node_id(text: str) -> bool:
    """Whether a text is a node id as this program writes it."""
    return re.fullmatch(r"[0-9a-f]{40}", text) is not None


def parse_address(text: str) -> Address:
    """`<node id>@host:port`, an IPv6 host in brackets; Rejected(BAD_PEER_ADDRESS)."""
    node, at, place = text.strip().partition("@")
    if not at:
        raise Rejected(Reason.BAD_PEER_ADDRESS, f"{text!r} is not <node id>@host:port")
    host, port = parse_place(place)
    return Address(parse_node_id(node), host, port)


def parse_place(text: str, port_default: int = 0) -> tuple[str, int]:
    """`host:port` taken apart; Rejected(BAD_PEER_ADDRESS). A default makes the port optional."""
    if text.startswith("["):
        host, closed, rest = text[1:].partition("]")
        colon, port_text = rest[:1], rest[1:]
        fits = bool(closed) and is_ip(host) and colon in ("", ":")
    else:
        host, colon, port_text = text.partition(":")
        fits = len(host) <= _HOST_CHARACTERS_MAX and _HOST_NAME.fullmatch(host) is not None
    if not colon and port_default:
        port_text = str(port_default)
    if not fits or not re.fullmatch(r"[0-9]{1,5}", port_text) or not 0 < int(port_text) < 65_536:
        raise Rejected(Reason.BAD_PEER_ADDRESS, f"{text!r} is not host:port")
    return host, int(port_text)


def is_ip(host: str) -> bool:
    return _ip(host) is not None


def plain_host(host: str) -> str:
    """An IP address in its shortest form, an IPv4 one that came mapped as IPv4; else as it is."""
    found = _ip(host)
    return host if found is None else str(found)


def reach_of(host: str) -> Reach | None:
    """Where an IP address can be reached from; None for a name, or an address of nobody."""
    found = _ip(host)
    if found is None or found.is_unspecified or found.is_multicast:
        return None
    if found.is_loopback:
        return Reach.LOOPBACK
    return Reach.PUBLIC if found.is_global else Reach.PRIVATE


def subnets_of(host: str) -> tuple[str, str] | None:
    """The narrow and the wide subnet of an address: /24 and /16, in IPv6 /48 and /32."""
    found = _ip(host)
    if found is None:
        return None
    narrow, wide = (24, 16) if found.version == 4 else (48, 32)
    return (
        str(ipaddress.ip_network((found, narrow), strict=False)),
        str(ipaddress.ip_network((found, wide), strict=False)),
    )


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found
