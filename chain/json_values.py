"""Values of a genesis file, read strictly: each knows the path it stands at and says so."""

from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct

from chain.errors import Reason, Rejected

_HEX_DIGITS: Final = frozenset("0123456789abcdefABCDEF")
_DIGITS: Final = frozenset("0123456789")
_DIGITS_MAX: Final = 80  # more than any 256-bit number has


class Key(Struct, frozen=True):
    """A JSON value and where it stands. Every reader raises BAD_GENESIS naming that place."""

    value: object
    path: str = ""
    name: str = ""  # within its object

    def refuse(self, why: str) -> Rejected:
        return Rejected(Reason.BAD_GENESIS, f"{self.path or 'genesis'}: {why}")

    def _object(self) -> Mapping[str, object]:
        if not isinstance(self.value, Mapping):
            raise self.refuse("must be an object")
        return self.value

    def _at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def optional(self, name: str) -> "Key | None":
        """The member `name`; None where it is absent or null."""
        value = self._object().get(name)
        return None if value is None else Key(value, self._at(name), name)

    def required(self, name: str) -> "Key":
        found = self.optional(name)
        if found is None:
            raise Rejected(Reason.BAD_GENESIS, f"{self._at(name)}: is missing")
        return found

    def entries(self) -> Iterator["Key"]:
        """The members of an object, each under its own name."""
        for name, value in self._object().items():
            yield Key(value, self._at(name), name)

    def elements(self) -> Iterator["Key"]:
        """The elements of a list."""
        if not isinstance(self.value, list):
            raise self.refuse("must be a list")
        for index, value in enumerate(self.value):
            yield Key(value, f"{self.path}[{index}]")

    def integer(self, size_max: int, *, largest: int | None = None) -> int:
        """An unsigned number of at most `size_max` bytes: JSON's, or text in decimal or 0x-hex.

        Empty text and a bare 0x are 0, as in geth's older files.
        """
        value = self.value
        if isinstance(value, str):
            number = self._number(value)
        elif isinstance(value, int) and not isinstance(value, bool):
            number = value
        else:
            raise self.refuse("must be a number")
        if not 0 <= number < 256**size_max or (largest is not None and number > largest):
            raise self.refuse(f"{number} is out of range")
        return number

    def _number(self, text: str) -> int:
        if text[:2] in ("0x", "0X"):
            digits, allowed, radix = text[2:], _HEX_DIGITS, 16
        else:
            digits, allowed, radix = text, _DIGITS, 10
        if len(digits) > _DIGITS_MAX or not allowed.issuperset(digits):
            raise self.refuse(f"{text[:100]!r} is not a number")
        return int(digits or "0", radix)

    def boolean(self) -> bool:
        if not isinstance(self.value, bool):
            raise self.refuse("must be true or false")
        return self.value

    def data(self) -> bytes:
        """Bytes in hex, with or without 0x."""
        if not isinstance(self.value, str):
            raise self.refuse("must be hex text")
        return self._bytes(self.value)

    def _bytes(self, text: str) -> bytes:
        digits = text[2:] if text[:2] in ("0x", "0X") else text
        if len(digits) % 2 or not _HEX_DIGITS.issuperset(digits):
            raise self.refuse("must be hex with two digits for each byte")
        return bytes.fromhex(digits)

    def fixed(self, size: int) -> bytes:
        """Exactly `size` bytes in hex."""
        data = self.data()
        if len(data) != size:
            raise self.refuse(f"must have {size} bytes, has {len(data)}")
        return data

    def name_bytes(self, size: int) -> bytes:
        """The member's own name as exactly `size` bytes in hex."""
        data = self._bytes(self.name)
        if len(data) != size:
            raise self.refuse(f"the name must have {size} bytes, has {len(data)}")
        return data

    def _word(self, text: str) -> int:
        digits = text[2:] if text[:2] in ("0x", "0X") else text
        if len(digits) > 64 or not _HEX_DIGITS.issuperset(digits):
            raise self.refuse("must be at most 32 bytes in hex")
        return int(digits or "0", 16)

    def name_word(self) -> int:
        """The member's own name as a storage slot: at most 32 bytes in hex."""
        return self._word(self.name)

    def word(self) -> int:
        """A storage value: at most 32 bytes in hex."""
        if not isinstance(self.value, str):
            raise self.refuse("must be hex text")
        return self._word(self.value)
