"""State tests: one transaction on a given state in a given block; which state comes out?

The format is that of ethereum/tests' general state tests. What a test wants stands in
`post`, of which only `indexes` goes into the computation.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from chain import codec, headers
from chain.blocks import Log, encode_logs
from chain.commitment import commit
from chain.crypto import secp256k1
from chain.crypto.keccak import keccak
from chain.errors import Rejected
from chain.forks import GAS_PER_BLOB, Fork
from chain.machine import BlockContext, Machine
from chain.state import State
from chain.transactions import Kind, decode_transaction
from chain.transition import apply_transaction
from chain.types import Hash
from chain.validation import check_transaction
from chain.views import TrieView
from contracts.vm import Interpreter
from node.conformance import fixtures
from node.conformance.fixtures import FileTests, Json, MalformedFixture
from node.conformance.networks import fork_named
from node.conformance.report import Result, add_test_arguments, run_tests
from node.conformance.steps import Traced
from node.conformance.tiers import TIERS, machine_of

# The base fee of a test that gives none, as in geth's runner.
_BASE_FEE_DEFAULT: Final = 10
_KEY_BYTES: Final = 32


# -- the transaction -------------------------------------------------------------------------------


def _chosen(transaction: Json, name: str, indexes: Json, index_name: str) -> object:
    """The entry of a list of the transaction's that a sub-test takes."""
    entries = fixtures.sequence(fixtures.member(transaction, name), f"transaction.{name}")
    index = fixtures.integer(fixtures.member(indexes, index_name), f"indexes.{index_name}")
    if not 0 <= index < len(entries):
        raise MalformedFixture(f"indexes.{index_name} is {index}, of {len(entries)}")
    return entries[index]


def _access_list(transaction: Json, indexes: Json) -> bytes | None:
    """The encoded access list, None where the transaction has none."""
    if "accessLists" not in transaction:
        return None
    found = _chosen(transaction, "accessLists", indexes, "data")
    if found is None:
        return None
    tuples: list[bytes] = []
    for entry in fixtures.sequence(found, "accessLists"):
        slots = fixtures.sequence(fixtures.member(entry, "storageKeys"), "storageKeys")
        address = fixtures.data(fixtures.member(entry, "address"), "accessLists")
        encoded = [codec.encode_bytes(fixtures.word(slot, "storageKeys")) for slot in slots]
        tuples.append(codec.encode_list([codec.encode_bytes(address), codec.encode_list(encoded)]))
    return codec.encode_list(tuples)


def _authorizations(value: object) -> bytes:
    """The encoded list of authorizations, each as signed by the test's maker."""
    tuples: list[bytes] = []
    for entry in fixtures.sequence(value, "authorizationList"):
        fields = fixtures.mapping(entry, "authorizationList")
        parity = fields.get("yParity", fields.get("v"))
        tuples.append(
            codec.encode_list(
                [
                    codec.encode_int(fixtures.integer(fields.get("chainId"), "chainId")),
                    codec.encode_bytes(fixtures.data(fields.get("address"), "address")),
                    codec.encode_int(fixtures.integer(fields.get("nonce"), "nonce")),
                    codec.encode_int(fixtures.integer(parity, "yParity")),
                    codec.encode_int(fixtures.integer(fields.get("r"), "r")),
                    codec.encode_int(fixtures.integer(fields.get("s"), "s")),
                ]
            )
        )
    return codec.encode_list(tuples)


def build_transaction(transaction: Json, indexes: Json, fork: Fork, chain_id: int) -> bytes:
    """The signed bytes of the transaction that a sub-test takes.

    Its kind is the lowest that has all of its fields. Numbers too large for their
    field are encoded as they are: such a transaction must be refused.
    """

    def number(name: str) -> bytes:
        return codec.encode_int(fixtures.integer(fixtures.member(transaction, name), name))

    def chosen_number(name: str) -> bytes:
        value = _chosen(transaction, name, indexes, "gas" if name == "gasLimit" else name)
        return codec.encode_int(fixtures.integer(value, name))

    access_list = _access_list(transaction, indexes)
    kind = _kind(transaction, access_list)
    fields: list[bytes] = []
    if kind != Kind.LEGACY:
        fields.append(codec.encode_int(chain_id))
    fields.append(number("nonce"))
    if kind in (Kind.LEGACY, Kind.ACCESS_LIST):
        fields.append(number("gasPrice"))
    else:
        fields += (number("maxPriorityFeePerGas"), number("maxFeePerGas"))
    fields += (
        chosen_number("gasLimit"),
        codec.encode_bytes(fixtures.data(transaction.get("to") or "", "transaction.to")),
        chosen_number("value"),
        codec.encode_bytes(fixtures.data(_chosen(transaction, "data", indexes, "data"), "data")),
    )
    if kind != Kind.LEGACY:
        fields.append(access_list or codec.EMPTY_LIST)
    if kind == Kind.BLOB:
        hashes = fixtures.sequence(transaction.get("blobVersionedHashes", []), "blobs")
        blobs = [codec.encode_bytes(fixtures.data(each, "blobs")) for each in hashes]
        fields += (number("maxFeePerBlobGas"), codec.encode_list(blobs))
    if kind == Kind.SET_CODE:
        fields.append(_authorizations(transaction["authorizationList"]))
    key = fixtures.fixed(fixtures.member(transaction, "secretKey"), _KEY_BYTES, "secretKey")
    return _signed(kind, fields, key, chain_id if fork.replay_protection else None)


