"""Reading somebody's key in whatever form it comes: hexadecimal, phrase, or keystore."""

import re
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from chain.crypto.hd import ETHEREUM_PATH, derive_key, master_key, mnemonic_seed
from chain.errors import Reason, Rejected
from wallet.keystore import decrypt_key
from wallet.mnemonic import decode_mnemonic, normal_form
from wallet.signer import check_private_key

_HEX_KEY: Final = re.compile(r"(0x)?[0-9a-fA-F]{64}", re.ASCII)


class Derivation(Struct, frozen=True):
    """Which keys of a phrase are meant."""

    path: str = ETHEREUM_PATH
    index: int = 0
    count: int = 1
    passphrase: str = ""


def looks_like_secret(text: str) -> bool:
    """Whether `text` itself is a key or a phrase, rather than the name of a file."""
    return bool(_HEX_KEY.fullmatch(text.strip())) or len(text.split()) >= 12


def read_keys(text: str, derivation: Derivation, ask_password: Callable[[], str]) -> list[bytes]:
    """The private keys in `text`; `ask_password` is called when it is a keystore.

    Rejected(BAD_KEYSTORE) when it is none of the three forms, or a bad one;
    Rejected(WRONG_PASSWORD). No message repeats any part of the text.
    """
    text = text.strip()
    if text.startswith("{"):
        return [decrypt_key(text, ask_password())]
    if _HEX_KEY.fullmatch(text):
        key = bytes.fromhex(text.removeprefix("0x"))
        check_private_key(key)
        return [key]
    if len(text.split()) > 1:
        return phrase_keys(text, derivation)
    raise Rejected(
        Reason.BAD_KEYSTORE,
        "this is neither a private key (64 hexadecimal digits), nor a phrase of 12 to 24 words, "
        "nor a keystore (JSON)",
    )


def phrase_keys(phrase: str, derivation: Derivation) -> list[bytes]:
    """The private keys of a phrase, whose words and checksum are checked first."""
    decode_mnemonic(phrase)
    root = master_key(mnemonic_seed(normal_form(phrase), derivation.passphrase))
    indices = range(derivation.index, derivation.index + derivation.count)
    return [derive_key(root, f"{derivation.path}/{index}").private_key for index in indices]
