"""What Brownie is for, at a network of its settings. Reports as tests/support/capabilities.py
expects."""

from typing import Any

from brownie import Contract, accounts, chain, network, web3
from brownie._config import CONFIG
from brownie.exceptions import VirtualMachineError, decode_typed_error
from stage import ORDER, perform
from web3.exceptions import ContractLogicError

FRIEND = ORDER["friend"]
CONFIG.networks["ledger"] = {
    "id": "ledger",
    "name": "ledger",
    "host": ORDER["rpc"],
    "chainid": ORDER["chainId"],
    "timeout": 30,
    "cmd_settings": {},
}
network.connect("ledger")
ME = accounts.add(ORDER["key"])
FOUND: dict[str, Any] = {}


def deploy() -> dict[str, Any]:
    made = web3.eth.contract(**ORDER["voucher"])
    sent = ME.transfer(data=made.constructor(10**21).data_in_transaction, silent=True)
    abi = ORDER["voucher"]["abi"]
    token = FOUND["token"] = Contract.from_abi("Voucher", sent.contract_address, abi)
    return {
        "status": int(sent.status),
        "address": sent.contract_address,
        "code": "0x" + bytes(web3.eth.get_code(sent.contract_address)).hex(),
        "name": token.name(),
        "supply": token.totalSupply(),
    }


def log_query() -> dict[str, Any]:
    token = FOUND["token"]
    first = chain.height + 1
    for amount in (31, 32):
        token.transfer(FRIEND, amount, {"from": ME, "silent": True})
    found = token.events.get_sequence(from_block=first, event_type="Transfer")
    events = [{key: event["args"][key] for key in ("from", "to", "value")} for event in found]
    return {
        "events": [event for event in events if event["to"] == FRIEND],
        "others": sum(event["from"] == FRIEND for event in events),
    }


def revert_reasons() -> dict[str, Any]:
    token = FOUND["token"]
    words, custom, panic, silent = (reason(token, kind) for kind in range(4))
    fields = {"from": ME, "gas_limit": 100_000, "allow_revert": True, "silent": True}
    mined = token.transfer(FRIEND, 5 * 10**21, fields | {"required_confs": 0})
    mined.wait(1)
    name, _, arguments = custom.partition(": ")
    return {
        "words": words,
        "custom": [name, *arguments.split(", ")],
        "panic": 0x12 if panic == "Division or modulo by zero" else panic,
        "silent": silent,
        "mined": int(mined.status),
    }


def reason(token: Contract, kind: int) -> str:
    """Why a call is refused, in Brownie's words.

    Which error is raised differs from run to run: Brownie loads its middlewares in the order in
    which the file system lists them, and they may turn web3.py's errors into its own.
    """
    try:
        token.refuse(kind)
    except VirtualMachineError as error:
        return "0x" if error.revert_msg == "Unknown typed error: 0x" else error.revert_msg
    except ContractLogicError as error:
        return error.data if error.data == "0x" else decode_typed_error(error.data)
    raise AssertionError("the call was not refused")


def snapshots() -> dict[str, Any]:
    before, height = web3.eth.get_balance(FRIEND), chain.height
    chain.snapshot()
    ME.transfer(FRIEND, 5, silent=True)
    between = web3.eth.get_balance(FRIEND)
    chain.revert()
    return {
        "gained": between - before,
        "undone": None,
        "left": web3.eth.get_balance(FRIEND) - before,
        "climbed": chain.height - height,
    }


perform(deploy, log_query, revert_reasons, snapshots)