def _kind(transaction: Json, access_list: bytes | None) -> Kind:
    if "authorizationList" in transaction:
        return Kind.SET_CODE
    if "maxFeePerBlobGas" in transaction or "blobVersionedHashes" in transaction:
        return Kind.BLOB
    if "maxFeePerGas" in transaction:
        return Kind.DYNAMIC_FEE
    return Kind.LEGACY if access_list is None else Kind.ACCESS_LIST


def _signed(kind: Kind, fields: list[bytes], key: bytes, protected_for: int | None) -> bytes:
    """The envelope, signed; `protected_for` is a legacy transaction's chain (EIP-155)."""
    zero = codec.encode_int(0)
    prefix = b"" if kind == Kind.LEGACY else bytes((kind,))
    unsigned = list(fields)
    if kind == Kind.LEGACY and protected_for is not None:
        unsigned += (codec.encode_int(protected_for), zero, zero)
    try:
        parity, r, s = secp256k1.sign(keccak(prefix + codec.encode_list(unsigned)), key)
    except ValueError as error:
        raise MalformedFixture(f"secretKey: {error}") from error
    v = parity
    if kind == Kind.LEGACY:
        v += 27 if protected_for is None else 35 + 2 * protected_for
    return prefix + codec.encode_list(
        [*fields, codec.encode_int(v), codec.encode_int(r), codec.encode_int(s)]
    )


# -- the block -------------------------------------------------------------------------------------


def _block_hash(environment: Json) -> Callable[[int], Hash]:
    """Hashes of earlier blocks: the test's own, else what geth's runner makes up."""
    given = environment.get("blockHashes")
    known: dict[int, Hash] = {}
    if isinstance(given, Mapping):
        for number, value in given.items():
            known[fixtures.integer(number, "blockHashes")] = fixtures.word(value, "blockHashes")

    def block_hash(number: int) -> Hash:
        return known.get(number) or keccak(str(number).encode())

    return block_hash


def block_context(environment: Json, fork: Fork, chain_id: int) -> BlockContext:
    """The block that the test's transaction runs in."""

    def number(name: str, default: int | None = None) -> int:
        value = environment.get(name)
        if value is None and default is not None:
            return default
        return fixtures.integer(value, f"env.{name}")

    blob_base_fee = 0
    if fork.blobs is not None:
        carried = number("parentExcessBlobGas", 0) + number("parentBlobGasUsed", 0)
        carried = max(carried - fork.blobs.target * GAS_PER_BLOB, 0)
        blob_base_fee = headers.blob_base_fee(number("currentExcessBlobGas", carried), fork)
    return BlockContext(
        number=number("currentNumber"),
        timestamp=number("currentTimestamp"),
        coinbase=fixtures.address(environment.get("currentCoinbase"), "env.currentCoinbase"),
        gas_limit=number("currentGasLimit"),
        chain_id=chain_id,
        base_fee=number("currentBaseFee", _BASE_FEE_DEFAULT) if fork.base_fee else 0,
        randomness=number("currentRandom", 0) if fork.merged else number("currentDifficulty", 0),
        blob_base_fee=blob_base_fee,
        block_hash=_block_hash(environment),
    )


# -- a sub-test ------------------------------------------------------------------------------------


def _chain_id(test: Json) -> int:
    config = test.get("config")
    if isinstance(config, Mapping) and config.get("chainid") is not None:
        return fixtures.integer(config["chainid"], "config.chainid")
    return 1


def run_subtest(
    test: Json, view: TrieView, fork: Fork, indexes: Json, machine: Machine
) -> tuple[Hash, Hash, str | None]:
    """The state root, the hash of the logs, and why the transaction was refused, if it was.

    The coinbase is touched afterwards even when the transaction is refused.
    """
    chain_id = _chain_id(test)
    block = block_context(fixtures.mapping(test.get("env"), "env"), fork, chain_id)
    transaction = fixtures.mapping(test.get("transaction"), "transaction")
    state = State(view)
    logs: tuple[Log, ...] = ()
    refused: str | None = None
    raw = build_transaction(transaction, indexes, fork, chain_id)
    try:
        result = apply_transaction(
            state,
            check_transaction(decode_transaction(raw), fork, chain_id),
            block,
            machine,
            fork,
            gas_available=block.gas_limit,
            blob_gas_available=fork.blobs.max * GAS_PER_BLOB if fork.blobs else 0,
        )
        logs = result.logs
    except Rejected as error:
        refused = str(error)
    state.begin_transaction()
    state.add_balance(block.coinbase, 0)
    state.end_transaction(fork)
    return commit(view, state.delta()).root, keccak(encode_logs(logs)), refused


