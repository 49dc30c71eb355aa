"""Compiled kernels for many hashes and many recoveries at once.

Without llvmlite, or where it cannot compile, `kernels()` is None and the callers go
one by one. Calls leave the interpreter lock free. The object code is kept in the user's
cache folder, so that a start costs milliseconds; a file that is missing, damaged or made
for another machine is made anew. Nothing is imported or compiled before the first large batch.
"""

import ctypes
import os
import sys
import threading
from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256
from itertools import accumulate
from pathlib import Path
from typing import Any, Final, TypeAlias

from chain.crypto.trie_kernel import RECORD_BYTES, work_bytes
from chain.types import Address, Hash

_DIGEST_BYTES: Final = 32  # of the checksum before the object code in a cache file
_FROM: Final = 8  # items; below, a batch is not worth its preparation
_LOAD_FROM: Final = 64  # items that are worth loading the kernels for
_LOAD_AFTER: Final = 2_048  # leaves of tries, in whatever batches: worth it too
_LOAD_SOON_AFTER: Final = 512  # the same where llvmlite, which takes longest, is there already
_LEAVES_MAX: Final = 16_384  # of tries at once; each takes two kilobytes for a while
_PER_THREAD_MIN: Final = 64  # signatures; a thread must have enough to do
_THREADS_MAX: Final = 8
_BATCHES_AHEAD: Final = 32
_NO_SIGNATURE: Final = bytes(64) + b"\xff"  # the kernel finds no signer for this parity

ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141  # of secp256k1
Signed: TypeAlias = tuple[bytes, int, int, int]  # hash, y parity, r, s

_Pointer = ctypes.c_void_p
_Bytes = ctypes.c_char_p
_Count = ctypes.c_int64
_Byte: Final = ctypes.c_char.from_buffer
_address: Final = ctypes.addressof


class Kernels:
    """Native code, loaded. Its methods may be called from several threads."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine  # owns the code that the functions point to
        self._keccak = ctypes.CFUNCTYPE(None, _Bytes, _Pointer, _Count, _Pointer)(
            engine.get_function_address("keccak_many")
        )
        self._recover = ctypes.CFUNCTYPE(
            None, *[_Pointer] * 4, _Bytes, _Bytes, _Count, _Pointer, _Pointer
        )(engine.get_function_address("recover_many"))
        self._hash_trie = ctypes.CFUNCTYPE(
            None, _Bytes, _Pointer, _Count, _Bytes, _Count, _Count, *[_Pointer] * 3
        )(engine.get_function_address("hash_trie"))
        self._library = recovery_library()

    def keccak_many(self, messages: Sequence[bytes]) -> list[Hash]:
        """The Keccak-256 hash of each message, in order."""
        count = len(messages)
        offsets = array("q", accumulate(map(len, messages), initial=0))
        hashes = ctypes.create_string_buffer(32 * count)
        self._keccak(b"".join(messages), offsets.buffer_info()[0], count, hashes)
        found = hashes.raw
        return [Hash(found[i : i + 32]) for i in range(0, 32 * count, 32)]

    def hash_trie(
        self,
        leaves: Sequence[bytes],
        places: Sequence[int],
        records: Sequence[bytes],
        rows: Sequence[int],
        levels: Sequence[int],
        tops: int,
    ) -> bytes:
        """The hashes of so many top nodes, then the new records (`chain.crypto.trie_kernel`)."""
        numbers = array("q", (*accumulate(map(len, leaves), initial=0), *places, *rows, *levels))
        work = bytearray(work_bytes(len(leaves), len(records)))
        found = bytearray(32 * tops + RECORD_BYTES * len(records) + 1)
        at = _address(_Byte(found))
        self._hash_trie(
            b"".join(leaves),
            numbers.buffer_info()[0],
            len(leaves),
            b"".join(records),
            len(records),
            len(levels),
            _address(_Byte(work)),
            at,
            at + 32 * tops,
        )
        return bytes(found)

    def recover_many(self, items: Sequence[Signed]) -> list[Address | None]:
        """The signer of each (hash, y parity, r, s), in order; None where there is none."""
        threads = min(len(items) // _PER_THREAD_MIN, _processors(), _THREADS_MAX)
        if threads < 2:
            return self._recover_part(items)
        size = -(-len(items) // threads)
        parts = [items[i : i + size] for i in range(0, len(items), size)]
        with ThreadPoolExecutor(len(parts) - 1) as pool:
            others = pool.map(self._recover_part, parts[1:])
            results = [self._recover_part(parts[0]), *others]
        return [address for result in results for address in result]

    def recover_stream(self, batches: Iterable[Sequence[Signed]]) -> Iterator[list[Address | None]]:
        """The signers of each batch, in order, computed while the caller uses earlier ones.

        Takes up to `_BATCHES_AHEAD` batches before it gives the first result.
        """
        pool = ThreadPoolExecutor(min(_processors(), _THREADS_MAX))
        ahead: deque[Future[list[Address | None]]] = deque()
        try:
            for items in batches:
                ahead.append(pool.submit(self._recover_part, items))
                if len(ahead) == _BATCHES_AHEAD:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _recover_part(self, items: Sequence[Signed]) -> list[Address | None]:
        count = len(items)
        packed = b"".join([_pack(item) for item in items])
        hashes = b"".join([item[0] if len(item[0]) == 32 else bytes(32) for item in items])
        addresses = ctypes.create_string_buffer(20 * count)
        found = ctypes.create_string_buffer(count)
        self._recover(*self._library, hashes, packed, count, addresses, found)
        raw = addresses.raw
        return [
            Address(raw[20 * i : 20 * i + 20]) if well else None for i, well in enumerate(found.raw)
        ]


def _pack(item: Signed) -> bytes:
    """The 65 bytes that the kernel reads: r, s and parity, or what it passes over."""
    message_hash, y_parity, r, s = item
    if 0 < r < ORDER and 0 < s < ORDER and 0 <= y_parity <= 1 and len(message_hash) == 32:
        return b"%b%b%c" % (r.to_bytes(32, "big"), s.to_bytes(32, "big"), y_parity)
    return _NO_SIGNATURE


def kernels(items: int) -> Kernels | None:
    """The kernels, for a batch of `items`; None when the definition should do the work.

    They are loaded for the first batch that is worth it. Without llvmlite it is always None.
    """
    if items < (_FROM if _loading.done else _LOAD_FROM):
        return None
    with _loading.lock:
        if not _loading.done:
            _loading.result = _load()
            _loading.done = True
        return _loading.result


def trie_kernels(leaves: int) -> Kernels | None:
    """The kernels, for tries with so many changed leaves; None as for `kernels`.

    A leaf takes its path with it, so that none are too few; but far too many would take memory.
    The kernels are loaded when so many have been hashed without that it would have paid.
    """
    if leaves > _LEAVES_MAX:
        return None
    if _loading.done:
        return _loading.result
    _loading.leaves += leaves
    enough = _LOAD_SOON_AFTER if "llvmlite.binding" in sys.modules else _LOAD_AFTER
    return kernels(_LOAD_FROM) if _loading.leaves >= enough else None


class _Loading:
    """Whether loading was tried, and what came of it; one per process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.done = False
        self.leaves = 0  # of tries, hashed without
        self.result: Kernels | None = None


