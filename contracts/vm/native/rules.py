"""What is prepared once for a fork: its opcodes' functions, codes, precompiled contracts."""

import ctypes
from collections.abc import Mapping
from typing import Final

from chain.forks import Fork
from chain.state import State
from chain.types import EMPTY_CODE_HASH, Address
from contracts.vm.calls import delegate_of
from contracts.vm.native.codes import NativeCode, NativeCodes
from contracts.vm.native.jit.tier import ForkCodes
from contracts.vm.native.objects import Native
from contracts.vm.native.precompiled.contracts import PrecompiledCodes
from contracts.vm.native.records import ENTERS_COMPILED
from contracts.vm.native.session import Session
from contracts.vm.native.tables import ReadyCode
from contracts.vm.opcodes import OPCODES
from contracts.vm.precompiles import Precompile, precompiles_of

TABLE_BYTES: Final = 256 * 8
# The precompiled contracts that are over soon, whatever they are given.
_SHORT: Final = frozenset({"ECREC", "ID"})


class Rules:
    """One fork's. It keeps the fork, so that the fork's identity stays its own."""

    def __init__(
        self,
        native: Native,
        fork: Fork,
        moved: Mapping[Address, Address],
        codes: NativeCodes | ForkCodes,
    ) -> None:
        self.fork = fork
        self.codes = codes
        self.precompiles: Mapping[Address, Precompile] = precompiles_of(fork, moved)
        addresses = [
            native.handlers[code]
            if code in OPCODES and OPCODES[code].available(fork)
            else native.missing
            for code in range(256)
        ]
        addresses[ENTERS_COMPILED] = native.compiled
        self.lengthy = {
            address for address, each in self.precompiles.items() if each.name not in _SHORT
        }
        self.precompiled = PrecompiledCodes(fork, self.precompiles, native.finish)
        self.no_code = NativeCode(b"", native)
        self._table = (ctypes.c_uint64 * 256)(*addresses)
        self._pristine = bytes(self._table)
        self.table = ctypes.addressof(self._table)

    def fill_account(
        self, session: Session, state: State, *, traced: bool = False, in_a_hurry: bool = False
    ) -> None:
        """Tell native code of the account that it asks about.

        Delegated accounts, and precompiled contracts that only Python has, it may not call.
        Nor accounts that would go away because of the call's touch (EIP-161). When `traced`,
        nor any account without code: there would be a step where there is no opcode. When
        `in_a_hurry`, nor precompiled contracts that may run long, for nobody can stop them.
        """
        address = session.tables.account_missed()
        account, code = state.account(address), b""
        if account is not None and account.code_hash != EMPTY_CODE_HASH:
            code = state.code_of(account.code_hash)
        native_code: ReadyCode = self.codes.of(code) if code else self.no_code
        if code:
            delegated = delegate_of(code, self.fork) is not None
            may_call = not delegated and address not in self.precompiles
        else:
            may_call = not traced and self.fork.deletes_empty_accounts and state.would_stay(address)
            if address in self.precompiles:
                precompiled = self.precompiled.of(address)
                if precompiled is None or (in_a_hurry and address in self.lengthy):
                    may_call = False
                else:
                    native_code = precompiled
        session.tables.fill_account(state, address, account, code, native_code, may_call=may_call)

    def restore(self) -> None:
        """Forget that somebody has nudged."""
        ctypes.memmove(self.table, self._pristine, TABLE_BYTES)
