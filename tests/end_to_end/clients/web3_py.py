"""Every capability through web3.py and eth-account. Reports as tests/support/capabilities.py
expects."""

import asyncio
from typing import Any

import rlp
from eth_account import Account
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from hexbytes import HexBytes
from stage import ORDER, perform
from trie import HexaryTrie
from web3 import AsyncWeb3, HTTPProvider, Web3, WebSocketProvider
from web3.exceptions import (
    ContractCustomError,
    ContractLogicError,
    ContractPanicError,
    TransactionNotFound,
    Web3RPCError,
)

NAME = ORDER["name"]
FRIEND = ORDER["friend"]
GWEI = 10**9
WEB3 = Web3(HTTPProvider(ORDER["rpc"]))
ETH: Any = WEB3.eth
ME = Account.from_key(ORDER["key"])
SECONDS_MAX = 30


def send(**fields: Any) -> Any:
    """Sign and send with eth-account alone, and wait for the receipt."""
    if "gasPrice" not in fields:
        fields = {"maxFeePerGas": 50 * GWEI, "maxPriorityFeePerGas": GWEI} | fields
    nonce = ETH.get_transaction_count(ME.address, "pending")
    draft = {"chainId": ETH.chain_id, "nonce": nonce, "value": 0, "gas": 500_000} | fields
    signed = ME.sign_transaction(draft)
    return ETH.wait_for_transaction_receipt(
        ETH.send_raw_transaction(signed.raw_transaction), SECONDS_MAX, 0.02
    )


def execute(call: Any, **fields: Any) -> Any:
    """A contract's call or construction as a transaction, with web3.py's own estimate and fees."""
    nonce = ETH.get_transaction_count(ME.address, "pending")
    signed = ME.sign_transaction(
        call.build_transaction({"from": ME.address, "nonce": nonce} | fields)
    )
    return ETH.wait_for_transaction_receipt(
        ETH.send_raw_transaction(signed.raw_transaction), SECONDS_MAX, 0.02
    )


def deployed(made: str, *arguments: Any) -> Any:
    receipt = execute(ETH.contract(**ORDER[made]).constructor(*arguments))
    return ETH.contract(address=receipt["contractAddress"], abi=ORDER[made]["abi"])


class Token:
    """The token of all scenarios, once it is deployed."""

    contract: Any = None


def pay(*amounts: int) -> None:
    for amount in amounts:
        execute(Token.contract.functions.transfer(FRIEND, amount))


def told(event: Any) -> dict[str, Any]:
    arguments = event["args"]
    return {"from": arguments["from"], "to": arguments["to"], "value": arguments["value"]}


def refusal(action: Any) -> Any:
    try:
        action()
    except (ContractLogicError, Web3RPCError, TransactionNotFound) as error:
        return error
    return None


def error_named(name: str) -> tuple[str, list[str]]:
    """The selector of the token's error, and the types of its arguments."""
    (entry,) = (e for e in ORDER["voucher"]["abi"] if e["type"] == "error" and e["name"] == name)
    types = [argument["type"] for argument in entry["inputs"]]
    return "0x" + keccak(text=f"{name}({','.join(types)})")[:4].hex(), types


def name_of_error(data: str) -> str:
    named = [e["name"] for e in ORDER["voucher"]["abi"] if e["type"] == "error"]
    (found,) = (name for name in named if data.startswith(error_named(name)[0]))
    return str(found)


def deploy() -> dict[str, Any]:
    receipt = execute(ETH.contract(**ORDER["voucher"]).constructor(10**21))
    address = receipt["contractAddress"]
    Token.contract = ETH.contract(address=address, abi=ORDER["voucher"]["abi"])
    return {
        "status": receipt["status"],
        "address": address,
        "code": ETH.get_code(address).to_0x_hex(),
        "name": Token.contract.functions.name().call(),
        "supply": Token.contract.functions.totalSupply().call(),
    }


def events_by_filter() -> dict[str, Any]:
    chosen = Token.contract.events.Transfer.create_filter(
        from_block="latest", argument_filters={"to": FRIEND}
    )
    chosen.get_new_entries()
    pay(11, 12)
    return {"events": [told(event) for event in chosen.get_new_entries()]}


