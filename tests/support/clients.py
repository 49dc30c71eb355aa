"""Real clients at real ledgers: who they are, what each is asked to do, and what they report.

A client is a script of tests/end_to_end/clients that gets an order (where the ledger is, keys,
contracts, which capabilities) on standard input and prints what it saw of each capability, in the
shapes that tests/support/capabilities.py judges. Whatever it needs is fetched once into a cache.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pytest
from filelock import FileLock
from msgspec import Struct

from node.devchain.contracts import first_contracts
from tests.support import foundry, hardhat
from tests.support.capabilities import Facts, expect
from tests.support.contracts import CONTRACTS, solidity
from tests.support.daemon import DEV_ADDRESSES, DEV_KEYS, Rpc, signed_transfer
from tests.support.javascript import CLIENTS, REPOSITORY, node_modules
from tests.support.python_clients import interpreter

FRIEND: Final = "0x90F79bf6EB2c4f870365E785982E1f101E93b906"
DEPLOYER: Final = "0x4e59b44847b379578588920cA78FbF26c0B4956C"
MULTICALL: Final = "0xcA11bde05977b3631167028862bE2a173976CA11"
SECONDS_MAX: Final = 900  # a client that hangs fails; on a busy machine one may take minutes

# The deployer's own transaction, which nobody has the key of: the same on every chain.
_DEPLOYER_SENDER: Final = "0x3fab184622dc19b6109349b94811493bf2a45362"
_DEPLOYER_TRANSACTION: Final = (
    "0xf8a58085174876e800830186a08080b853604580600e600039806000f350fe7f"
    + 31 * "ff"
    + "e03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3"
    + "1ba0"
    + 32 * "22"
    + "a0"
    + 32 * "22"
)
_DEPLOYER_COST: Final = 10**16
_WAYS: Final = ("deploy", "log_query", "fees", "permit", "create2", "multicall", "revert_reasons")
_MORE: Final = ("nonces", "access_list", "delegation")
_HEARD: Final = ("events_by_filter", "subscription")
DEV_ONLY: Final = frozenset({"snapshots", "fork"})  # of control methods, which networks don't have


class Chain(Struct, frozen=True):
    """A ledger that clients are pointed at. `kind`: "dev", or "network" for one of validators."""

    kind: str
    rpc: str
    ws: str
    chain_id: int
    multicall: str = MULTICALL
    fork: str = ""  # where a fork of it answers, if there is one
    token: str = ""  # a Voucher that was there before the fork


class Client(Struct, frozen=True):
    """A client: its name in the table, its script, and what it is asked to do."""

    name: str
    script: str
    capabilities: tuple[str, ...]
    command: Callable[[], list[str]]
    order: Callable[[Path], Mapping[str, Any]] = lambda folder: {}

    def wanted(self, kind: str) -> tuple[str, ...]:
        """Its capabilities on a kind of chain."""
        return tuple(c for c in self.capabilities if kind == "dev" or c not in DEV_ONLY)


def _node() -> list[str]:
    return ["node"]


def _python() -> list[str]:
    return [sys.executable]


ETHERS: Final = Client(
    "ethers 6", "ethers.mjs", (*_WAYS, *_MORE, *_HEARD, "proof", "snapshots", "fork"), _node
)
VIEM: Final = Client(
    "viem 2", "viem.mjs", (*_WAYS, *_MORE, *_HEARD, "proof", "snapshots", "fork"), _node
)
WEB3: Final = Client(
    "web3.py 8, eth-account",
    "web3_py.py",
    (*_WAYS, *_MORE, *_HEARD, "proof", "snapshots", "fork"),
    _python,
)
FOUNDRY: Final = Client(
    "Foundry (forge, cast)",
    "foundry.py",
    (*_WAYS, *_MORE, "subscription", "snapshots", "script", "forked_by_it"),
    _python,
    foundry.order,
)

HARDHAT: Final = Client(
    "Hardhat 3, Ignition",
    "hardhat.py",
    ("deploy", "log_query", "revert_reasons", "snapshots", "ignition", "forked_by_it"),
    _python,
    hardhat.order,
)

BOA: Final = Client(
    "titanoboa",
    "boa_scenarios.py",
    ("deploy", "log_query", "snapshots", "forked_by_it"),
    _python,
    lambda folder: {"vyper": (CONTRACTS / "purse.vy").read_text()},
)
APE: Final = Client(
    "Ape",
    "ape_scenarios.py",
    ("deploy", "log_query", "fees", "revert_reasons"),
    lambda: [interpreter("ape")],
)
BROWNIE: Final = Client(
    "Brownie",
    "brownie_scenarios.py",
    ("deploy", "log_query", "revert_reasons", "snapshots"),
    lambda: [interpreter("brownie")],
)

LIBRARIES: Final = (ETHERS, VIEM, WEB3)
QUICK: Final = (*LIBRARIES, FOUNDRY, HARDHAT, BOA)
EVERY: Final = (*QUICK, APE, BROWNIE)


# What each client saw, by capability.
Reports = Callable[[Client], dict[str, Facts]]


def report(client: Client, chain: Chain, folder: Path) -> dict[str, Facts]:
    """Let a client do all that it is for, once; what it saw, by capability."""
    modules = node_modules()
    order = {
        "rpc": chain.rpc,
        "ws": chain.ws,
        "slow": chain.kind != "dev",
        "key": "0x" + DEV_KEYS[0],
        "me": DEV_ADDRESSES[0],
        "friend": FRIEND,
        "deployer": DEPLOYER,
        "multicall": chain.multicall,
        "chainId": chain.chain_id,
        "fork": chain.fork,
        "token": chain.token,
        "name": f"{client.name} {chain.kind}",
        "wanted": client.wanted(chain.kind),
        **contracts(),
        **client.order(folder),
    }
    done = subprocess.run(
        [*client.command(), str(CLIENTS / client.script)],
        input=json.dumps(order),
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        cwd=folder,
        env=os.environ | {"CLIENT_MODULES": str(modules), "HOME": str(folder)},
        check=False,
    )
    if done.returncode:
        pytest.fail(f"{client.name} ended with {done.returncode}:\n{done.stderr[-4000:]}")
    seen: dict[str, Facts] = json.loads(done.stdout.splitlines()[-1])
    return seen


def judge(client: Client, capability: str, seen: dict[str, Facts]) -> None:
    """Fail the test unless a client saw what it should have."""
    assert capability in seen, f"{client.name} said nothing of {capability}"
    expect(capability, seen, DEV_ADDRESSES[0], FRIEND)


def contracts() -> dict[str, Any]:
    """The contracts of every scenario, compiled once for all test processes."""
    source = (CONTRACTS / "Voucher.sol").read_bytes()
    lock = (CLIENTS / "package-lock.json").read_bytes()
    made = REPOSITORY / ".cache" / "contracts" / sha256(source + lock).hexdigest()[:16]
    made.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(made.with_suffix(".lock")):
        if not made.exists():
            names = ("Voucher", "Box", "Routine")
            artefacts = {name: solidity("Voucher.sol", name) for name in names}
            compiled = {
                name.lower(): {"abi": each.abi, "bytecode": each.bytecode}
                for name, each in artefacts.items()
            }
            made.with_suffix(".part").write_text(json.dumps(compiled))
            made.with_suffix(".part").rename(made)
        found: dict[str, Any] = json.loads(made.read_text())
    return found


def deploy_token(rpc: Rpc) -> str:
    """A Voucher, all of which its maker holds; its address."""
    nonce = int(rpc.call("eth_getTransactionCount", DEV_ADDRESSES[0], "pending"), 16)
    supply = (10**21).to_bytes(32, "big")
    code = bytes.fromhex(contracts()["voucher"]["bytecode"][2:]) + supply
    raw = signed_transfer(DEV_KEYS[0], nonce, to="", value=0, data=code, gas=3_000_000)
    receipt = rpc.wait_for_receipt(rpc.call("eth_sendRawTransaction", raw))
    return str(receipt["contractAddress"])


def furnish(rpc: Rpc) -> str:
    """Put the deterministic deployer and Multicall3 on a network; Multicall3's address there."""
    nonce = int(rpc.call("eth_getTransactionCount", DEV_ADDRESSES[1], "pending"), 16)
    fees: dict[str, Any] = {"max_fee": 10**11, "chain_id": int(rpc.call("eth_chainId"), 16)}
    paid = signed_transfer(DEV_KEYS[1], nonce, to=_DEPLOYER_SENDER, value=_DEPLOYER_COST, **fees)
    rpc.wait_for_receipt(rpc.call("eth_sendRawTransaction", paid))
    sent = rpc.call("eth_sendRawTransaction", _DEPLOYER_TRANSACTION)
    assert rpc.wait_for_receipt(sent)["contractAddress"] == DEPLOYER.lower()
    ((_, account),) = [
        (address, account)
        for address, account in first_contracts().items()
        if address == bytes.fromhex(MULTICALL[2:])
    ]
    # Code that returns the bytes behind it: PUSH2 length, DUP1, PUSH1 10, RETURNDATASIZE, CODECOPY,
    # RETURNDATASIZE, RETURN; sent to the deployer under the salt 0.
    creation = b"\x61" + len(account.code).to_bytes(2, "big") + bytes.fromhex("80600a3d393df3")
    made = signed_transfer(
        DEV_KEYS[1],
        nonce + 1,
        to=DEPLOYER,
        value=0,
        data=bytes(32) + creation + account.code,
        gas=3_000_000,
        **fees,
    )
    receipt = rpc.wait_for_receipt(rpc.call("eth_sendRawTransaction", made))
    assert receipt["status"] == "0x1"
    return "0x" + _create2(bytes.fromhex(DEPLOYER[2:]), creation + account.code).hex()


def _create2(sender: bytes, creation: bytes) -> bytes:
    from chain.crypto.keccak import keccak

    return keccak(b"\xff" + sender + bytes(32) + keccak(creation))[12:]
