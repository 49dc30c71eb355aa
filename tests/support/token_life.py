"""The life of a token as its users see it: once through web3.py, once through ethers.

Deployed, transferred, its events read by HTTP filter and by WebSocket subscription, its
refusals decoded. Both clients report in one shape, so that one list of expectations
judges both.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final

from eth_account import Account
from web3 import AsyncWeb3, HTTPProvider, Web3, WebSocketProvider
from web3.contract import Contract
from web3.exceptions import ContractCustomError, ContractLogicError, ContractPanicError
from web3.types import TxReceipt

from tests.support.contracts import Artefact
from tests.support.javascript import run_script

# The first account of the well-known test phrase, its second, and its fourth.
DEPLOYER_KEY: Final = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
DEPLOYER: Final = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
FRIEND: Final = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
STRANGER: Final = "0x90F79bf6EB2c4f870365E785982E1f101E93b906"

SUPPLY: Final = 1000 * 10**18
PARTS: Final = (15 * 10**17, 25 * 10**16)

_WAIT_SECONDS_MAX: Final = 30
_LACKING: Final = 5  # units that STRANGER tries to send without having any


def live_with_ethers(rpc_url: str, ws_url: str, artefact: Artefact) -> dict[str, Any]:
    """What clients/token.mjs saw."""
    order = {
        "rpc": rpc_url,
        "ws": ws_url,
        "key": DEPLOYER_KEY,
        "abi": artefact.abi,
        "bytecode": artefact.bytecode,
    }
    seen = json.loads(run_script("token.mjs", stdin=json.dumps(order)))
    assert isinstance(seen, dict)
    return seen


def live_with_web3(rpc_url: str, ws_url: str, artefact: Artefact) -> dict[str, Any]:
    """The same through web3.py."""
    return asyncio.run(_live_with_web3(rpc_url, ws_url, artefact))


def expect_token_life(seen: dict[str, Any], name: str) -> None:
    """All that must hold of any token, whatever compiled it and whichever client asked."""
    assert seen["chainId"] == 31337
    assert len(seen["accounts"]) == 10
    assert seen["accounts"][0] == DEPLOYER
    assert seen["code"]
    assert seen["name"] == name
    assert seen["supply"] == str(SUPPLY)
    assert seen["statuses"] == [1, 1]
    assert seen["types"] == [2, 2]
    assert seen["parsed"] == ["Transfer", "Transfer"]
    events = [
        {"from": DEPLOYER, "to": FRIEND, "value": str(value), "transaction": transaction}
        for value, transaction in zip(PARTS, seen["transactions"], strict=True)
    ]
    assert seen["filter"] == events
    assert seen["subscription"] == events
    assert seen["heads"]
    assert seen["past"] == [str(value) for value in PARTS]
    assert seen["balance"] == str(sum(PARTS))
    assert seen["refusals"]["mined"]["status"] == 0


async def _live_with_web3(rpc_url: str, ws_url: str, artefact: Artefact) -> dict[str, Any]:
    http = Web3(HTTPProvider(rpc_url))
    account = Account.from_key(DEPLOYER_KEY)
    factory = http.eth.contract(abi=artefact.abi, bytecode=artefact.bytecode)

    def execute(call: Any, **fields: Any) -> TxReceipt:
        draft = {
            "from": account.address,
            "nonce": http.eth.get_transaction_count(account.address, "pending"),
        }
        signed = account.sign_transaction(call.build_transaction(draft | fields))
        sent = http.eth.send_raw_transaction(signed.raw_transaction)
        return http.eth.wait_for_transaction_receipt(sent, _WAIT_SECONDS_MAX, poll_latency=0.02)

    deployed = execute(factory.constructor(SUPPLY))
    address = deployed["contractAddress"]
    assert address is not None
    token = http.eth.contract(address=address, abi=artefact.abi)
    by_filter = token.events.Transfer.create_filter(from_block="latest")
    by_filter.get_new_entries()

    async with AsyncWeb3(WebSocketProvider(ws_url)) as socket:
        logs_id = await socket.eth.subscribe(
            "logs", {"address": address, "topics": [token.events.Transfer().topic]}
        )
        heads_id = await socket.eth.subscribe("newHeads")
        receipts = [
            execute(token.functions.transfer(FRIEND, value), **fields)
            for value, fields in zip(PARTS, ({}, {"gas": 100_000}), strict=True)
        ]
        pushed: dict[str, list[Any]] = {str(logs_id): [], str(heads_id): []}
        async with asyncio.timeout(_WAIT_SECONDS_MAX):
            async for message in socket.socket.process_subscriptions():
                pushed[str(message["subscription"])].append(message["result"])
                if len(pushed[str(logs_id)]) >= 2 and len(pushed[str(heads_id)]) >= 2:
                    break
        assert await socket.eth.unsubscribe(logs_id)
        socket_refusal = await _async_refusal(socket, token)
    past = token.events.Transfer.get_logs(
        from_block=0, argument_filters={_event_names(artefact)[1]: FRIEND}
    )
    heads = pushed[str(heads_id)]
    return {
        "chainId": http.eth.chain_id,
        "accounts": http.eth.accounts,
        "address": address,
        "code": len(http.eth.get_code(address)) > 0,
        "name": token.functions.name().call(),
        "supply": str(token.functions.totalSupply().call()),
        "transactions": [receipt["transactionHash"].to_0x_hex() for receipt in receipts],
        "statuses": [receipt["status"] for receipt in receipts],
        "types": [receipt["type"] for receipt in receipts],
        "parsed": [
            token.events.Transfer().process_receipt(receipt)[0]["event"] for receipt in receipts
        ],
        "filter": [_event(entry) for entry in by_filter.get_new_entries()],
        "subscription": [
            _event(token.events.Transfer().process_log(entry)) for entry in pushed[str(logs_id)]
        ],
        "heads": heads[-1]["number"] > heads[0]["number"],
        "past": [str(entry["args"]["value"]) for entry in past],
        "balance": str(token.functions.balanceOf(FRIEND).call()),
        "refusals": _refusals(token, execute) | {"overWebSocket": socket_refusal},
    }


def _refusals(token: Contract, execute: Callable[..., TxReceipt]) -> dict[str, Any]:
    functions = token.functions
    lacking = functions.transfer(FRIEND, _LACKING)
    refusals = {
        "call": _refusal(lambda: lacking.call({"from": STRANGER})),
        "estimate": _refusal(lambda: lacking.estimate_gas({"from": STRANGER})),
        "panic": _refusal(lambda: functions.share(1, 0).call()),
        "mined": {"status": execute(functions.transfer(FRIEND, SUPPLY), gas=100_000)["status"]},
    }
    if any(entry.get("name") == "mint" for entry in token.abi):
        cap = functions.CAP().call()
        refusals["words"] = _refusal(lambda: functions.mint(FRIEND, cap).call({"from": DEPLOYER}))
        refusals["owner"] = _refusal(lambda: functions.mint(STRANGER, 1).call({"from": STRANGER}))
    return refusals


def _refusal(action: Callable[[], object]) -> dict[str, Any] | None:
    try:
        action()
    except ContractLogicError as error:
        return _describe(error)
    return None


async def _async_refusal(socket: Any, token: Contract) -> dict[str, Any] | None:
    remote = socket.eth.contract(address=token.address, abi=token.abi)
    try:
        await remote.functions.transfer(FRIEND, _LACKING).call({"from": STRANGER})
    except ContractLogicError as error:
        return _describe(error)
    return None


def _describe(error: ContractLogicError) -> dict[str, Any]:
    kinds = {ContractCustomError: "custom", ContractPanicError: "panic"}
    kind = kinds.get(type(error), "words")
    return {"kind": kind, "message": error.message, "data": error.data}


def _event_names(artefact: Artefact) -> list[str]:
    (event,) = (entry for entry in artefact.abi if entry.get("name") == "Transfer")
    return [argument["name"] for argument in event["inputs"]]


def _event(entry: Any) -> dict[str, str]:
    # The two contracts call the parties of a transfer differently: take them by their order.
    sender, receiver, value = entry["args"].values()
    return {
        "from": sender,
        "to": receiver,
        "value": str(value),
        "transaction": entry["transactionHash"].to_0x_hex(),
    }
