"""`chain-node up`: run a network's nodes, or give an order to one that is up.

What only running them needs is loaded for that alone: an order takes effect at once.
"""

import argparse
import sys
from pathlib import Path

from node.commands.manifest import RUN_FOLDER, load_manifest
from node.up import control
from node.up.control import Order


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `chain-node up`."""
    add = parser.add_argument
    add("dir", metavar="D", help="folder that chain-node testnet wrote")
    add("flags", nargs="*", metavar="FLAG", help="after --: flags for every node's `run`")
    add("--log", choices=("text", "json"), default="text", help="form of the log [text]")
    orders = parser.add_argument_group(
        "orders", "to the network that is up in D; N is a node's name or place"
    ).add_mutually_exclusive_group()
    orders.add_argument("--kill", metavar="N", help="kill -9")
    orders.add_argument("--pause", metavar="N", help="SIGSTOP")
    orders.add_argument("--resume", metavar="N", help="SIGCONT")
    orders.add_argument("--restart", metavar="N", help="stop it if it runs, and start it")
    orders.add_argument("--stop", action="store_true", help="stop every node and end")
    orders.add_argument("--status", action="store_true", help="print states and process ids, JSON")


def run_up(arguments: argparse.Namespace) -> int:
    """Run the command; gives the exit status. Raises `Rejected` and `Fault`."""
    folder = Path(arguments.dir).absolute()
    manifest = load_manifest(folder)
    order = _order(arguments)
    if order is not None:
        reply = control.send(folder / RUN_FOLDER, order)
        print(reply.text, file=sys.stdout if reply.ok else sys.stderr)
        return 0 if reply.ok else 1
    from node.up.network import run_network

    return run_network(folder, manifest, arguments.flags, json=arguments.log == "json")


def _order(arguments: argparse.Namespace) -> Order | None:
    for name in control.ORDERS:
        given = getattr(arguments, name)
        if given is True:
            return Order(name)
        if given:
            return Order(name, given)
    return None
