"""`chain-node peers` and `validators`: questions and orders to a running node, over its RPC."""

import argparse
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any, Final

from chain.errors import Reason, Rejected

DEFAULT_URL: Final = "http://127.0.0.1:8545"
_TIMEOUT_SECONDS: Final = 30.0
_ANSWER_BYTES_MAX: Final = 64 * 2**20
_FAILED: Final = 1
_ACTIONS: Final = {
    "add": ("admin_addPeer", "connect to a peer, <node id>@host:port, and stay connected"),
    "remove": ("admin_removePeer", "let go of a peer"),
    "trust": ("admin_addTrustedPeer", "let a peer in beyond every limit"),
    "distrust": ("admin_removeTrustedPeer", "end that"),
    "ban": ("admin_ban", "close the link to a node id, and refuse it"),
    "unban": ("admin_unban", "end that"),
}


class Refused(Exception):
    """The node answered with a JSON-RPC error, in its words."""


def call(url: str, method: str, *params: object) -> Any:
    """A method's result. `Refused` for an error; Rejected(BAD_SETTING) when nobody answers."""
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    try:
        request = urllib.request.Request(
            url, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:
            answer = json.loads(response.read(_ANSWER_BYTES_MAX))
    except urllib.error.HTTPError as error:
        raise Rejected(Reason.BAD_SETTING, f"{url} answers {error.code} {error.reason}") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "reason", None) or error
        raise Rejected(Reason.BAD_SETTING, f"no node answers at {url}: {why}") from None
    if not isinstance(answer, dict):
        raise Rejected(Reason.BAD_SETTING, f"{url} does not speak JSON-RPC")
    if "error" in answer:
        raise Refused(str(answer["error"].get("message")))
    return answer.get("result")


def rows(cells: Sequence[Sequence[str]]) -> str:
    """Cells as lines of a table; the first row is its heading."""
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )


# -- validators ------------------------------------------------------------------------------------


def add_validators_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `chain-node validators`."""
    _add_common(parser)
    parser.add_argument(
        "--block", default="latest", metavar="B", help="height or tag whose child they decide on"
    )


def run_validators(arguments: argparse.Namespace) -> int:
    """Run the command; gives the exit status."""
    block = hex(int(arguments.block)) if arguments.block.isdigit() else arguments.block
    try:
        found = call(arguments.rpc_url, "ledger_validators", block)
        status = call(arguments.rpc_url, "ledger_consensusStatus")
    except Refused as refused:
        return _refusal(refused)
    missing = {item["address"]: int(item["lastView"], 16) for item in status["missing"]}
    current = found["epoch"] == status["epoch"]
    total = int(found["totalPower"], 16)
    if arguments.json:
        for item in found["validators"]:
            item["missing"] = current and item["address"] in missing
        print(json.dumps(found, indent=2))
        return 0
    first, last = int(found["firstHeight"], 16), found["lastHeight"]
    end = "on" if last is None else f"to {int(last, 16)}"
    print(f"epoch {int(found['epoch'], 16)}, heights from {first} {end}; power {total}")
    table = [("address", "power", "share", "state")]
    for item in found["validators"]:
        address, power = item["address"], int(item["power"], 16)
        state = "ok"
        if not current:
            state = "-"
        elif address in missing:
            state = f"missing, last heard in view {missing[address]}"
        elif address == status["validator"]:
            state = "this node"
        table.append((address, str(power), f"{100 * power / total:.1f}%", state))
    print(rows(table))
    return 0


# -- peers -----------------------------------------------------------------------------------------


def add_peers_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `chain-node peers`."""
    _add_common(parser)
    texts = "; ".join(f"{name}: {text}" for name, (_, text) in _ACTIONS.items())
    parser.add_argument(
        "action",
        nargs="?",
        choices=("list", "bans", *_ACTIONS),
        default="list",
        help=f"list: those connected now; bans: who is refused; {texts} [list]",
    )
    parser.add_argument("peer", nargs="?", help="<node id>@host:port, or a node id")


def run_peers(arguments: argparse.Namespace) -> int:
    """Run the command; gives the exit status."""
    url, action = arguments.rpc_url, arguments.action
    if (action in _ACTIONS) != (arguments.peer is not None):
        what = "needs a peer" if action in _ACTIONS else "takes no peer"
        raise Rejected(Reason.BAD_SETTING, f"peers {action} {what}")
    try:
        if action in _ACTIONS:
            result = call(url, _ACTIONS[action][0], arguments.peer)
            print(json.dumps(result) if arguments.json else _outcome(action, result))
            return 0 if result is not False else _FAILED
        found = call(url, "admin_peers" if action == "list" else "admin_bans")
    except Refused as refused:
        return _refusal(refused)
    if arguments.json:
        print(json.dumps(found, indent=2))
    elif action == "list":
        print(_peer_table(found))
    else:
        print(_ban_table(found))
    return 0


def _outcome(action: str, result: object) -> str:
    return f"{action}: {'done' if result is not False else 'there was nothing to do'}"


def _peer_table(peers: Sequence[dict[str, Any]]) -> str:
    if not peers:
        return "no peers"
    table = [("node id", "address", "direction", "validator", "name")]
    for peer in peers:
        network = peer.get("network") or {}
        protocols = peer.get("protocols") or {}
        details = next((item for item in protocols.values() if isinstance(item, dict)), {})
        table.append(
            (
                str(peer.get("id", "-")),
                str(network.get("remoteAddress") or "-"),
                "in" if network.get("inbound") else "out",
                str(peer.get("validator") or details.get("validator") or "-"),
                str(peer.get("name") or "-"),
            )
        )
    return rows(table)


def _ban_table(bans: Sequence[dict[str, Any]]) -> str:
    if not bans:
        return "nobody is banned"
    table = [("who", "until", "reason")]
    table += [(ban["who"], ban["until"] or "for ever", ban["reason"]) for ban in bans]
    return rows(table)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rpc-url", default=DEFAULT_URL, metavar="URL", help=f"[{DEFAULT_URL}]")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _refusal(refused: Refused) -> int:
    print(f"chain-node: the node refuses: {refused}", file=sys.stderr)
    return _FAILED
