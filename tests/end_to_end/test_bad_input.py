"""What goes wrong from outside: each a clear message and exit status, and nothing lost."""

import http.client
import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.daemon import (
    DEV_ADDRESSES,
    DEV_KEYS,
    Daemon,
    RpcFailure,
    run_command,
    running,
    signed_transfer,
    start,
)

USAGE: Final = 2
DATA_FOLDER: Final = 3
ADDRESS_IN_USE: Final = 4
BAD_INPUT: Final = 5


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with running("dev", "--datadir", str(tmp_path_factory.mktemp("shared"))) as found:
        yield found


def send(daemon: Daemon, value: int = 1) -> Any:
    """A transfer between dev accounts; its receipt."""
    sent = daemon.rpc.call(
        "eth_sendTransaction",
        {"from": DEV_ADDRESSES[0], "to": DEV_ADDRESSES[1], "value": hex(value)},
    )
    return daemon.rpc.wait_for_receipt(sent)


def failure(*arguments: str, environment: dict[str, str] | None = None) -> tuple[int, str]:
    """Exit status and the one line on stderr of a command that must fail."""
    done = run_command(*arguments, environment=environment)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    lines = done.stderr.strip().splitlines()
    return done.returncode, lines[-1] if lines else ""


# -- over RPC --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    ["0x", "0x00", "0x02", "0xc0", "0xff", "0x02f8", "0x" + "f8" * 40, "0x7f" + "00" * 10],
)
def test_malformed_transactions_are_refused_and_the_node_goes_on(daemon: Daemon, raw: str) -> None:
    with pytest.raises(RpcFailure) as caught:
        daemon.rpc.call("eth_sendRawTransaction", raw)
    assert caught.value.code in (-32000, -32602)
    assert caught.value.message


def test_every_truncation_of_a_transaction_is_refused(daemon: Daemon) -> None:
    raw = signed_transfer(DEV_KEYS[2], 0)
    calls = [("eth_sendRawTransaction", [raw[:size]]) for size in range(2, len(raw), 2)]
    for answer in daemon.rpc.batch(calls):
        assert "error" in answer


def test_a_flipped_byte_never_gets_in_as_its_sender(daemon: Daemon) -> None:
    """A changed transaction is refused, or is somebody else's who has no funds."""
    raw = bytearray.fromhex(signed_transfer(DEV_KEYS[2], 0)[2:])
    before = daemon.rpc.call("eth_getTransactionCount", DEV_ADDRESSES[2], "pending")
    calls = []
    for index in range(len(raw)):
        changed = bytearray(raw)
        changed[index] ^= 1
        calls.append(("eth_sendRawTransaction", ["0x" + changed.hex()]))
    for answer in daemon.rpc.batch(calls):
        assert "error" in answer
    assert daemon.rpc.call("eth_getTransactionCount", DEV_ADDRESSES[2], "pending") == before


def post(daemon: Daemon, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=30)
    try:
        # Reset: the server had seen enough, and its answer is there to be read.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.request(
                "POST", "/", body, {"Content-Type": "application/json"} | (headers or {})
            )
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_an_oversize_body_is_refused_with_its_size(daemon: Daemon) -> None:
    status, _ = post(daemon, b"[" + b" " * (6 * 2**20) + b"]")
    assert status == 413
    assert daemon.rpc.height() >= 0


def test_an_announced_oversize_body_is_refused_before_it_comes(daemon: Daemon) -> None:
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=30) as connection:
        connection.sendall(
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 1000000000000\r\n\r\n"
        )
        assert b" 413 " in connection.recv(4096)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", None),
        (b"{", -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId"', -32700),
        (b"\xff\xfe", -32700),
        (b"[]", -32600),
        (b"5", -32600),
        (b"[" * 100_000, -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":5}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_nothing"}', -32601),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":[1]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":{"a":1}}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["0x12"]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[[],"latest"]}', -32602),
    ],
)
def test_wrong_shapes_get_their_code(daemon: Daemon, body: bytes, code: int | None) -> None:
    status, answer = post(daemon, body)
    assert status < 500
    if code is not None:
        parsed = json.loads(answer)
        parsed = parsed[0] if isinstance(parsed, list) else parsed
        assert parsed["error"]["code"] == code
    assert daemon.rpc.call("eth_chainId") == "0x7a69"


def test_too_large_a_transaction_is_refused(daemon: Daemon) -> None:
    raw = signed_transfer(DEV_KEYS[2], 0, data=bytes(200_000), gas=16_000_000)
    with pytest.raises(RpcFailure) as caught:
        daemon.rpc.call("eth_sendRawTransaction", raw)
    assert caught.value.code == -32000


# -- at the start ----------------------------------------------------------------------------------


def test_a_busy_port_is_named(daemon: Daemon, tmp_path: Path) -> None:
    status, line = failure("dev", "--datadir", str(tmp_path), "--rpc-port", str(daemon.port))
    assert status == ADDRESS_IN_USE
    assert f"127.0.0.1:{daemon.port}" in line


def test_a_data_folder_in_use_is_named(tmp_path: Path) -> None:
    with running("dev", "--datadir", str(tmp_path)) as first:
        status, line = failure("dev", "--datadir", str(tmp_path), "--rpc-port", "0")
        assert status == DATA_FOLDER
        assert str(tmp_path) in line
        assert send(first)["status"] == "0x1"