def _judge(
    entry: Json, root: Hash, logs_hash: Hash, refused: str | None, view: TrieView, fork: Fork
) -> str | None:
    """What is wrong with an outcome; None when it is the wanted one."""
    wrong: list[str] = []
    expected_refusal = entry.get("expectException")
    if expected_refusal and refused is None:
        wrong.append(f"the transaction should be refused, {expected_refusal}")
    if refused is not None and not expected_refusal:
        wrong.append(f"the transaction was refused, {refused}")
    roots = {root}
    if refused is not None and not fork.deletes_empty_accounts:
        # Test makers differ on whether a refused transaction's coinbase comes into existence.
        roots.add(view.root)
    if not any(_equals(entry.get("hash"), each) for each in roots):
        wrong.append(f"the state root should be {entry.get('hash')}")
    if not _equals(entry.get("logs"), logs_hash):
        wrong.append(f"the hash of the logs should be {entry.get('logs')}")
    return "; ".join(wrong) or None


def _equals(value: object, wanted: Hash) -> bool:
    return isinstance(value, str) and value.removeprefix("0x").lower() == wanted.hex()


def run_test(
    name: str, test: Json, path: str, machine: Machine, only_fork: str | None
) -> Iterator[Result]:
    """One result for each element of each list in `post`."""
    view = fixtures.view_of(fixtures.parse_state(fixtures.member(test, "pre")))
    for fork_name, entries in fixtures.mapping(fixtures.member(test, "post"), "post").items():
        if only_fork is not None and fork_name != only_fork:
            continue
        for index, entry in enumerate(fixtures.sequence(entries, f"post.{fork_name}")):
            result: dict[str, object] = {
                "name": name,
                "fork": fork_name,
                "index": index,
                "pass": False,
                "stateRoot": "0x" + view.root.hex(),
                "logsHash": None,
                "exception": None,
                "error": None,
                "file": path,
            }
            try:
                fields = fixtures.mapping(entry, f"post.{fork_name}[{index}]")
                indexes = fixtures.mapping(fixtures.member(fields, "indexes"), "indexes")
                fork = fork_named(fork_name, test.get("config"))
                root, logs_hash, refused = run_subtest(test, view, fork, indexes, machine)
            except MalformedFixture as error:
                result["error"] = f"malformed test: {error}"
            except Exception as error:  # one test's crash must not take the others' results
                result["error"] = f"crash: {type(error).__name__}: {error}"
            else:
                wrong = _judge(fields, root, logs_hash, refused, view, fork)
                result |= {
                    "pass": wrong is None,
                    "stateRoot": "0x" + root.hex(),
                    "logsHash": "0x" + logs_hash.hex(),
                    "exception": refused,
                    "error": wrong,
                }
            yield result


def run_file(
    file: FileTests, machine: Machine | None = None, *, only_fork: str | None = None
) -> Iterator[Result]:
    """The results of a file's tests; a malformed one is a failed one."""
    machine = machine or Interpreter()
    if file.error is not None:
        yield _failure(file.path, None, file.error)
    for name, test in file.tests.items():
        try:
            yield from run_test(name, fixtures.mapping(test, name), file.path, machine, only_fork)
        except MalformedFixture as error:
            yield _failure(file.path, name, f"malformed test: {error}")


def _failure(path: str, name: str | None, why: str) -> Result:
    return {
        "name": name,
        "fork": None,
        "index": None,
        "pass": False,
        "stateRoot": None,
        "logsHash": None,
        "exception": None,
        "error": why,
        "file": path,
    }


# -- the command -----------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `chain-node statetest`."""
    add_test_arguments(parser)
    parser.add_argument(
        "--trace",
        action="store_true",
        help="one JSON object per opcode on stderr (EIP-3155), in one process",
    )


def run_path(path: str, only_fork: str | None = None, tier: str = TIERS[0]) -> Iterator[Result]:
    return run_file(fixtures.load(path), machine_of(tier), only_fork=only_fork)


def trace_path(path: str, only_fork: str | None = None, tier: str = TIERS[0]) -> Iterator[Result]:
    """As `run_path`, with a line for each opcode on stderr."""
    machine = Traced(machine_of(tier, traces=True), sys.stderr.write)
    return run_file(fixtures.load(path), machine, only_fork=only_fork)


def run_statetest(arguments: argparse.Namespace) -> int:
    """Run the command; gives the exit status, 0 whatever passed."""
    if arguments.trace:
        arguments.jobs = 1
        return run_tests(trace_path, arguments)
    return run_tests(run_path, arguments)
