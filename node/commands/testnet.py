"""`chain-node testnet`: keys, genesis, settings and a manifest for a network on this machine.

Each node is a data folder that `chain-node run --datadir` starts; `chain-node up` starts
them all. The manifest is written last: a folder that has one is whole.
"""

import argparse
import json
import os
import secrets
import shutil
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from msgspec import Struct

from chain.crypto.keccak import keccak
from chain.crypto.secp256k1 import address_of
from chain.errors import Fault, Reason, Rejected
from chain.genesis import DEV_CHAIN_ID, Genesis, GenesisAccount, new_genesis
from chain.ledger_rules import HEIGHTS_MAX, GenesisValidator, LedgerRules
from chain.staking import STAKING_ADDRESS
from chain.types import Address
from chain.validators import POWER_MAX, VALIDATORS_MAX
from contracts.system.genesis import validators_alloc
from contracts.vm import Interpreter
from node import identity, keys
from node.commands.manifest import (
    GENESIS,
    MANIFEST,
    Manifest,
    NodeEntry,
    lock_folder,
    store_manifest,
)
from node.settings import CONFIG_FILE, TEST_MNEMONIC

P2P_PORT_OFFSET: Final = 1000  # from a node's RPC port to the port its peers connect to
FUNDED_ACCOUNTS: Final = 10
_HOST: Final = "127.0.0.1"
_DELTA_MS: Final = 100  # of a network without distances (section 3 of the protocol)
_LINKS_MAX: Final = 16  # a network of more nodes than these and one does not link all to all
_RING_LINKS: Final = 8
_COIN: Final = 10**18
_ACCOUNT_BALANCE: Final = 10_000 * _COIN
_VALIDATOR_BALANCE: Final = 100 * _COIN  # so that it can pay for sending evidence
_PORT_MAX: Final = 65_535
# Below the ports that systems give to outgoing connections: one stays free while its node is off.
_FREE_PORTS: Final = range(10_000, 32_000)
_SEED_TAG: Final = b"chain-node/testnet/1"


class Plan(Struct, frozen=True, kw_only=True):
    """What a network is to be. `base_port` 0: whatever ports are free now."""

    folder: Path
    validators: int = 4
    followers: int = 0
    powers: tuple[int, ...] = ()  # of the validators in order; empty: the same for each
    base_port: int = 8545
    chain_id: int = DEV_CHAIN_ID
    interval_ms: int = 200
    empty_blocks: bool = True
    epoch_length: int = 300
    evidence_age: int = 2_000  # heights, as are the next two; short, so that one can watch them
    unbonding: int = 4_000
    jail: int = 1_000
    free: bool = False
    gas_limit: int = 30_000_000
    mnemonic: str = TEST_MNEMONIC
    fund: bool = True
    seed: str | None = None  # keys follow from it: for tests only


_POWER: Final = 10  # of each validator, unless told


class _Keys(Struct, frozen=True):
    """The private keys of a node. `validator` None: it follows."""

    name: str
    node: bytes
    validator: bytes | None


def write_testnet(plan: Plan, *, force: bool = False) -> Manifest:
    """Write the whole network into `plan.folder`.

    Rejected(BAD_SETTING) for a plan that can't be, and for a folder that is not empty
    unless `force`, which replaces what an earlier testnet left there and nothing else.
    Fault when the disk fails.
    """
    _check(plan)
    folder = plan.folder
    ports = _ports(plan)
    try:
        with ExitStack() as held:
            _make_room(folder, held, force=force)
            made = [
                _Keys(
                    f"node{place}",
                    _key(plan, "node", place),
                    _key(plan, "validator", place) if place < plan.validators else None,
                )
                for place in range(plan.validators + plan.followers)
            ]
            genesis = testnet_genesis(
                plan, [address_of(node.validator) for node in made if node.validator is not None]
            )
            document = json.dumps(json.loads(genesis.source), indent=2)
            (folder / GENESIS).write_text(document + "\n", encoding="utf-8")
            entries = tuple(_entry(folder, node, *ports[at]) for at, node in enumerate(made))
            for node, entry in zip(made, entries, strict=True):
                _write_node(plan, node, entry, entries)
            manifest = Manifest(
                plan.chain_id, str(folder / GENESIS), entries, insecure=plan.seed is not None
            )
            store_manifest(folder, manifest)
    except OSError as error:
        where = error.filename or folder
        raise Fault(f"{where}: {os.strerror(error.errno or 0)}") from error
    return manifest


