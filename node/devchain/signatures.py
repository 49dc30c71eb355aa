"""Signatures that contracts are told are somebody's who never made them.

The precompiled contract that recovers signers is asked as ever, and answers as it was told to for
these signatures. Native code knows the real one only, so while there are any, everything runs on
the plain interpreter, which is the definition of the same.
"""

import threading
from typing import Final

from msgspec.structs import replace

from chain.errors import Reason, Rejected
from chain.forks import Fork
from chain.machine import Machine
from chain.types import Address
from contracts.vm import Interpreter
from contracts.vm.frame import padded
from contracts.vm.precompiles import PRECOMPILES

SIGNATURES_MAX: Final = 10_000
_LENGTH: Final = 65  # r, s, v
_RECOVERS: Final = 1  # the number of the precompiled contract
_ADDRESS: Final = Address(_RECOVERS.to_bytes(20, "big"))


class Signatures:
    """What is believed of which signature. Told in the event loop's thread, asked in any."""

    def __init__(self) -> None:
        self._signers: dict[bytes, Address] = {}
        self._own = threading.local()

    def __len__(self) -> int:
        return len(self._signers)

    def impersonate(self, signature: bytes, signer: Address) -> None:
        """Have contracts take a signature (r, s, v) of any message for `signer`'s.

        Rejected: BAD_SIGNATURE for what has another length, TOO_LARGE beyond some thousands.
        """
        if len(signature) != _LENGTH:
            raise Rejected(Reason.BAD_SIGNATURE, f"a signature has {_LENGTH} bytes: r, s and v")
        if len(self._signers) >= SIGNATURES_MAX and signature not in self._signers:
            raise Rejected(Reason.TOO_LARGE, f"{SIGNATURES_MAX} impersonated signatures")
        self._signers[signature] = signer

    def clear(self) -> None:
        """Believe nothing any more."""
        self._signers.clear()

    def machine(self, usual: Machine) -> Machine:
        """The calling thread's machine: the usual one as long as nothing is believed."""
        if not self._signers:
            return usual
        machine: Interpreter | None = getattr(self._own, "machine", None)
        if machine is None:
            believing = replace(PRECOMPILES[_RECOVERS], run=self._recover)
            machine = self._own.machine = Interpreter(instead={_ADDRESS: believing})
        return machine

    def _recover(self, data: bytes, fork: Fork) -> bytes | None:
        """As the precompiled contract; of v, which is a word, the last byte counts as on anvil."""
        data = padded(data, 0, 128)
        signer = self._signers.get(data[64:128] + data[63:64])
        if signer is None:
            return PRECOMPILES[_RECOVERS].run(data, fork)
        return bytes(12) + signer