def subscription() -> dict[str, Any]:
    return asyncio.run(_subscription())


async def _subscription() -> dict[str, Any]:
    transfer = Token.contract.events.Transfer()
    async with AsyncWeb3(WebSocketProvider(ORDER["ws"])) as socket:
        chosen = {"address": Token.contract.address, "topics": [transfer.topic]}
        logs = await socket.eth.subscribe("logs", chosen)
        await socket.eth.subscribe("newHeads")
        await asyncio.to_thread(pay, 21, 22)
        events: list[Any] = []
        heads: list[Any] = []
        async with asyncio.timeout(SECONDS_MAX):
            async for message in socket.socket.process_subscriptions():
                if message["subscription"] == logs:
                    events.append(told(transfer.process_log(message["result"])))
                else:
                    heads.append(message["result"]["number"])
                if len(events) == 2 and heads:
                    break
        assert await socket.eth.unsubscribe(logs)
    return {"events": events, "heads": heads}


def log_query() -> dict[str, Any]:
    first = ETH.block_number + 1
    pay(31, 32)
    transfer = Token.contract.events.Transfer
    found = transfer.get_logs(from_block=first, argument_filters={"to": FRIEND})
    none = transfer.get_logs(from_block=first, argument_filters={"from": FRIEND})
    return {"events": [told(event) for event in found], "others": len(none)}


def fees() -> dict[str, Any]:
    suggested = ETH.max_priority_fee + 2 * ETH.get_block("latest")["baseFeePerGas"]
    receipt = send(to=FRIEND, value=1, gas=21_000)
    block = ETH.get_block(receipt["blockNumber"])
    history = ETH.fee_history(1, receipt["blockNumber"], [50])
    return {
        "type": receipt["type"],
        "suggested": suggested,
        "base": block["baseFeePerGas"],
        "tip": GWEI,
        "most": 50 * GWEI,
        "price": receipt["effectiveGasPrice"],
        "paid": receipt["effectiveGasPrice"] * receipt["gasUsed"],
        "gas": receipt["gasUsed"],
        "history": history["baseFeePerGas"][0],
        "reward": history["reward"][0][0],
    }


def permit() -> dict[str, Any]:
    holder = Account.from_key(keccak(text=f"{NAME} holder"))
    functions = Token.contract.functions
    terms = {"owner": holder.address, "spender": ME.address, "value": 5, "nonce": 0}
    terms["deadline"] = 2**40
    types = {"owner": "address", "spender": "address"}
    fields = [{"name": key, "type": types.get(key, "uint256")} for key in terms]
    domain = {
        "name": "Voucher",
        "version": "1",
        "chainId": ETH.chain_id,
        "verifyingContract": Token.contract.address,
    }
    signed = holder.sign_typed_data(domain, {"Permit": fields}, terms)
    parts = (
        *(holder.address, ME.address, 5, 2**40, signed.v),
        *(signed.r.to_bytes(32, "big"), signed.s.to_bytes(32, "big")),
    )
    execute(functions.permit(*parts))
    again = refusal(lambda: functions.permit(*parts).call({"from": ME.address}))
    return {
        "allowance": functions.allowance(holder.address, ME.address).call(),
        "nonce": functions.nonces(holder.address).call(),
        "again": name_of_error(again.data),
    }


def create2() -> dict[str, Any]:
    code = HexBytes(ETH.contract(**ORDER["box"]).constructor(7).data_in_transaction)
    salt = keccak(text=NAME)
    deployer = HexBytes(ORDER["deployer"])
    predicted = to_checksum_address(keccak(b"\xff" + deployer + salt + keccak(code))[12:])
    before = ETH.get_code(predicted).to_0x_hex()
    receipt = send(to=ORDER["deployer"], data=salt + code)
    made = ETH.contract(address=predicted, abi=ORDER["box"]["abi"])
    return {
        "status": receipt["status"],
        "before": before,
        "value": made.functions.value().call(),
    }


