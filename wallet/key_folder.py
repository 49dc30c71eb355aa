"""A folder of keystore files, named and protected as geth does it: one file, one key."""

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex

from msgspec import Struct

from chain.errors import Reason, Rejected
from chain.types import Address
from wallet.addresses import checksum_address
from wallet.keystore import (
    FILE_BYTES_MAX,
    STANDARD,
    Cost,
    decrypt_key,
    encrypt_key,
    keystore_address,
)
from wallet.signer import address_of

_FILE_NAME = re.compile(r"UTC--[0-9TZ.:-]+--(?P<address>[0-9a-f]{40})", re.ASCII)


class Entry(Struct, frozen=True):
    """A key of the folder that can be opened with its password."""

    address: Address
    path: Path


def default_folder() -> Path:
    """Where keys live when nobody says otherwise (XDG's data folder)."""
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "chain-wallet" / "keystore"


def list_keys(folder: Path) -> list[Entry]:
    """The keys in `folder`, oldest file first; other files are passed over.

    An empty list when the folder does not exist. Rejected(BAD_KEYSTORE) when it cannot
    be read.
    """
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.is_file())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise Rejected(Reason.BAD_KEYSTORE, f"cannot read {folder}: {error.strerror}") from error
    entries = (_entry(folder / name) for name in names if not name.startswith("."))
    return [entry for entry in entries if entry is not None]


def find_key(folder: Path, address: Address) -> Entry:
    """The key of `address`. Rejected(BAD_KEYSTORE) when the folder has none."""
    for entry in list_keys(folder):
        if entry.address == address:
            return entry
    raise Rejected(Reason.BAD_KEYSTORE, f"{folder} has no key of {checksum_address(address)}")


def open_key(entry: Entry, password: str) -> bytes:
    """The private key of `entry`; Rejected as decrypt_key does, or when it is another's."""
    private_key = decrypt_key(read_text(entry.path), password)
    if address_of(private_key) != entry.address:
        raise Rejected(Reason.BAD_KEYSTORE, f"{entry.path.name} holds the key of another address")
    return private_key


def store_key(folder: Path, private_key: bytes, password: str, cost: Cost = STANDARD) -> Entry:
    """Write `private_key` under `password` as a new file that only its owner can read.

    The file appears whole or not at all, and survives a power cut from then on.
    Rejected(BAD_KEYSTORE) when the folder has the key already or cannot be written.
    """
    address = address_of(private_key)
    if any(entry.address == address for entry in list_keys(folder)):
        message = f"{folder} already has the key of {checksum_address(address)}"
        raise Rejected(Reason.BAD_KEYSTORE, message)
    content = encrypt_key(private_key, password, cost)
    path = folder / _file_name(address, datetime.now(UTC))
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_new(path, content.encode())
    except OSError as error:
        raise Rejected(Reason.BAD_KEYSTORE, f"cannot write {path}: {error.strerror}") from error
    return Entry(address, path)


def read_text(path: Path) -> str:
    """The text of a small file. Rejected(BAD_KEYSTORE) when it is missing, large or not text."""
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise Rejected(Reason.BAD_KEYSTORE, f"cannot read {path}: {error.strerror}") from error
    if len(content) > FILE_BYTES_MAX:
        raise Rejected(Reason.BAD_KEYSTORE, f"{path} is larger than {FILE_BYTES_MAX} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Rejected(Reason.BAD_KEYSTORE, f"{path} is not text") from error


def _entry(path: Path) -> Entry | None:
    named = _FILE_NAME.fullmatch(path.name)
    if named:
        return Entry(Address(bytes.fromhex(named["address"])), path)
    try:
        address = keystore_address(read_text(path))
    except Rejected:
        return None  # the folder may hold other files; a key is asked for by its address
    return Entry(address, path) if address else None


def _file_name(address: Address, now: datetime) -> str:
    # geth's form: nanoseconds, and no colons, which some file systems do not allow.
    return f"UTC--{now:%Y-%m-%dT%H-%M-%S.%f}000Z--{address.hex()}"


def _write_new(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}.{token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.rename(draft, path)
    finally:
        draft.unlink(missing_ok=True)  # it is there only when something failed
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
