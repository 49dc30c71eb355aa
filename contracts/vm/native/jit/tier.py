"""What is compiled, and when: code that messages have used much gas in, once for each fork.

Compiled code is looked for in memory, then on disk, then made in another process.
Code that could not be compiled within the limits is remembered as such, also on disk,
and stays interpreted for good.
"""

from pathlib import Path
from typing import Final

from chain.forks import Fork
from contracts.vm.native.codes import NativeCode, NativeCodes
from contracts.vm.native.jit.compiler import (
    Compiled,
    ObjectNames,
    TooLarge,
    compile_code,
    load_compiled,
    prices_of,
)
from contracts.vm.native.jit.flow import Prices
from contracts.vm.native.jit.settings import JitSettings
from contracts.vm.native.jit.worker import Job
from contracts.vm.native.jit.workshop import Workshop
from contracts.vm.native.objects import Native, load_object, store_object

_REFUSED_MAX: Final = 4_096  # codes that are known not to compile
_TIDY_EVERY: Final = 64  # files; to list them takes longer than to write one
MESSAGE_GAS: Final = 1_000  # what a message counts whose gas only native code knows


class Figures:
    """What has happened so far, for metrics."""

    def __init__(self) -> None:
        self.compiled = 0
        self.loaded_from_disk = 0
        self.refused = 0  # beyond the limits
        self.dropped = 0  # because too many were waiting
        self.messages = 0  # from transactions to code that is compiled
        self.gas = 0  # that these have used