def multicall() -> dict[str, Any]:
    def struct(name: str, **fields: str) -> dict[str, Any]:
        parts = [{"name": key, "type": kind} for key, kind in fields.items()]
        return {"name": name, "type": "tuple[]", "components": parts}

    abi = {
        "type": "function",
        "name": "aggregate3",
        "stateMutability": "payable",
        "inputs": [struct("calls", target="address", allowFailure="bool", callData="bytes")],
        "outputs": [struct("returnData", success="bool", returnData="bytes")],
    }
    many = ETH.contract(address=to_checksum_address(ORDER["multicall"]), abi=[abi])
    functions = Token.contract.functions
    calls = [functions.symbol(), functions.refuse(1), functions.refuse(9)]
    packed = [(Token.contract.address, True, call._encode_transaction_data()) for call in calls]
    results = many.functions.aggregate3(packed).call()
    return {
        "succeeded": [success for success, _ in results],
        "symbol": WEB3.codec.decode(["string"], results[0][1])[0],
        "refusal": name_of_error(HexBytes(results[1][1]).to_0x_hex()),
        "number": WEB3.codec.decode(["uint256"], results[2][1])[0],
    }


def revert_reasons() -> dict[str, Any]:
    functions = Token.contract.functions
    words, custom, panic, silent = (refusal(functions.refuse(kind).call) for kind in range(4))
    assert isinstance(custom, ContractCustomError) and isinstance(panic, ContractPanicError)
    types = error_named("TooMany")[1]
    mined = execute(functions.transfer(FRIEND, 5 * 10**21), gas=100_000)
    return {
        "words": words.message.removeprefix("execution reverted: "),
        "custom": [
            name_of_error(str(custom.data)),
            *WEB3.codec.decode(types, HexBytes(str(custom.data))[4:]),
        ],
        "panic": int(str(panic.data)[-64:], 16),
        "silent": silent.data if silent.data != "no data" else "0x",
        "mined": mined["status"],
    }


def nonces() -> dict[str, Any]:
    nonce = ETH.get_transaction_count(ME.address, "pending")

    def draft(number: int, most: int) -> HexBytes:
        fields = {
            "chainId": ETH.chain_id,
            "nonce": number,
            "to": FRIEND,
            "value": 1,
            "gas": 21_000,
            "maxFeePerGas": most,
            "maxPriorityFeePerGas": most // 10,
        }
        return HexBytes(ETH.send_raw_transaction(ME.sign_transaction(fields).raw_transaction))

    high = 40 * GWEI
    early = draft(nonce + 1, high)
    pending = ETH.get_transaction_count(ME.address, "pending")
    cheap = refusal(lambda: draft(nonce + 1, high + 1))
    better = draft(nonce + 1, 2 * high)
    first = draft(nonce, high)
    receipts = [
        ETH.wait_for_transaction_receipt(sent, SECONDS_MAX, 0.02) for sent in (first, better)
    ]
    late = refusal(lambda: draft(nonce, high))
    gone = refusal(lambda: ETH.get_transaction_receipt(early))
    underpriced = "replacement transaction underpriced" in str(cheap)
    return {
        "waits": pending == nonce,
        "replaced": isinstance(gone, TransactionNotFound),
        "statuses": [receipt["status"] for receipt in receipts],
        "cheap": "underpriced" if underpriced else str(cheap),
        "late": "too low" if "nonce too low" in str(late) else str(late),
    }


def access_list() -> dict[str, Any]:
    made = deployed("box", 1)
    data = made.functions.set(5)._encode_transaction_data()
    call = {"from": ME.address, "to": made.address, "data": data}
    found = ETH.create_access_list(call, "latest")["accessList"]
    listed = [
        {
            "address": e["address"],
            "storageKeys": [HexBytes(k).to_0x_hex() for k in e["storageKeys"]],
        }
        for e in found
    ]
    receipts = [
        send(to=made.address, data=data, accessList=listed, gasPrice=50 * GWEI),
        send(to=made.address, data=data, accessList=listed),
    ]
    stored = ETH.get_transaction(receipts[0]["transactionHash"])["accessList"]
    return {
        "listed": [[e["address"], [HexBytes(k).hex() for k in e["storageKeys"]]] for e in stored],
        "target": made.address,
        "types": [receipt["type"] for receipt in receipts],
        "statuses": [receipt["status"] for receipt in receipts],
    }