def testnet_genesis(plan: Plan, validators: Sequence[Address]) -> Genesis:
    """The first block: every fork from the start, the validators, and who has coins."""
    powers = plan.powers or (_POWER,) * len(validators)
    rules = LedgerRules(
        validators=tuple(map(GenesisValidator, validators, powers)),
        block_interval_ms=plan.interval_ms,
        empty_blocks=plan.empty_blocks,
        epoch_length=plan.epoch_length,
        evidence_age=plan.evidence_age,
        unbonding=plan.unbonding,
        free=plan.free,
    )
    alloc = {STAKING_ADDRESS: validators_alloc(rules, Interpreter(), jail=plan.jail)}
    alloc |= {address: GenesisAccount(_VALIDATOR_BALANCE) for address in validators}
    if plan.fund:
        accounts = keys.dev_accounts(plan.mnemonic, FUNDED_ACCOUNTS)
        alloc |= {address: GenesisAccount(_ACCOUNT_BALANCE) for address in accounts}
    return new_genesis(
        plan.chain_id,
        alloc=alloc,
        rules=rules,
        gas_limit=plan.gas_limit,
        timestamp=0 if plan.seed is not None else int(time.time()),
    )


def _check(plan: Plan) -> None:
    """Rejected(BAD_SETTING) names what is wrong with a plan."""

    def demand(holds: bool, text: str) -> None:
        if not holds:
            raise Rejected(Reason.BAD_SETTING, text)

    demand(1 <= plan.validators <= VALIDATORS_MAX, f"--validators must be 1 to {VALIDATORS_MAX}")
    demand(0 <= plan.followers <= VALIDATORS_MAX, f"--followers must be 0 to {VALIDATORS_MAX}")
    count = plan.validators + plan.followers
    demand(
        plan.base_port == 0 or 1024 <= plan.base_port <= _PORT_MAX - P2P_PORT_OFFSET - count,
        f"--base-port must be 0 or 1024 to {_PORT_MAX - P2P_PORT_OFFSET - count}",
    )
    demand(
        count <= P2P_PORT_OFFSET,
        f"more than {P2P_PORT_OFFSET} nodes do not fit one machine",
    )
    demand(1 <= plan.chain_id < 2**53, "--chain-id must be 1 to 2**53 - 1")
    demand(0 <= plan.interval_ms <= 3_600_000, "--interval-ms must be 0 to 3600000")
    demand(
        bool(plan.interval_ms) or not plan.empty_blocks,
        "--interval-ms 0 needs --no-empty-blocks: nothing would hold up empty blocks",
    )
    demand(0 <= plan.epoch_length <= HEIGHTS_MAX, "--epoch-length must be 0 to 2**48")
    demand(
        0 < plan.evidence_age < plan.unbonding <= HEIGHTS_MAX,
        "--evidence-age must be at least 1 and less than --unbonding, at most 2**48",
    )
    demand(0 <= plan.jail <= HEIGHTS_MAX, "--jail must be 0 to 2**48")
    demand(5000 <= plan.gas_limit < 2**63, "--gas-limit must be 5000 to 2**63 - 1")
    if plan.powers:
        demand(
            len(plan.powers) == plan.validators,
            f"--powers names {len(plan.powers)} powers for {plan.validators} validators",
        )
        demand(
            min(plan.powers) >= 1 and sum(plan.powers) <= POWER_MAX,
            f"--powers must be at least 1 and {POWER_MAX} together",
        )


# -- the folder ------------------------------------------------------------------------------------


def _make_room(folder: Path, held: ExitStack, *, force: bool) -> None:
    """An empty folder, as far as this network is concerned; locked until `held` ends."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.iterdir()) and not force:
        raise Rejected(
            Reason.BAD_SETTING, f"{folder} is not empty; --force replaces the network in it"
        )
    lock_folder(folder, held)
    (folder / MANIFEST).unlink(missing_ok=True)  # first: what follows leaves no whole network
    (folder / GENESIS).unlink(missing_ok=True)
    for node in folder.glob("node*"):
        if node.name.removeprefix("node").isdigit() and (node / CONFIG_FILE).exists():
            shutil.rmtree(node)


def _write_node(plan: Plan, node: _Keys, entry: NodeEntry, entries: Sequence[NodeEntry]) -> None:
    folder = Path(entry.datadir)
    identity.make_node_key(folder, node.node)
    if node.validator is not None:
        identity.make_validator_key(folder, node.validator)
    place = entries.index(entry)
    others = [*entries[place + 1 :], *entries[:place]]
    if len(others) > _LINKS_MAX:
        others = others[:_RING_LINKS]  # a ring with short cuts; discovery adds to it
    config = _config(plan, entry, [other.p2p for other in others])
    (folder / CONFIG_FILE).write_text(config, encoding="utf-8")


def _config(plan: Plan, entry: NodeEntry, others: Sequence[str]) -> str:
    """The node's config.toml."""
    tables: Mapping[str, Mapping[str, str | int | list[str]]] = {
        "chain": {"genesis": str(plan.folder / GENESIS)},
        "rpc": {"host": _HOST, "port": int(entry.rpc_url.rsplit(":", 1)[1])},
        "net": {
            "host": _HOST,
            "port": int(entry.p2p.rsplit(":", 1)[1]),
            "persistent": list(others),
        },
        "consensus": {"delta_ms": _DELTA_MS},
    }
    lines = [f"# {entry.name} of a test network; written by chain-node testnet."]
    if plan.seed is not None:
        lines.append("# INSECURE: this node's keys follow from a seed. For tests only.")
    for section, table in tables.items():
        lines += ["", f"[{section}]"]
        # JSON's texts, numbers and lists are TOML's.
        lines += [f"{key} = {json.dumps(value)}" for key, value in table.items()]
    return "\n".join(lines) + "\n"