class Tier:
    """The compiled codes of all forks. Not thread-safe."""

    def __init__(self, native: Native, settings: JitSettings, folder: Path | None) -> None:
        """`folder` is where object files are kept between processes."""
        self.figures = Figures()
        self.changes = 0  # how often a code has got compiled functions
        self._native = native
        self._settings = settings
        self._folder = folder / "jit" if folder is not None and settings.cached_files_max else None
        self._stored_files = 0
        self._names = ObjectNames()
        self._workshop = Workshop(settings)
        self._loaded: dict[tuple[Prices, bytes], Compiled] = {}  # the last used ones at the end
        self._loaded_bytes = 0
        self._refused: dict[tuple[Prices, bytes], None] = {}
        self._waiting: dict[tuple[Prices, bytes], ForkCodes] = {}  # the first is being compiled

    @property
    def hot_gas(self) -> int:
        return self._settings.hot_gas

    @property
    def loaded(self) -> int:
        return len(self._loaded)

    @property
    def loaded_bytes(self) -> int:
        return self._loaded_bytes

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def close(self) -> None:
        """End what is being compiled."""
        self._workshop.close()
        self._waiting.clear()

    def meet(self, codes: "ForkCodes", code: bytes, native_code: NativeCode) -> None:
        """A code is about to run that has not run lately."""
        key = (codes.prices, code)
        found = self._loaded.pop(key, None)
        if found is not None:
            self._loaded[key] = found
            self._use(native_code, found)
        elif self._settings.at_once:
            self.want(codes, code, native_code)

    def want(self, codes: "ForkCodes", code: bytes, native_code: NativeCode) -> None:
        """Have a code compiled, unless it is known not to."""
        native_code.heat = 0
        key = (codes.prices, code)
        if native_code.compiled or key in self._waiting:
            return
        if key in self._refused:
            return
        found = self._stored(key)
        if found is not None:
            self.figures.loaded_from_disk += 1
            self._keep(key, codes, found)
        elif self._settings.at_once:
            self._compile(key, codes)
        elif len(self._waiting) < self._settings.waiting_codes_max:
            self._waiting[key] = codes
        else:
            self.figures.dropped += 1

    def _compile(self, key: tuple[Prices, bytes], codes: "ForkCodes") -> None:
        prices, code = key
        try:
            found = compile_code(code, prices, opcode_by_opcode=self._settings.opcode_by_opcode)
        except TooLarge:
            found = b""
        self._finish(key, codes, found, lasting=True)

    def poll(self) -> None:
        """Take what has been compiled, and go on with what waits. Only between messages."""
        if not self._waiting:
            return
        key, codes = next(iter(self._waiting.items()))
        if not self._workshop.busy:
            self._workshop.give(Job(key[1], tuple(key[0])))
        found = self._workshop.poll()
        if found is not None:
            del self._waiting[key]
            self._finish(key, codes, found, lasting=bool(found) or self._workshop.lasting)
            if not self._waiting:
                self._workshop.close()

    def _finish(
        self, key: tuple[Prices, bytes], codes: "ForkCodes", found: bytes, *, lasting: bool
    ) -> None:
        """`found` is empty when there is nothing to run, or nothing within the limits.

        It is kept beyond this process only when `lasting`.
        """
        path = self._path(key)
        if path is not None and lasting:
            store_object(path, found)
            self._stored_files += 1
            if self._stored_files % _TIDY_EVERY == 1:
                self._tidy(path.parent)
        if found:
            self.figures.compiled += 1
        self._keep(key, codes, found)

    def _keep(self, key: tuple[Prices, bytes], codes: "ForkCodes", found: bytes) -> None:
        if not found:
            self.figures.refused += 1
            self._refused[key] = None
            while len(self._refused) > _REFUSED_MAX:
                del self._refused[next(iter(self._refused))]
            return
        by_opcode = self._settings.opcode_by_opcode
        compiled = load_compiled(found, self._native, opcode_by_opcode=by_opcode)
        self._loaded[key] = compiled
        self._loaded_bytes += compiled.size
        settings = self._settings
        while len(self._loaded) > 1 and (
            len(self._loaded) > settings.loaded_codes_max
            or self._loaded_bytes > settings.loaded_bytes_max
        ):
            oldest = next(iter(self._loaded))
            self._loaded_bytes -= self._loaded.pop(oldest).size
        native_code = codes.known(key[1])
        if native_code is not None:
            self._use(native_code, compiled)

    def _use(self, native_code: NativeCode, compiled: Compiled) -> None:
        # The code keeps the functions alive, whatever is forgotten here.
        native_code.use_compiled(compiled.functions, compiled.owners)
        self.changes += 1

    # -- on disk --

    def _path(self, key: tuple[Prices, bytes]) -> Path | None:
        if self._folder is None:
            return None
        return self._folder / self._names.name(key[1], key[0])

    def _stored(self, key: tuple[Prices, bytes]) -> bytes | None:
        path = self._path(key)
        return None if path is None else load_object(path)

    def _tidy(self, folder: Path) -> None:
        """Remove the oldest files when there are too many."""
        try:
            paths = list(folder.glob("code-*.o"))
            if len(paths) > self._settings.cached_files_max:
                paths.sort(key=lambda path: path.stat().st_mtime)
                for path in paths[: len(paths) - self._settings.cached_files_max // 2]:
                    path.unlink(missing_ok=True)
        except OSError:
            return  # another process tidies up too


class ForkCodes:
    """The codes last used under one fork's prices, as NativeCodes, with their heat."""

    def __init__(self, tier: Tier, native: Native, fork: Fork) -> None:
        self.prices = prices_of(fork)
        self._tier = tier
        self._hot_gas = tier.hot_gas
        self._codes = NativeCodes(native)

    def of(self, code: bytes) -> NativeCode:
        known = self._codes.known(code)
        found = self._codes.of(code)
        if known is None:
            self._tier.meet(self, code, found)
        return found

    def known(self, code: bytes) -> NativeCode | None:
        return self._codes.known(code)

    def used(self, code: bytes, gas: int) -> None:
        """Messages to the code have used so much gas."""
        native_code = self._codes.known(code)
        if native_code is not None:
            self.heat(code, native_code, gas)

    def heat(self, code: bytes, native_code: NativeCode, gas: int) -> None:
        native_code.heat += gas
        if native_code.heat >= self._hot_gas and not native_code.compiled:
            self._tier.want(self, code, native_code)
