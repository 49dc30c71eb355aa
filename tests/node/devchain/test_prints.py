"""What contracts print, and contracts called by their names."""

import json
from pathlib import Path

import pytest

from chain.abi import encode, encode_call, selector
from chain.errors import Reason, Rejected
from chain.types import Address
from node.dev import call_lines
from node.devchain.aloud import Aloud
from node.devchain.artefacts import Artefacts
from node.devchain.prints import CONSOLE, LINES_MAX, Prints, printed
from node.testing import Ledger, RequestError
from tests.support.daemon import DEV_ADDRESSES, RpcFailure, start

SOURCE = """
# pragma version ~=0.4.0
counted: uint256
LIMIT: immutable(uint256)

@deploy
def __init__(limit: uint256):
    LIMIT = limit

@external
def count(by: uint256):
    print("counting by", by)
    print("limit %d", LIMIT, hardhat_compat=True)
    self.counted += by
    assert self.counted <= LIMIT, "too many"
"""


@pytest.mark.parametrize(
    ("signature", "values", "line"),
    [
        ("log()", (), ""),
        ("log(string)", ("hello",), "hello"),
        ("log(string)", ("100%s %d",), "100%s %d"),
        ("log(uint256)", (7,), "7"),
        ("log(uint)", (7,), "7"),
        ("log(int256)", (-7,), "-7"),
        ("log(int)", (-7,), "-7"),
        ("log(bool)", (True,), "true"),
        ("log(address)", (bytes(19) + b"\x01",), "0x" + "00" * 19 + "01"),
        ("log(bytes)", (b"\xab",), "0xab"),
        ("log(bytes4)", (b"\xab\xcd\x00\x01",), "0xabcd0001"),
        ("log(string,uint256)", ("a %d b", 5), "a 5 b"),
        ("log(string,uint)", ("a", 5), "a 5"),
        ("log(string,string,bool,uint256)", ("%s is %s: %%", "it", False, 3), "it is false: % 3"),
        ("log(uint256,string)", (1, "%s"), "1 %s"),
        ("log(string)", ("a%%b",), "a%b"),
        (
            "log(address)",
            (bytes(18) + b"\xab\xcd",),
            "0x" + "00" * 18 + "ABcD",
        ),
        ("log(int128)", (-7,), "-7"),
        ("log(bytes32,uint8,int128)", (bytes(31) + b"\x01", 2, -3), "0x" + "00" * 31 + "01 2 -3"),
        ("log(string,bool)", ("", True), "true"),
        ("log(string,bool)", ("%d", True), "1"),
        ("log(string,bool)", ("%i", True), "NaN"),
        ("log(string,string)", ("%d", "12"), "NaN"),
        ("log(string,string)", ("%o", "12"), "'12'"),
        ("log(string,uint256)", ("%o", 12), "12"),
        ("log(string,string)", ("%j", "a\n"), '"a\\n"'),
        ("log(string,string)", ("%cred", "color: red"), "red"),
        ("log(string,uint256)", ("%x", 255), "0xff"),
        ("log(string,uint256)", ("%x", 0), "0x"),
        ("log(string,int256)", ("%x", -1), "0x" + "ff" * 32),
        ("log(string,bool)", ("%x", True), "NaN"),
        ("log(string,uint256)", ("%e", 1500000), "1.5e6"),
        ("log(string,uint256)", ("%e", 0), "0e0"),
        ("log(string,int256)", ("%e", -10), "-1e1"),
        ("log(string,string)", ("%e", "1"), "NaN"),
        ("log(string,uint256)", ("%18e", 1500000000000000000), "1.5"),
        ("log(string,uint256)", ("%18ether", 10**18), "1ther"),
        ("log(string,int256)", ("%2e", -5), "-0.05"),
        ("log(string,uint256)", ("%0e", 5), "5"),
        ("log(string,uint256)", ("%100e", 5), "%100e 5"),
        ("log(string,uint256)", ("%s %s", 5), "5 %s"),
        ("log(string,uint256)", ("%z%", 5), "%z% 5"),
    ],
)
def test_a_print_reads_as_its_writer_meant_it(
    signature: str, values: tuple[object, ...], line: str
) -> None:
    types = signature[4:-1].split(",") if signature != "log()" else []
    named = [{"uint": "uint256", "int": "int256"}.get(kind, kind) for kind in types]
    assert printed(selector(signature) + encode(named, values)) == line