def _entry(folder: Path, node: _Keys, rpc_port: int, p2p_port: int) -> NodeEntry:
    node_id = address_of(node.node).hex()
    return NodeEntry(
        name=node.name,
        datadir=str(folder / node.name),
        rpc_url=f"http://{_HOST}:{rpc_port}",
        p2p=f"{node_id}@{_HOST}:{p2p_port}",
        validator=None if node.validator is None else "0x" + address_of(node.validator).hex(),
        node_id=node_id,
    )


def _key(plan: Plan, kind: str, place: int) -> bytes:
    if plan.seed is None:
        return keys.new_key()
    # A hash is out of the curve's range with a chance of 2**-128.
    return keccak(_SEED_TAG + f"{kind}/{place}/{plan.seed}".encode())


def _ports(plan: Plan) -> list[tuple[int, int]]:
    """Each node's RPC and peer-to-peer port."""
    count = plan.validators + plan.followers
    if plan.base_port:
        first = plan.base_port
        return [(first + at, first + at + P2P_PORT_OFFSET) for at in range(count)]
    with ExitStack() as bound:
        free: list[int] = []
        while len(free) < 2 * count:
            probe = bound.enter_context(socket.socket())
            port = _FREE_PORTS[secrets.randbelow(len(_FREE_PORTS))]
            with suppress(OSError):
                probe.bind((_HOST, port))
                free.append(port)
    return list(zip(free[:count], free[count:], strict=True))


# -- the command -----------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `chain-node testnet`."""
    add = parser.add_argument
    add("--dir", required=True, metavar="D", help="folder for the network; must be empty")
    add("--validators", type=int, default=4, metavar="N", help="nodes that vote [4]")
    add("--followers", type=int, default=0, metavar="N", help="nodes that only follow [0]")
    add("--powers", default="", metavar="A,B", help=f"the validators' powers [{_POWER} each]")
    add(
        "--base-port",
        type=int,
        default=8545,
        metavar="N",
        help="node i has RPC on N+i and its peers' port on N+i+1000; 0: any free ports [8545]",
    )
    add("--chain-id", type=int, default=DEV_CHAIN_ID, metavar="N", help=f"[{DEV_CHAIN_ID}]")
    add("--interval-ms", type=int, default=200, metavar="N", help="between blocks, ms [200]")
    add(
        "--empty-blocks",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="build blocks without transactions at the interval [yes]",
    )
    add("--epoch-length", type=int, default=300, metavar="N", help="heights; 0: no end [300]")
    add("--evidence-age", type=int, default=2000, metavar="N", help="heights [2000]")
    add("--unbonding", type=int, default=4000, metavar="N", help="heights [4000]")
    add("--jail", type=int, default=1000, metavar="N", help="heights [1000]")
    add("--free", action="store_true", help="transactions cost nothing, for ever")
    add("--gas-limit", type=int, default=30_000_000, metavar="N", help="of a block [30000000]")
    add("--mnemonic", default=TEST_MNEMONIC, help="phrase of the ten funded accounts [test ...]")
    add("--no-fund", action="store_true", help="fund no accounts but the validators' own")
    add("--seed", metavar="TEXT", help="INSECURE, for tests: derive every key from this text")
    add("--force", action="store_true", help="replace the network that is in the folder")


def run_testnet(arguments: argparse.Namespace) -> int:
    """Run the command; gives the exit status. Raises `Rejected` and `Fault`."""
    try:
        powers = tuple(int(power) for power in arguments.powers.split(",") if power.strip())
    except ValueError:
        raise Rejected(Reason.BAD_SETTING, "--powers must be whole numbers: 1,1,2") from None
    plan = Plan(
        folder=Path(arguments.dir).absolute(),
        validators=arguments.validators,
        followers=arguments.followers,
        powers=powers,
        base_port=arguments.base_port,
        chain_id=arguments.chain_id,
        interval_ms=arguments.interval_ms,
        empty_blocks=arguments.empty_blocks,
        epoch_length=arguments.epoch_length,
        evidence_age=arguments.evidence_age,
        unbonding=arguments.unbonding,
        jail=arguments.jail,
        free=arguments.free,
        gas_limit=arguments.gas_limit,
        mnemonic=arguments.mnemonic,
        fund=not arguments.no_fund,
        seed=arguments.seed,
    )
    manifest = write_testnet(plan, force=arguments.force)
    for node in manifest.nodes:
        role = f"validator {node.validator}" if node.validator else "follower"
        print(f"{node.name:<8} {node.rpc_url}  {role}")
    print(f"written  {plan.folder / MANIFEST}")
    if manifest.insecure:
        print("INSECURE: the keys follow from --seed; whoever knows it has them. For tests only.")
    print(f"start    chain-node up {plan.folder}")
    return 0
