"""`chain-node keys`: the addresses of a data folder's keys, and making them."""

import argparse
import json
from pathlib import Path

from chain.crypto.secp256k1 import address_of
from chain.errors import Reason, Rejected
from node import identity, keys
from node.datadir import VALIDATOR_KEY, VOTES


def describe_keys(folder: Path, *, private: bool) -> dict[str, object]:
    """The folder's keys by name; private ones only when asked for."""
    validator = identity.load_validator_key(folder)
    path = folder / identity.NODE_KEY
    node = keys.load_key(path) if path.exists() else None
    found: dict[str, object] = {
        "validator": None if validator is None else "0x" + address_of(validator).hex(),
        "node": None if node is None else address_of(node).hex(),
        # A key without its log may have signed anything: it waits an epoch before it signs.
        "votes": (folder / VOTES).exists(),
    }
    if private:
        found["validator_private"] = None if validator is None else "0x" + validator.hex()
        found["node_private"] = None if node is None else "0x" + node.hex()
    return found


# -- the command -----------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `chain-node keys`."""
    add = parser.add_argument
    add("--datadir", required=True, metavar="D", help="data folder")
    add(
        "--generate",
        choices=("validator", "node", "both"),
        help="make keys that are missing; those that are there stay",
    )
    add("--private", action="store_true", help="print the private keys, too")
    add("--json", action="store_true", help="print JSON")


def run_keys(arguments: argparse.Namespace) -> int:
    """Run the command; gives the exit status. Raises `Rejected` and `Fault`."""
    folder = Path(arguments.datadir)
    if arguments.generate in ("validator", "both"):
        identity.make_validator_key(folder)
    if arguments.generate in ("node", "both"):
        identity.make_node_key(folder)
    if not folder.is_dir():
        raise Rejected(Reason.BAD_SETTING, f"{folder}: no such folder")
    found = describe_keys(folder, private=arguments.private)
    if arguments.json:
        print(json.dumps(found, indent=2))
        return 0
    print(f"validator  {found['validator'] or f'none ({VALIDATOR_KEY} is not there)'}")
    print(f"node       {found['node'] or f'none ({identity.NODE_KEY} is not there)'}")
    if found["validator"] and not found["votes"]:
        print(f"warning    {VOTES} is missing: the validator will not sign for an epoch")
    if arguments.private:
        print(f"validator's private key  {found['validator_private'] or 'none'}")
        print(f"node's private key       {found['node_private'] or 'none'}")
    return 0