_loading: Final = _Loading()


def _load() -> Kernels | None:
    try:
        from llvmlite import binding
    except ImportError:
        return None
    features = binding.get_host_cpu_features()
    lanes = 8 if features.get("avx512f") else 4 if features.get("avx2") else 1
    try:
        return compile_kernels(lanes)
    except RuntimeError:
        return None  # an LLVM that does not take the kernels: the definition serves as well


def compile_kernels(lanes: int) -> Kernels:
    """The kernels with 1, 4 or 8 lanes, from the cache folder or compiled. Needs llvmlite."""
    from llvmlite import binding

    from chain.crypto import kernels as assembly

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    processor = binding.get_host_cpu_name()
    features = binding.get_host_cpu_features()
    text = assembly.source(lanes)
    module = binding.parse_assembly(text)
    module.verify()
    machine = binding.Target.from_default_triple().create_target_machine(
        cpu=processor, features=features.flatten(), opt=2
    )
    engine = binding.create_mcjit_compiler(module, machine)
    llvm = ".".join(map(str, binding.llvm_version_info))
    key = "\n".join((llvm, machine.triple, processor, features.flatten(), text))
    folder = cache_folder()
    if folder is not None:
        path = folder / f"kernels-{sha256(key.encode()).hexdigest()[:32]}.o"
        engine.set_object_cache(lambda _, code: _store(path, code), lambda _: _read(path))
    engine.finalize_object()
    return Kernels(engine)


def cache_folder() -> Path | None:
    """Where the object code is kept: XDG_CACHE_HOME, or else .cache in the home folder.

    None for a user without a home. Never a folder that others can write to: its files are run.
    """
    folder = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(folder):
        return Path(folder) / "chain-node"
    try:
        return Path.home() / ".cache" / "chain-node"
    except RuntimeError:
        return None


def _read(path: Path) -> bytes | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    code = content[_DIGEST_BYTES:]
    return code if sha256(code).digest() == content[:_DIGEST_BYTES] else None


def _store(path: Path, code: bytes) -> None:
    """Keep the object code, or not: a read-only home costs a compilation per start, no more."""
    scratch = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        scratch.write_bytes(sha256(code).digest() + code)
        scratch.replace(path)
    except OSError:
        scratch.unlink(missing_ok=True)


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def recovery_library() -> tuple[int, int, int, int]:
    """Addresses of libsecp256k1's context and functions, as coincurve has them loaded."""
    from coincurve._libsecp256k1 import ffi, lib
    from coincurve.context import GLOBAL_CONTEXT

    def address(function: str) -> int:
        return int(ffi.cast("uintptr_t", ffi.addressof(lib, function)))

    return (
        int(ffi.cast("uintptr_t", GLOBAL_CONTEXT.ctx)),
        address("secp256k1_ecdsa_recoverable_signature_parse_compact"),
        address("secp256k1_ecdsa_recover"),
        address("secp256k1_ec_pubkey_serialize"),
    )
