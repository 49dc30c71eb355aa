"""What Brownie is for, at a network of its settings. Reports as tests/support/capabilities.py
expects."""

from typing import Any

from brownie import Contract, accounts, chain, network, web3
from brownie._config import CONFIG
from eth_abi import decode
from stage import ORDER, perform
from web3.exceptions import ContractCustomError, ContractLogicError, ContractPanicError

FRIEND = ORDER["friend"]
CONFIG.networks["ledger"] = {
    "id": "ledger",
    "name": "ledger",
    "host": ORDER["rpc"],
    "chainid": 31337,
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
    errors = []
    for kind in range(4):
        try:
            token.refuse(kind)
        except ContractLogicError as error:
            errors.append(error)
    words, custom, panic, silent = errors
    assert isinstance(custom, ContractCustomError) and isinstance(panic, ContractPanicError)
    mined = token.transfer(
        *(FRIEND, 5 * 10**21),
        {
            "from": ME,
            "gas_limit": 100_000,
            "allow_revert": True,
            "silent": True,
            "required_confs": 0,
        },
    )
    mined.wait(1)
    return {
        "words": words.message.removeprefix("execution reverted: "),
        "custom": ["TooMany", *decode(["uint256", "uint256"], bytes.fromhex(custom.data[10:]))],
        "panic": int(panic.data[-64:], 16),
        "silent": silent.data,
        "mined": int(mined.status),
    }


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
