"""What titanoboa is for, with a contract in Vyper, at a ledger's RPC. Reports as
tests/support/capabilities.py expects."""

from typing import Any

import boa
from eth_account import Account
from stage import ORDER, perform

FRIEND = ORDER["friend"]
FOUND: dict[str, Any] = {}
boa.set_network_env(ORDER["rpc"])
boa.env.add_account(Account.from_key(ORDER["key"]))


def deploy() -> dict[str, Any]:
    token = FOUND["token"] = boa.loads(ORDER["vyper"], 10**21)
    return {
        "status": 1,
        "address": str(token.address),
        "code": "0x" + bytes(boa.env.get_code(token.address)).hex(),
        "name": token.name(),
        "supply": token.totalSupply(),
    }


def log_query() -> dict[str, Any]:
    events = []
    for amount in (31, 32):
        FOUND["token"].transfer(FRIEND, amount)
        events += FOUND["token"].get_logs()
    return {
        "events": [
            {"from": str(event.sender), "to": str(event.receiver), "value": event.value}
            for event in events
        ],
        "others": 0,
    }


def snapshots() -> dict[str, Any]:
    before, height = boa.env.get_balance(FRIEND), boa.env.evm.patch.block_number
    with boa.env.anchor():
        FOUND["token"].transfer(FRIEND, 5)
        held = FOUND["token"].balanceOf(FRIEND)
    return {
        "gained": 5 if held else 0,
        "undone": None,
        "left": boa.env.get_balance(FRIEND) - before,
        "climbed": boa.env.evm.patch.block_number - height,
    }


def forked_by_it() -> dict[str, Any]:
    token, holder = FOUND["token"], Account.from_key(ORDER["key"]).address
    here = token.balanceOf(holder)
    with boa.swap_env(boa.Env()):
        boa.fork(ORDER["rpc"], block_identifier="latest")
        same = boa.loads_partial(ORDER["vyper"]).at(token.address)
        with boa.env.prank(holder):
            same.transfer(FRIEND, here)
        moved = same.balanceOf(holder) == 0 and same.balanceOf(FRIEND) >= here
    untouched = token.balanceOf(holder) == here
    return {"results": ["Success" if moved and untouched else "Failure"]}


perform(deploy, log_query, snapshots, forked_by_it)