def test_a_data_folder_of_another_chain_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    with running("dev", "--datadir", str(tmp_path)) as daemon:
        receipt = send(daemon)
        assert daemon.stop() == 0
    for other in (["--chain-id", "1"], ["--balance", "5"], ["--accounts", "2"]):
        status, line = failure("dev", "--datadir", str(tmp_path), "--rpc-port", "0", *other)
        assert (status, "wrong_chain" in line) == (DATA_FOLDER, True), line
    with running("dev", "--datadir", str(tmp_path)) as daemon:
        found = daemon.rpc.call("eth_getTransactionReceipt", receipt["transactionHash"])
        assert found == receipt


def test_an_empty_folder_without_a_genesis_can_not_run(tmp_path: Path) -> None:
    status, line = failure("run", "--datadir", str(tmp_path / "none"))
    assert status == BAD_INPUT
    assert "--genesis" in line
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[]", "object"),
        ('{"config": {"chainId": "many"}}', "config.chainId"),
        ('{"config": {"chainId": 1}}', "alloc"),
    ],
)
def test_a_bad_genesis_names_the_key(tmp_path: Path, text: str, named: str) -> None:
    genesis = tmp_path / "genesis.json"
    genesis.write_text(text)
    folder = tmp_path / "data"
    status, line = failure("run", "--datadir", str(folder), "--genesis", str(genesis))
    assert status == BAD_INPUT
    assert named in line
    assert not folder.exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["dev", "--rpc-port", "99999"], "--rpc-port"),
        (["dev", "--rpc-port", "many"], "--rpc-port"),
        (["dev", "--block-time", "-1"], "--block-time"),
        (["dev", "--rpc-prot", "1"], "--rpc-prot"),
        (["run"], "--datadir"),
        (["fly"], "fly"),
    ],
)
def test_bad_usage_is_named(arguments: list[str], named: str) -> None:
    status, line = failure(*arguments)
    assert status == USAGE
    assert named in line


def test_an_unknown_environment_variable_is_named(tmp_path: Path) -> None:
    status, line = failure(
        "dev", "--datadir", str(tmp_path), environment={"CHAIN_NODE_RPC_PROT": "1"}
    )
    assert status == USAGE
    assert "CHAIN_NODE_RPC_PROT" in line


# -- the disk --------------------------------------------------------------------------------------


def folder_with_blocks(path: Path, blocks: int = 5) -> list[Any]:
    """A data folder that was stopped cleanly; the receipts in it."""
    with running("dev", "--datadir", str(path)) as daemon:
        receipts = [send(daemon) for _ in range(blocks)]
        assert daemon.stop() == 0
    return receipts


@pytest.mark.parametrize("pattern", ["MANIFEST-*", "CURRENT", "*.sst"])
def test_a_corrupt_database_is_said_to_be_corrupt(tmp_path: Path, pattern: str) -> None:
    folder_with_blocks(tmp_path)
    files = list((tmp_path / "db").glob(pattern))
    assert files
    for file in files:
        content = bytearray(file.read_bytes())
        for index in range(0, len(content), 7):
            content[index] ^= 0x5A
        file.write_bytes(content)
    status, line = failure("dev", "--datadir", str(tmp_path), "--rpc-port", "0")
    assert status == DATA_FOLDER
    assert str(tmp_path) in line


def test_a_bad_validator_key_is_named(tmp_path: Path) -> None:
    folder_with_blocks(tmp_path, blocks=1)
    (tmp_path / "validator.key").write_text("ff" * 32)
    status, line = failure("dev", "--datadir", str(tmp_path), "--rpc-port", "0")
    assert status == DATA_FOLDER
    assert "validator.key" in line


@pytest.mark.skipif(sys.platform != "linux", reason="limits file sizes the way Linux does")
def test_a_full_disk_stops_the_node_and_loses_nothing(tmp_path: Path) -> None:
    """A file that can grow no further is what a full disk looks like to the database.

    What was served before stays, the node stops with a fault instead of going on, and
    with room again it starts without repair.
    """
    served = folder_with_blocks(tmp_path, blocks=2)
    limited = start(
        "dev",
        "--datadir",
        str(tmp_path),
        prefix=(sys.executable, "-c", _LIMIT_FILES, str(400_000)),
    )
    nonce = int(limited.rpc.call("eth_getTransactionCount", DEV_ADDRESSES[2], "latest"), 16)
    with suppress(OSError, RpcFailure, ValueError, AssertionError):  # until the disk is full
        for offset in range(400):
            raw = signed_transfer(
                DEV_KEYS[2], nonce + offset, data=os.urandom(20_000), gas=1_000_000
            )
            sent = limited.rpc.call("eth_sendRawTransaction", raw)
            served.append(limited.rpc.wait_for_receipt(sent, seconds=5))
    assert limited.process.wait(60) == 1
    assert any("fault" in line for line in limited.errors)
    assert "Traceback" not in "".join(limited.errors)
    with running("dev", "--datadir", str(tmp_path)) as daemon:
        for receipt in served:
            found = daemon.rpc.call("eth_getTransactionReceipt", receipt["transactionHash"])
            assert found == receipt
        assert send(daemon)["status"] == "0x1"


# Runs a command with a limit on the size of every file it writes; beyond it, writes fail.
_LIMIT_FILES: Final = """
import os, resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
os.execv(sys.argv[2], sys.argv[2:])
"""
