"""Every capability through Foundry: forge creates and broadcasts, cast does the rest. Reports as
tests/support/capabilities.py expects."""

import json
import os
import re
import subprocess
import threading
from typing import Any

from stage import ORDER, perform

NAME, RPC, FRIEND, KEY = ORDER["name"], ORDER["rpc"], ORDER["friend"], ORDER["key"]
CAST, FORGE, PROJECT = ORDER["cast"], ORDER["forge"], ORDER["project"]
SECONDS_MAX = 240
ATTEMPTS_MAX = 20
EVENT = re.compile(r"data: (0x\w+).*?topics: \[([^]]*)\]", re.DOTALL)
FOUND: dict[str, str] = {}  # what later scenarios need of earlier ones


class Refused(Exception):
    """A command ended with an error; its words."""


def run(*words: str, **environment: str) -> str:
    done = subprocess.run(
        words,
        cwd=PROJECT,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    if done.returncode:
        raise Refused(done.stderr.strip() or done.stdout.strip())
    return done.stdout.strip()


def cast(command: str, *words: str) -> str:
    return run(CAST, *command.split(), *words)


def ask(command: str, *words: str) -> str:
    return cast(command, *words, "--rpc-url", RPC)


def ask_json(command: str, *words: str) -> Any:
    return json.loads(ask(command, *words, "--json"))


def rpc(method: str, *parameters: Any) -> Any:
    return json.loads(ask("rpc", method, *(json.dumps(item) for item in parameters)))


def send(*words: str) -> Any:
    return json.loads(ask("send", *words, "--private-key", KEY, "--json"))


def status(sent: str) -> int:
    """Of a transaction, waited for: 1 or 0."""
    return ("false", "true").index(ask("receipt", sent, "status").split()[0])


def refusal(action: Any) -> str:
    try:
        action()
    except Refused as error:
        return str(error)
    return ""


def data_of(words: str) -> str:
    """The data in cast's words about a revert."""
    return words.partition('data: "')[2].partition('"')[0]


def transfers(logs: Any) -> list[dict[str, Any]]:
    return [
        {
            "from": "0x" + log["topics"][1][26:],
            "to": "0x" + log["topics"][2][26:],
            "value": int(log["data"], 16),
        }
        for log in logs
    ]


def create(contract: str, *arguments: str) -> Any:
    words = ["--rpc-url", RPC, "--private-key", KEY, "--broadcast", "--json"]
    given = ["--constructor-args", *arguments] if arguments else []
    return json.loads(run(FORGE, "create", f"src/Voucher.sol:{contract}", *words, *given))


def deploy() -> dict[str, Any]:
    made = create("Voucher", str(10**21))
    FOUND["token"] = token = made["deployedTo"]
    return {
        "status": status(made["transactionHash"]),
        "address": token,
        "code": ask("code", token),
        "name": json.loads(ask("call", token, "name()(string)")),
        "supply": int(ask("call", token, "totalSupply()(uint256)").split()[0]),
    }


def subscription() -> dict[str, Any]:
    token = FOUND["token"]
    listener = subprocess.Popen(
        [CAST, "logs", "--subscribe", "--address", token, "--rpc-url", ORDER["ws"]],
        stdout=subprocess.PIPE,
        text=True,
    )
    heard: list[Any] = []

    def listen() -> None:
        assert listener.stdout is not None
        text = ""
        while len(for_friend(heard)) < 2 and (line := listener.stdout.readline()):
            text += line
            heard[:] = [
                {"data": data, "topics": topics.split()} for data, topics in EVENT.findall(text)
            ]

    reader = threading.Thread(target=listen, daemon=True)
    reader.start()
    try:
        for _ in range(ATTEMPTS_MAX):  # until it listens
            send(token, "transfer(address,uint256)", ORDER["deployer"], "1")
            if heard:
                break
        for amount in ("21", "22"):
            send(token, "transfer(address,uint256)", FRIEND, amount)
        reader.join(SECONDS_MAX)
    finally:
        listener.kill()
        listener.wait()
    return {"events": for_friend(heard), "heads": None}


def for_friend(logs: Any) -> list[dict[str, Any]]:
    return [entry for entry in transfers(logs) if entry["to"] == FRIEND.lower()]


def log_query() -> dict[str, Any]:
    first = str(int(ask("block-number")) + 1)
    token = FOUND["token"]
    for amount in ("31", "32"):
        send(token, "transfer(address,uint256)", FRIEND, amount)
    event = "Transfer(address indexed,address indexed,uint256)"
    words = ["--from-block", first, "--address", token, event]
    nobody = "0x" + "00" * 19 + "77"
    return {
        "events": transfers(ask_json("logs", *words, "", FRIEND)),
        "others": len(ask_json("logs", *words, "", nobody)),
    }


def fees() -> dict[str, Any]:
    suggested = int(ask("gas-price"))
    fields = ["--gas-price", "50gwei", "--priority-gas-price", "1gwei"]
    receipt = send(FRIEND, "--value", "1", *fields)
    block = ask_json("block", str(int(receipt["blockNumber"], 16)))
    history = rpc("eth_feeHistory", "0x1", receipt["blockNumber"], [50])
    price, gas = int(receipt["effectiveGasPrice"], 16), int(receipt["gasUsed"], 16)
    before = int(ask("balance", ORDER["me"], "--block", str(int(receipt["blockNumber"], 16) - 1)))
    after = int(ask("balance", ORDER["me"], "--block", str(int(receipt["blockNumber"], 16))))
    return {
        "type": receipt["type"],
        "suggested": suggested,
        "base": int(block["baseFeePerGas"], 16),
        "tip": 10**9,
        "most": 50 * 10**9,
        "price": price,
        "paid": before - after - 1,
        "gas": gas,
        "history": int(history["baseFeePerGas"][0], 16),
        "reward": int(history["reward"][0][0], 16),
    }


def permit() -> dict[str, Any]:
    token, me = FOUND["token"], ORDER["me"]
    key = cast("keccak", f"{NAME} holder")
    holder = cast("wallet address", key)
    fields = ["owner:address", "spender:address", "value:uint256", "nonce:uint256"]
    domain = ["name:string", "version:string", "chainId:uint256", "verifyingContract:address"]
    typed = {
        "types": {
            "EIP712Domain": [dict(zip(("name", "type"), f.split(":"))) for f in domain],
            "Permit": [
                dict(zip(("name", "type"), f.split(":"))) for f in [*fields, "deadline:uint256"]
            ],
        },
        "primaryType": "Permit",
        "domain": {
            "name": "Voucher",
            "version": "1",
            "chainId": int(ask("chain-id")),
            "verifyingContract": token,
        },
        "message": {"owner": holder, "spender": me, "value": 5, "nonce": 0, "deadline": 2**40},
    }
    signed = cast("wallet sign", "--private-key", key, "--data", json.dumps(typed))
    parts = [holder, me, "5", str(2**40), str(int(signed[130:], 16))]
    parts += [signed[:66], "0x" + signed[66:130]]
    call = "permit(address,address,uint256,uint256,uint8,bytes32,bytes32)"
    send(token, call, *parts)
    again = refusal(lambda: ask("call", token, call, *parts, "--from", me))
    invalid = cast("sig", "ERC2612InvalidSigner(address,address)")
    return {
        "allowance": ask("call", token, "allowance(address,address)(uint256)", holder, me),
        "nonce": ask("call", token, "nonces(address)(uint256)", holder),
        "again": "ERC2612InvalidSigner" if data_of(again).startswith(invalid) else again,
    }


def create2() -> dict[str, Any]:
    code = ORDER["box"]["bytecode"] + (7).to_bytes(32, "big").hex()
    salt = cast("keccak", NAME)
    words = ["--deployer", ORDER["deployer"], "--salt", salt, "--init-code", code]
    predicted = "0x" + cast("create2", *words).partition("0x")[2][:40]
    before = ask("code", predicted)
    receipt = send(ORDER["deployer"], salt + code[2:])
    return {
        "status": int(receipt["status"], 16),
        "before": before,
        "value": ask("call", predicted, "value()(uint256)"),
    }


def multicall() -> dict[str, Any]:
    calls = [["symbol()"], ["refuse(uint256)", "1"], ["refuse(uint256)", "9"]]
    packed = ",".join(f"({FOUND['token']},true,{cast('calldata', *call)})" for call in calls)
    shape = "aggregate3((address,bool,bytes)[])((bool,bytes)[])"
    ((results),) = ask_json("call", ORDER["multicall"], shape, f"[{packed}]")
    if isinstance(results, str):
        results = [part.split(", ") for part in results.strip("[()]").split("), (")]
    flags = [str(success).lower() == "true" for success, _ in results]
    refused = cast("decode-error", "--sig", "TooMany(uint256,uint256)", results[1][1])
    return {
        "succeeded": flags,
        "symbol": json.loads(cast("decode-abi", "f()(string)", results[0][1])),
        "refusal": "TooMany" if refused.split() == ["7", "5"] else refused,
        "number": cast("decode-abi", "f()(uint256)", results[2][1]),
    }


def revert_reasons() -> dict[str, Any]:
    token = FOUND["token"]
    words = [
        refusal(lambda kind=kind: ask("call", token, "refuse(uint256)", str(kind)))
        for kind in range(4)
    ]
    fields = ["--gas-limit", "100000", "--async"]
    sent = ask(
        "send",
        *(token, "transfer(address,uint256)", FRIEND, str(5 * 10**21)),
        *(*fields, "--private-key", KEY),
    )
    custom = cast("decode-error", "--sig", "TooMany(uint256,uint256)", data_of(words[1]))
    return {
        "words": words[0].partition("execution reverted: ")[2].partition(",")[0],
        "custom": ["TooMany", *custom.split()],
        "panic": int(data_of(words[2])[-64:], 16),
        "silent": data_of(words[3]),
        "mined": status(sent),
    }


def nonces() -> dict[str, Any]:
    nonce = int(ask("nonce", ORDER["me"], "--block", "pending"))

    def draft(number: int, gwei: int) -> str:
        fields = ["--gas-price", f"{gwei}gwei", "--priority-gas-price", f"{gwei / 10}gwei"]
        words = ["--nonce", str(number), "--gas-limit", "21000", "--async", "--private-key", KEY]
        return ask("send", FRIEND, "--value", "1", *fields, *words)

    early = draft(nonce + 1, 40)
    pending = int(ask("nonce", ORDER["me"], "--block", "pending"))
    cheap = refusal(lambda: draft(nonce + 1, 41))
    better = draft(nonce + 1, 80)
    first = draft(nonce, 40)
    statuses = [status(sent) for sent in (first, better)]
    late = refusal(lambda: draft(nonce, 40))
    gone = refusal(lambda: ask("receipt", early, "--async"))
    return {
        "waits": pending == nonce,
        "replaced": "not found" in gone,
        "statuses": statuses,
        "cheap": "underpriced" if "replacement transaction underpriced" in cheap else cheap,
        "late": "too low" if "nonce too low" in late else late,
    }


def access_list() -> dict[str, Any]:
    target = create("Box", "1")["deployedTo"]
    call = [target, "set(uint256)", "5"]
    found = ask_json("access-list", *call, "--from", ORDER["me"])["accessList"]
    receipts = [
        send(*call, "--access-list", json.dumps(found), *kind) for kind in (["--legacy"], [])
    ]
    stored = ask_json("tx", receipts[1]["transactionHash"])["accessList"]
    return {
        "listed": [[entry["address"], entry["storageKeys"]] for entry in stored],
        "target": target,
        "types": [int(receipt["type"], 16) for receipt in receipts],
        "statuses": [int(receipt["status"], 16) for receipt in receipts],
    }


def delegation() -> dict[str, Any]:
    key = cast("keccak", f"{NAME} authority")
    authority = cast("wallet address", key)
    code = create("Routine")["deployedTo"]

    def delegate(target: str, nonce: str, *call: str) -> Any:
        signed = ask("wallet sign-auth", target, "--private-key", key, "--nonce", nonce)
        return send(authority, *call, "--auth", signed, "--gas-limit", "200000")

    receipt = delegate(code, "0", "run(uint256)", "9")
    (log,) = receipt["logs"]
    during = ask("code", authority)
    delegate("0x" + "00" * 20, "1")
    return {
        "type": int(receipt["type"], 16),
        "authority": authority,
        "ran": ["0x" + log["topics"][1][26:], int(log["data"], 16)],
        "during": during,
        "expected": "0xef0100" + code[2:].lower(),
        "after": ask("code", authority),
    }


def snapshots() -> dict[str, Any]:
    before, height = int(ask("balance", FRIEND)), int(ask("block-number"))
    taken = rpc("evm_snapshot")
    send(FRIEND, "--value", "5")
    between = int(ask("balance", FRIEND))
    return {
        "gained": between - before,
        "undone": rpc("evm_revert", taken),
        "left": int(ask("balance", FRIEND)) - before,
        "climbed": int(ask("block-number")) - height,
    }


def script() -> dict[str, Any]:
    words = ["--rpc-url", RPC, "--private-key", KEY, "--broadcast", "--slow"]
    if not ORDER["slow"]:
        words.remove("--slow")
    salt = str(int(cast("keccak", NAME), 16) >> 8)
    run(
        FORGE,
        "script",
        "script/Deploy.s.sol:Deploy",
        *words,
        "--sig",
        "run(uint256)",
        salt,
        FRIEND=FRIEND,
    )
    folder = os.path.join(PROJECT, "broadcast", "Deploy.s.sol", ask("chain-id"))
    with open(os.path.join(folder, "run-latest.json")) as file:
        told = json.load(file)
    token, box = (told["transactions"][place]["contractAddress"] for place in (0, 1))
    return {
        "statuses": [int(receipt["status"], 16) for receipt in told["receipts"]],
        "kinds": [entry["transactionType"] for entry in told["transactions"]],
        "given": ask("call", token, "balanceOf(address)(uint256)", FRIEND),
        "value": ask("call", box, "value()(uint256)"),
    }


def forked_by_it() -> dict[str, Any]:
    out = run(
        *(FORGE, "test", "--fork-url", RPC, "--json"),
        TOKEN=FOUND["token"],
        HOLDER=ORDER["me"],
    )
    ((suite),) = json.loads(out).values()
    return {"results": [result["status"] for result in suite["test_results"].values()]}


perform(
    deploy,
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
    snapshots,
    script,
    forked_by_it,
)
