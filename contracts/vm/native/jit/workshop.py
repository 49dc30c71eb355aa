"""Our end of the compiling process: started for the first job, ended after the last one.

Nothing here waits: `poll` sends and receives as much as goes at once.
"""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

import contracts
from contracts.vm.native.jit.compiler import OBJECT_BYTES_MAX
from contracts.vm.native.jit.settings import JitSettings
from contracts.vm.native.jit.worker import LENGTH_BYTES, Job

_PIECE_BYTES: Final = 2**16
_LAST_SECONDS: Final = 0.1
_ENDED_BY_OTHERS: Final = (-9, -15)  # signals that its limits do not send
_ROOT: Final = str(Path(contracts.__file__).resolve().parents[1])


class Workshop:
    """One process, one job at a time."""

    def __init__(self, settings: JitSettings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._sending = b""
        self._received = bytearray()
        self.busy = False
        self.lasting = False  # whether the last job would come to nothing again

    def give(self, job: Job) -> None:
        """Begin; `poll` tells when it is done. Only when not busy."""
        assert not self.busy
        request = msgspec.msgpack.encode(job)
        self._sending = len(request).to_bytes(LENGTH_BYTES, "little") + request
        self._received.clear()
        self.busy = True
        if self._process is None:
            self._process = self._start()

    def _start(self) -> "subprocess.Popen[bytes] | None":
        """The process; without one the job fails, and the code stays interpreted for now."""
        if os.name != "posix":
            return None  # no limits could be set
        settings = self._settings
        limits = (settings.compile_cpu_seconds_max, settings.compile_memory_bytes_max)
        script = (
            f"import sys; sys.path.insert(0, {_ROOT!r})\n"
            f"from contracts.vm.native.jit.worker import main\nmain(*{limits!r})"
        )
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", script],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
            )
        except OSError:
            return None
        assert process.stdin is not None and process.stdout is not None
        os.set_blocking(process.stdin.fileno(), False)
        os.set_blocking(process.stdout.fileno(), False)
        return process

    def poll(self) -> bytes | None:
        """The object file once it is there, empty when there will be none; None while it isn't."""
        try:
            found = self._exchange()
        except OSError:
            found = b""
        if found is not None:
            self.busy = False
            self.lasting = self._has_answered() or self._has_failed()
            if not found:
                self.close()  # it has been ended, or can't be trusted to go on
        return found

    def _exchange(self) -> bytes | None:
        process = self._process
        if process is None:
            return b""
        assert process.stdin is not None and process.stdout is not None
        try:
            while self._sending:
                sent = os.write(process.stdin.fileno(), self._sending[:_PIECE_BYTES])
                self._sending = self._sending[sent:]
            while True:
                piece = os.read(process.stdout.fileno(), _PIECE_BYTES)
                if not piece:
                    return b""
                self._received += piece
                size = int.from_bytes(self._received[:LENGTH_BYTES], "little")
                if len(self._received) >= LENGTH_BYTES:
                    if size > OBJECT_BYTES_MAX:
                        return b""
                    if len(self._received) >= LENGTH_BYTES + size:
                        return bytes(self._received[LENGTH_BYTES:])
        except BlockingIOError:
            return None

    def _has_answered(self) -> bool:
        return len(self._received) >= LENGTH_BYTES

    def _has_failed(self) -> bool:
        """Whether the process has ended by itself: over its limits."""
        if self._process is None:
            return False
        with suppress(subprocess.TimeoutExpired):  # it has closed its output, and is about to end
            return self._process.wait(_LAST_SECONDS) not in _ENDED_BY_OTHERS
        return False

    def close(self) -> None:
        """End the process, whatever it is doing."""
        process, self._process = self._process, None
        self.busy = False
        if process is not None:
            process.kill()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
            process.wait()  # it has been killed: no longer than the system takes