def test_a_print_of_several_lines_is_several_and_does_nothing_to_a_terminal() -> None:
    watcher = Prints()
    text = encode_call("log(string)", "two\nlines\t\x1b[31mred")
    watcher.on_enter("STATICCALL", CONSOLE, CONSOLE, CONSOLE, text, 0, 0)
    assert watcher.lines == ["two", "lines\t\\x1b[31mred"]


def test_a_transaction_prints_so_many_lines_at_most() -> None:
    watcher = Prints()
    for _ in range(2):
        text = encode_call("log(string)", "\n" * (LINES_MAX - 2))
        watcher.on_enter("STATICCALL", CONSOLE, CONSOLE, CONSOLE, text, 0, 0)
    assert len(watcher.lines) == LINES_MAX


def test_vypers_own_print_brings_its_types() -> None:
    payload = encode(("uint256", "(bool,string)[]"), (4, [(True, "x"), (False, "y")]))
    data = encode_call("log(string,bytes)", "(uint256,(bool,string)[])", payload)
    assert printed(data) == "4 [[true, x], [false, y]]"
    assert printed(encode_call("log(string,bytes)", "()", b"")) == ""


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        b"\xff" * 40,
        selector("log(string)"),
        selector("log(string,bytes)") + bytes(64),
    ],
)
def test_what_makes_no_sense_is_shown_in_hex(data: bytes) -> None:
    assert printed(data).startswith("0x") or printed(data) == ""