def delegation() -> dict[str, Any]:
    authority = Account.from_key(keccak(text=f"{NAME} authority"))
    made = deployed("routine")

    def delegate(target: str, nonce: int, data: str) -> Any:
        terms = {"chainId": ETH.chain_id, "address": target, "nonce": nonce}
        signed = [authority.sign_authorization(terms)]
        return send(to=authority.address, data=data, authorizationList=signed)

    receipt = delegate(made.address, 0, made.functions.run(9)._encode_transaction_data())
    (ran,) = made.events.Ran().process_receipt(receipt)
    during = ETH.get_code(authority.address).to_0x_hex()
    delegate("0x" + "00" * 20, 1, "0x")
    return {
        "type": receipt["type"],
        "authority": authority.address,
        "ran": [ran["args"]["account"], ran["args"]["number"]],
        "during": during,
        "expected": "0xef0100" + made.address[2:].lower(),
        "after": ETH.get_code(authority.address).to_0x_hex(),
    }


def proof() -> dict[str, Any]:
    made = deployed("box", 77)
    block = ETH.get_block("latest")

    def prove(root: bytes, key: bytes, nodes: Any) -> bytes:
        listed = [rlp.decode(node) for node in nodes]
        return bytes(HexaryTrie.get_from_proof(root, keccak(key), listed))

    given = ETH.get_proof(made.address, [0, 1], block["number"])
    leaf: Any = rlp.decode(prove(block["stateRoot"], HexBytes(made.address), given["accountProof"]))
    held = [
        prove(leaf[2], slot.to_bytes(32, "big"), given["storageProof"][slot]["proof"])
        for slot in (0, 1)
    ]
    nobody = keccak(text=f"{NAME} nobody")[12:]
    absent = ETH.get_proof(to_checksum_address(nobody), [], block["number"])
    return {
        "nonce": int.from_bytes(leaf[0], "big"),
        "code": leaf[3] == keccak(ETH.get_code(made.address)),
        "value": int.from_bytes(rlp.decode(held[0]), "big"),
        "empty": held[1].hex() or None,
        "absent": prove(block["stateRoot"], nobody, absent["accountProof"]).hex() or None,
    }


def fork() -> dict[str, Any]:
    there: Any = Web3(HTTPProvider(ORDER["fork"])).eth
    abi = ORDER["voucher"]["abi"]
    address = to_checksum_address(ORDER["token"])
    same = there.contract(address=address, abi=abi)
    held = same.functions.balanceOf(ME.address).call()
    nobody = "0x" + "00" * 20
    mints = same.events.Transfer.get_logs(from_block=0, argument_filters={"from": nobody})
    call = same.functions.transfer(FRIEND, 5)
    nonce = there.get_transaction_count(ME.address, "pending")
    signed = ME.sign_transaction(call.build_transaction({"from": ME.address, "nonce": nonce}))
    sent = there.send_raw_transaction(signed.raw_transaction)
    receipt = there.wait_for_transaction_receipt(sent, SECONDS_MAX, 0.02)
    source = ETH.contract(address=address, abi=abi)
    return {
        "held": held,
        "mints": len(mints),
        "status": receipt["status"],
        "left": same.functions.balanceOf(ME.address).call(),
        "untouched": source.functions.balanceOf(ME.address).call(),
    }


def snapshots() -> dict[str, Any]:
    before, height = ETH.get_balance(FRIEND), ETH.block_number
    taken = WEB3.provider.make_request("evm_snapshot", [])["result"]
    send(to=FRIEND, value=5, gas=21_000)
    between = ETH.get_balance(FRIEND)
    undone = WEB3.provider.make_request("evm_revert", [taken])["result"]
    return {
        "gained": between - before,
        "undone": undone,
        "left": ETH.get_balance(FRIEND) - before,
        "climbed": ETH.block_number - height,
    }


perform(
    deploy,
    events_by_filter,
    subscription,
    log_query,
    fees,
    permit,
    create2,
    multicall,
    revert_reasons,
    nonces,
    access_list,
    delegation,
    proof,
    snapshots,
    fork,
)
