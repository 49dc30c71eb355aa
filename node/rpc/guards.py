"""Who may call: hosts, origins, and whether a caller is a program of this machine."""

import ipaddress
import re
from collections.abc import Container
from functools import lru_cache
from typing import Final

from node.net.addresses import Reach, reach_of
from node.settings import RpcSettings

# Whoever stands between caller and node adds one of these; header names in lower case.
_PROXY_HEADERS: Final = (
    "forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip",
)  # fmt: skip
CONTENT_TYPES: Final = frozenset(
    {"application/json", "application/json-rpc", "application/jsonrequest"}
)
# An address in brackets, or else a name or an address; then a port. Nothing else is let through,
# since others might take another part of it for the name.
_HOST: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:@/?#,\s]+))(?::[0-9]{0,5})?")
_ORIGIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(.+)")


class Guards:
    """What the settings allow."""

    def __init__(self, settings: RpcSettings) -> None:
        self._settings = settings

    def host_allowed(self, host: str) -> bool:
        """Whether the Host header is an IP address or a name we are known by.

        A page of another site that makes its own name resolve to us (DNS rebinding)
        still sends that name.
        """
        if not host:
            return True  # no browser leaves it out
        allowed = self._settings.hosts
        if "*" in allowed:
            return True
        name = _name_of(host) or host  # an IPv6 address without brackets is still one
        return name in allowed or _is_address(name)

    def origin_allowed(self, origin: str) -> bool:
        """Whether pages of this origin may call; those of this machine when none are named."""
        allowed = self._settings.cors_origins
        return "*" in allowed or origin in allowed or (not allowed and _is_local(origin))


def called_locally(peer: str, headers: Container[str], origin: str | None) -> bool:
    """Whether a program of this machine calls for itself: no proxy, no page of another site.

    `peer` is the connection's other end, an address; `headers` has lower-case names.
    """
    if any(name in headers for name in _PROXY_HEADERS):
        return False
    return _is_loopback(peer) and (origin is None or _is_local(origin))


@lru_cache(maxsize=256)
def _is_loopback(host: str) -> bool:
    return reach_of(host) is Reach.LOOPBACK


def _name_of(host: str) -> str | None:
    """The name or address in a Host header, in lower case; None when there is no telling."""
    found = _HOST.fullmatch(host)
    return None if found is None else (found[1] or found[2]).lower()


@lru_cache(maxsize=256)
def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_local(origin: str) -> bool:
    """Whether an origin is a page of this machine."""
    found = _ORIGIN.fullmatch(origin)
    name = None if found is None else _name_of(found[1])
    if name is None:
        return False
    return name == "localhost" or (_is_address(name) and ipaddress.ip_address(name).is_loopback)
