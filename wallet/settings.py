"""The wallet's settings: flags, then CHAIN_WALLET_* of the environment, then defaults."""

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from wallet.client import DEFAULT_URL
from wallet.key_folder import default_folder
from wallet.outcome import Exit, Failed

PREFIX: Final = "CHAIN_WALLET_"
VARIABLES: Final = ("RPC", "KEYSTORE", "FROM", "PASSWORD", "PASSWORD_FILE", "TIMEOUT")

_TIMEOUT_SECONDS: Final = 120.0


class Settings(Struct, frozen=True):
    """What every command shares."""

    rpc: str
    keystore: Path
    sender: str | None  # the account to send from, when the command does not say
    password: str | None  # only from the environment: other users can read the flags
    password_file: Path | None
    timeout_seconds: float
    json: bool


def read_settings(flags: Namespace, environment: Mapping[str, str]) -> Settings:
    """The effective settings. Failed(USAGE) naming an unknown variable or a wrong value."""
    unknown = sorted(
        name
        for name in environment
        if name.startswith(PREFIX) and name.removeprefix(PREFIX) not in VARIABLES
    )
    if unknown:
        known = ", ".join(PREFIX + name for name in VARIABLES)
        raise Failed(Exit.USAGE, f"unknown setting {unknown[0]}; known are {known}")

    def chosen(flag: str, variable: str) -> str | None:
        value = getattr(flags, flag, None)
        return value if value is not None else environment.get(PREFIX + variable) or None

    keystore = chosen("keystore", "KEYSTORE")
    password_file = chosen("password_file", "PASSWORD_FILE")
    return Settings(
        rpc=chosen("rpc", "RPC") or DEFAULT_URL,
        keystore=Path(keystore).expanduser() if keystore else default_folder(),
        sender=chosen("sender", "FROM"),
        password=environment.get(PREFIX + "PASSWORD"),
        password_file=Path(password_file).expanduser() if password_file else None,
        timeout_seconds=_seconds(chosen("timeout", "TIMEOUT")),
        json=bool(getattr(flags, "json", False)),
    )


def _seconds(text: str | None) -> float:
    if text is None:
        return _TIMEOUT_SECONDS
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 1e9:
        raise Failed(Exit.USAGE, f"the timeout {text!r} is not a number of seconds")
    return seconds