def _compiled(folder: Path) -> str:
    """The contract as a compiler's file; its creation code."""
    compiler = pytest.importorskip("vyper", reason="vyper is not installed")
    formats = ["abi", "bytecode", "bytecode_runtime"]
    made = compiler.compile_code(SOURCE, output_formats=formats)
    runtime = made["bytecode_runtime"]
    # Vyper keeps immutables behind the code, where the deployment puts them.
    document = {
        "contractName": "Counter",
        "abi": [*made["abi"], {"type": "error", "name": "Odd", "inputs": [{"type": "uint8"}]}],
        "bytecode": {"object": made["bytecode"]},
        "deployedBytecode": {
            "object": runtime + "00" * 32,
            "immutableReferences": {"1": [{"start": len(runtime) // 2 - 1, "length": 32}]},
        },
    }
    (folder / "Counter.json").write_text(json.dumps(document))
    code: str = made["bytecode"]
    return code


def test_a_ledger_in_the_process_prints_what_its_contracts_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lines of a transaction that fails as well, and of calls; of estimates where they fail."""
    code = _compiled(tmp_path)
    with Ledger(accounts=1) as ledger:
        sender = {"from": ledger.accounts[0]}
        data = code + f"{5:064x}"
        sent = ledger.request("eth_sendTransaction", {**sender, "data": data})
        where = ledger.request("eth_getTransactionReceipt", sent)["contractAddress"]
        call = {**sender, "to": where, "gas": "0x30d40"}
        count = "0x" + encode_call("count(uint256)", 3).hex()
        ledger.request("eth_sendTransaction", {**call, "data": count})
        ledger.request("eth_sendTransaction", {**call, "data": count})
        assert capsys.readouterr().out.splitlines() == ["counting by 3", "limit 5"] * 2
        for method in ("eth_call", "eth_estimateGas"):
            with pytest.raises(RequestError, match="too many"):
                ledger.request(method, {**call, "data": count}, "latest")
            assert capsys.readouterr().out.splitlines() == ["counting by 3", "limit 5"]
        fitting = "0x" + encode_call("count(uint256)", 2).hex()
        ledger.request("eth_estimateGas", {**call, "data": fitting}, "latest")
        assert capsys.readouterr().out == ""
        for block in ("latest", "pending", "0x1"):
            ledger.request("eth_call", {**call, "data": fitting}, block)
            assert capsys.readouterr().out.splitlines() == ["counting by 2", "limit 5"]


def test_artefacts_know_contracts_functions_and_errors(tmp_path: Path) -> None:
    code = bytes.fromhex(_compiled(tmp_path)[2:])
    (tmp_path / "nonsense.json").write_text("{")
    (tmp_path / "other.json").write_text('{"abi": [5, {"type": "function", "inputs": 7}]}')
    (tmp_path / "list.json").write_text("[]")
    artefacts = Artefacts([tmp_path])
    assert len(artefacts) == 1
    found = artefacts.created_by(code + bytes(32))
    assert found is not None
    assert found.name == "Counter"
    assert artefacts.created_by(b"\x00") is None
    assert artefacts.with_code(b"") is None
    on_chain = found.runtime[:-32] + (5).to_bytes(32, "big")
    assert artefacts.with_code(on_chain) is found
    assert artefacts.with_code(on_chain[:-33] + bytes(33)) is not found
    data = encode_call("count(uint256)", 9)
    assert found.functions[data[:4]].of(data[4:]) == "count(9)"
    assert found.functions[data[:4]].of(b"") == "count(?)"
    assert artefacts.error(selector("Odd(uint8)") + encode(("uint8",), (3,))) == "Odd(3)"
    assert artefacts.error(b"\x00" * 4) is None


def test_a_contract_of_several_compilers_goes_by_its_own_name(tmp_path: Path) -> None:
    """Foundry puts the compiler's version, or a profile, into the names of such files."""
    target = {"settings": {"compilationTarget": {"src/Counter.sol": "Counter"}}}
    document = {"abi": [], "deployedBytecode": {"object": "0x6002"}, "metadata": target}
    (tmp_path / "Counter.0.8.20.json").write_text(json.dumps(document))
    document = {"abi": [], "deployedBytecode": {"object": "0x6003"}, "metadata": "a text"}
    (tmp_path / "Other.json").write_text(json.dumps(document))
    artefacts = Artefacts([tmp_path])
    found = [artefacts.with_code(code) for code in (b"\x60\x02", b"\x60\x03")]
    assert [each and each.name for each in found] == ["Counter", "Other"]


def test_what_a_proxy_is_asked_goes_by_the_name_of_another_contracts_function(
    tmp_path: Path,
) -> None:
    count = {"type": "function", "name": "count", "inputs": [{"type": "uint256"}]}
    for name, abi, code in (
        ("Counter", [count], "0x6001"),
        ("Proxy", [{"type": "fallback"}], "0x6002"),
        ("Other", [], "0x6003"),
    ):
        document = {"abi": abi, "deployedBytecode": {"object": code}}
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    artefacts = Artefacts([tmp_path])
    told = {}
    for last in b"\x01\x02\x03":
        contract = artefacts.with_code(bytes((0x60, last)))
        assert contract is not None
        told[contract.name] = artefacts.function(contract, encode_call("count(uint256)", 9))
        assert artefacts.function(contract, b"") is None
    assert told == {"Counter": "count(9)", "Proxy": "count(9)", "Other": None}


@pytest.mark.parametrize(
    "code",
    ["6001", "363d3d373d3d3d363d73{}5af43d82803e903d91602b57fd5bf3", "ef0100{}"],
    ids=["itself", "minimal-proxy", "delegated"],
)
def test_what_runs_anothers_code_goes_by_its_name(code: str, tmp_path: Path) -> None:
    document = {"abi": [], "deployedBytecode": {"object": "0x6001"}}
    (tmp_path / "Counter.json").write_text(json.dumps(document))
    here, there = Address(bytes(19) + b"\x01"), Address(bytes(19) + b"\x02")
    codes = {here: bytes.fromhex(code.format(there.hex())), there: b"\x60\x01"}
    call = Aloud("eth_call", here, b"", None, b"", ["one", "two"])
    told = call_lines(call, Artefacts([tmp_path]), codes.__getitem__)
    assert told == f"eth_call  to 0x{here.hex()}  Counter\n    | one\n    | two"


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Rejected) as refused:
        Artefacts([tmp_path / "absent"])
    assert refused.value.reason is Reason.BAD_SETTING


def test_the_daemons_lines_name_contracts_and_functions(tmp_path: Path) -> None:
    code = _compiled(tmp_path)
    daemon = start("dev", "--ephemeral", "--artifacts", str(tmp_path))
    try:
        sender = {"from": DEV_ADDRESSES[0], "gas": hex(10**6)}
        sent = daemon.rpc.call("eth_sendTransaction", {**sender, "data": code + f"{5:064x}"})
        where = daemon.rpc.wait_for_receipt(sent)["contractAddress"]
        for by in (3, 4):
            data = "0x" + encode_call("count(uint256)", by).hex()
            daemon.rpc.call("eth_sendTransaction", {**sender, "to": where, "data": data})
        asked = {**sender, "to": where, "data": "0x" + encode_call("count(uint256)", 2).hex()}
        daemon.rpc.call("eth_call", asked, "latest")
        asked["data"] = "0x" + encode_call("count(uint256)", 7).hex()
        with pytest.raises(RpcFailure, match="too many"):
            daemon.rpc.call("eth_call", asked, "latest")
    finally:
        assert daemon.stop() == 0
    text = "\n".join(daemon.output)
    assert f"creates {where}  Counter  " in text
    assert f"to {where}  Counter.count(3)  " in text
    assert "\n    | counting by 3\n    | limit 5\n" in text
    assert "Counter.count(4)  value 0" in text
    assert "FAILED (execution reverted: too many)" in text
    called = f"eth_call  to {where}  Counter.count(2)\n    | counting by 2\n    | limit 5\n"
    assert called in text
    failed = (
        f"eth_call  to {where}  Counter.count(7)  FAILED (execution reverted: too many)\n    | "
    )
    assert failed in text
    assert not any("Traceback" in line for line in daemon.errors)


def test_each_transaction_of_a_block_prints_what_it_saw(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Others between those that print, one that fails, and one that prints by itself."""
    code = _compiled(tmp_path)
    with Ledger(accounts=2) as ledger:
        sender = {"from": ledger.accounts[0], "gas": "0x30d40"}
        data = code + f"{5:064x}"
        sent = ledger.request("eth_sendTransaction", {"from": ledger.accounts[0], "data": data})
        where = ledger.request("eth_getTransactionReceipt", sent)["contractAddress"]
        count = "0x" + encode_call("count(uint256)", 2).hex()
        words = "0x" + encode_call("log(string)", "to nobody").hex()
        ledger.request("evm_setAutomine", False)
        calls = [
            {"to": ledger.accounts[1], "value": "0x1"},
            {"to": where, "data": count},
            {"to": ledger.accounts[1], "value": "0x1"},
            {"to": where, "data": count},
            {"to": where, "data": count},
            {"to": "0x" + CONSOLE.hex(), "data": words},
        ]
        hashes = [ledger.request("eth_sendTransaction", {**sender, **call}) for call in calls]
        ledger.mine()
        receipts = [ledger.request("eth_getTransactionReceipt", each) for each in hashes]
        assert len({receipt["blockHash"] for receipt in receipts}) == 1
        statuses = [receipt["status"] for receipt in receipts]
        assert statuses == ["0x1"] * 4 + ["0x0", "0x1"]
    lines = ["counting by 2", "limit 5"] * 3
    assert capsys.readouterr().out.splitlines() == [*lines, "to nobody"]
