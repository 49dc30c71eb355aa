"""chain-wallet as its users run it: arguments in; stdout, stderr and an exit code out."""

import io
import json
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from eth_account import Account
from eth_typing import HexStr
from msgspec import Struct

from chain.crypto.secp256k1 import recover
from chain.transactions import Kind
from tests.wallet.fake_node import FakeNode, RpcError, fake_node
from wallet.__main__ import main
from wallet.addresses import checksum_address, parse_address
from wallet.outcome import Exit

TEST_PHRASE = "test test test test test test test test test test test junk"
KEY: Final = HexStr("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
ADDRESS = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
FRIEND = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
COIN = 10**18


class Ended(Struct):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Wallet = Callable[..., Ended]


@pytest.fixture
def node() -> Iterator[FakeNode]:
    with fake_node() as node:
        yield node


@pytest.fixture
def wallet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Wallet:
    """Runs a command with a key folder of its own, a password and no node."""
    monkeypatch.setenv("CHAIN_WALLET_KEYSTORE", str(tmp_path / "keys"))
    monkeypatch.setenv("CHAIN_WALLET_PASSWORD", "secret")
    monkeypatch.setenv("CHAIN_WALLET_RPC", "http://127.0.0.1:1")
    monkeypatch.setattr("sys.stdin", io.StringIO(""))

    def run(*words: str) -> Ended:
        code = main(words)
        out, err = capsys.readouterr()
        return Ended(code, out, err)

    return run


@pytest.fixture
def funded(wallet: Wallet, node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> Wallet:
    """The same with the key of ADDRESS, and `node` to talk to."""
    monkeypatch.setenv("CHAIN_WALLET_RPC", node.url)
    assert wallet("import", "--private-key", KEY, "--light").code == Exit.OK
    return wallet


# -- keys ----------------------------------------------------------------------------------


def test_a_new_key_is_kept_and_listed(wallet: Wallet, tmp_path: Path) -> None:
    made = wallet("new", "--light", "--json")
    assert made.code == Exit.OK
    path = Path(made.json["file"])
    assert path.parent == tmp_path / "keys"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert wallet("list", "--json").json == [made.json]
    assert made.json["address"] in wallet("list").out


def test_an_empty_wallet_lists_nothing_and_says_what_to_do(wallet: Wallet) -> None:
    listed = wallet("list", "--json")
    assert (listed.code, listed.json) == (Exit.OK, [])
    assert "chain-wallet new" in listed.err


def test_a_new_phrase_leads_back_to_the_key_it_was_shown_with(wallet: Wallet) -> None:
    made = wallet("new", "--words", "24", "--light", "--json").json
    assert len(made["mnemonic"].split()) == 24
    Path(made["file"]).unlink()
    again = wallet("import", "--mnemonic", made["mnemonic"], "--light", "--json")
    assert again.json["address"] == made["address"]


@pytest.mark.parametrize("form", ["hex", "bare", "phrase", "keystore"])
def test_a_key_is_imported_from_a_file_of_any_form(
    wallet: Wallet, tmp_path: Path, form: str
) -> None:
    contents = {
        "hex": KEY + "\n",
        "bare": KEY[2:],
        "phrase": TEST_PHRASE + "\n",
        "keystore": json.dumps(Account.encrypt(KEY, "secret", kdf="scrypt", iterations=4096)),
    }
    source = tmp_path / "source"
    source.write_text(contents[form])
    taken = wallet("import", str(source), "--light", "--json")
    assert (taken.code, taken.json["address"]) == (Exit.OK, ADDRESS)
    assert Account.decrypt(Path(taken.json["file"]).read_text(), "secret").to_0x_hex() == KEY


@pytest.mark.parametrize("text", [KEY, TEST_PHRASE])
def test_a_key_is_imported_from_standard_input_or_the_command_line(
    wallet: Wallet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text + "\n"))
    assert wallet("import", "-", "--light", "--json").json["address"] == ADDRESS
    named = wallet("import", text, "--light", "--json", "--keystore", str(tmp_path / "other"))
    assert named.json["address"] == ADDRESS
    assert "other users can see" in named.err


def test_several_accounts_of_a_phrase_are_imported_at_once(wallet: Wallet) -> None:
    taken = wallet("import", TEST_PHRASE, "--count", "2", "--light", "--json").json
    assert [key["address"] for key in taken] == [ADDRESS, FRIEND]
    third = wallet("import", TEST_PHRASE, "--index", "2", "--light", "--json").json
    assert third["address"] == "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"


def test_a_passphrase_and_a_path_lead_to_other_accounts(wallet: Wallet, tmp_path: Path) -> None:
    (tmp_path / "passphrase").write_text("TREZOR\n")
    seen = {
        wallet("import", TEST_PHRASE, *more, "--light", "--json").json["address"]
        for more in (
            (),
            ("--path", "m/44'/60'/1'/0"),
            ("--passphrase-file", str(tmp_path / "passphrase")),
        )
    }
    assert len(seen) == 3


def test_a_keystore_under_its_own_password_is_taken_under_ours(
    wallet: Wallet, tmp_path: Path
) -> None:
    source, password = tmp_path / "source.json", tmp_path / "password"
    source.write_text(json.dumps(Account.encrypt(KEY, "theirs", kdf="scrypt", iterations=4096)))
    assert wallet("import", str(source), "--light").code == Exit.KEYSTORE
    password.write_text("theirs\r\n")
    options = ("--source-password-file", str(password), "--light", "--json")
    taken = wallet("import", str(source), *options)
    assert Account.decrypt(Path(taken.json["file"]).read_text(), "secret").to_0x_hex() == KEY


@pytest.mark.parametrize(
    "source",
    [
        *("0x12", "hello", TEST_PHRASE.replace("junk", "test"), "{", '{"crypto": {}}', ""),
        "0x" + "00" * 32,
        "ff" * 32,
    ],
)
def test_what_is_no_key_is_refused_without_being_repeated(
    wallet: Wallet, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(source))
    ended = wallet("import", "-", "--light", "--json")
    assert ended.code == Exit.KEYSTORE
    assert ended.json["error"]["reason"] == "bad_keystore"
    assert len(source) < 5 or source not in ended.out + ended.err
    assert wallet("list", "--json").json == []


def test_a_key_is_not_imported_twice(wallet: Wallet) -> None:
    assert wallet("import", KEY, "--light").code == Exit.OK
    again = wallet("import", KEY, "--light")
    assert again.code == Exit.KEYSTORE
    assert "already has the key" in again.err


def test_no_output_ever_shows_a_key(funded: Wallet, tmp_path: Path) -> None:
    outputs = [
        funded("list"),
        funded("balance"),
        funded("send", FRIEND, "1"),
        funded("send", FRIEND, "1", "--json"),
        funded("import", KEY),
        funded("import", KEY, "--light", "--keystore", str(tmp_path / "other")),
    ]
    for ended in outputs:
        assert KEY[2:] not in ended.out + ended.err


# -- passwords -----------------------------------------------------------------------------


def test_the_password_comes_from_a_file_before_the_environment(
    funded: Wallet, tmp_path: Path
) -> None:
    password = tmp_path / "password"
    password.write_text("wrong\nsecret\n")
    ended = funded("send", FRIEND, "1", "--password-file", str(password), "--json")
    assert ended.code == Exit.KEYSTORE
    assert ended.json["error"]["reason"] == "wrong_password"
    password.write_text("secret\n")
    assert funded("send", FRIEND, "1", "--password-file", str(password)).code == Exit.OK


def test_a_missing_password_file_is_a_usage_error(wallet: Wallet) -> None:
    assert wallet("new", "--password-file", "/nonexistent/file").code == Exit.USAGE


def test_without_a_password_or_a_terminal_the_command_says_so(
    wallet: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CHAIN_WALLET_PASSWORD")
    ended = wallet("new", "--light")
    assert ended.code == Exit.USAGE
    assert "--password-file" in ended.err


@pytest.mark.parametrize(
    ("typed", "code"),
    [(["a", "a"], Exit.OK), (["a", "b"], Exit.USAGE), (["", ""], Exit.USAGE)],
)
def test_a_new_password_is_asked_for_twice(
    wallet: Wallet, monkeypatch: pytest.MonkeyPatch, typed: list[str], code: Exit
) -> None:
    monkeypatch.delenv("CHAIN_WALLET_PASSWORD")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    answers = iter(typed)
    monkeypatch.setattr("getpass.getpass", lambda prompt, stream: next(answers))
    assert wallet("new", "--light").code == code


# -- coins ---------------------------------------------------------------------------------


def test_balances_are_exact(funded: Wallet) -> None:
    assert funded("balance", FRIEND).out == "1.5\n"
    shown = funded("balance", "--json", FRIEND).json
    assert shown == {"address": FRIEND, "wei": str(15 * COIN // 10), "coins": "1.5"}
    assert [entry["address"] for entry in funded("balance", "--json").json] == [ADDRESS]


def test_coins_are_sent_with_the_nodes_nonce_and_fees_and_seen_in_a_block(
    funded: Wallet, node: FakeNode
) -> None:
    ended = funded("send", FRIEND, "1.5", "--json")
    assert ended.code == Exit.OK
    (sent,) = node.sent
    assert sent.kind == Kind.DYNAMIC_FEE
    assert (sent.chain_id, sent.nonce, sent.gas_limit) == (31337, 5, 21_000)
    assert (sent.to, sent.value, sent.data) == (parse_address(FRIEND), 15 * COIN // 10, b"")
    assert (sent.max_fee, sent.max_priority_fee) == (4 * 10**9, 2 * 10**9)
    signer = recover(sent.signing_hash, sent.v, sent.r, sent.s)
    assert signer is not None and checksum_address(signer) == ADDRESS
    shown = ended.json
    assert shown["hash"] == "0x" + sent.hash.hex()
    assert (shown["status"], shown["receipt"]["blockNumber"]) == ("success", "0x10")
    assert node.asked("eth_getTransactionCount") == [[ADDRESS, "pending"]]
    assert "sent 0x" in ended.err


def test_the_receipt_is_waited_for_with_a_line_of_progress(funded: Wallet, node: FakeNode) -> None:
    node.receipts_after = 3
    ended = funded("send", FRIEND, "1")
    assert ended.code == Exit.OK
    assert "success in block 16, 21000 gas, fee 0.000021000000021" in ended.out
    assert "waiting for the receipt" in ended.err
    assert len(node.asked("eth_getTransactionReceipt")) == 4


def test_a_failed_transaction_is_shown_and_is_not_a_success(funded: Wallet, node: FakeNode) -> None:
    node.status = "0x0"
    ended = funded("send", FRIEND, "1", "--json")
    assert (ended.code, ended.json["status"]) == (Exit.REFUSED, "failed")
    assert "execution failed" in ended.err


def test_without_a_receipt_in_time_the_hash_is_named(funded: Wallet, node: FakeNode) -> None:
    node.receipts_after = 10**9
    ended = funded("send", FRIEND, "1", "--timeout", "0", "--json")
    assert ended.code == Exit.NOT_INCLUDED
    assert ended.json["error"]["hash"] == "0x" + node.sent[0].hash.hex()


def test_no_wait_returns_at_once_with_the_hash(funded: Wallet, node: FakeNode) -> None:
    ended = funded("send", FRIEND, "1", "--no-wait")
    assert ended.out == f"0x{node.sent[0].hash.hex()}\n"
    assert node.asked("eth_getTransactionReceipt") == []


def test_a_call_gets_a_fifth_more_gas_than_the_estimate(funded: Wallet, node: FakeNode) -> None:
    node.answers["eth_estimateGas"] = lambda params: hex(50_000)
    assert funded("send", FRIEND, "0", "--data", "0xa9059cbb").code == Exit.OK
    assert (node.sent[0].gas_limit, node.sent[0].data.hex()) == (60_000, "a9059cbb")
    ((call, *_),) = node.asked("eth_estimateGas")
    assert call == {"from": ADDRESS, "value": "0x0", "to": FRIEND, "data": "0xa9059cbb"}


def test_a_contract_is_created_from_a_file_of_code(
    funded: Wallet, node: FakeNode, tmp_path: Path
) -> None:
    (tmp_path / "code").write_text("0x6000\n")
    assert funded("send", "create", "0", "--data", f"@{tmp_path / 'code'}").code == Exit.OK
    assert (node.sent[0].to, node.sent[0].data.hex()) == (None, "6000")
    assert funded("send", "create", "0").code == Exit.USAGE


def test_every_field_can_be_set_by_hand(funded: Wallet, node: FakeNode) -> None:
    fees = ("--max-fee", "30", "--tip", "1gwei", "--gas-limit", "30000", "--nonce", "9")
    assert funded("send", FRIEND, "7wei", *fees, "--chain-id", "31337").code == Exit.OK
    (sent,) = node.sent
    assert (sent.max_fee, sent.max_priority_fee) == (30 * 10**9, 10**9)
    assert (sent.gas_limit, sent.nonce, sent.value) == (30_000, 9, 7)
    assert node.asked("eth_estimateGas") == node.asked("eth_getTransactionCount") == []


def test_a_chain_without_a_base_fee_gets_a_legacy_transaction(
    funded: Wallet, node: FakeNode
) -> None:
    node.answers["eth_getBlockByNumber"] = lambda params: {}
    assert funded("send", FRIEND, "1").code == Exit.OK
    assert (node.sent[0].kind, node.sent[0].max_fee) == (Kind.LEGACY, 20 * 10**9)
    assert node.sent[0].chain_id == 31337


def test_a_node_that_suggests_no_tip_gets_one_gwei(funded: Wallet, node: FakeNode) -> None:
    del node.answers["eth_maxPriorityFeePerGas"]
    assert funded("send", FRIEND, "1").code == Exit.OK
    assert node.sent[0].max_priority_fee == 10**9


def test_a_cap_below_the_suggested_tip_lowers_the_tip(funded: Wallet, node: FakeNode) -> None:
    assert funded("send", FRIEND, "1", "--max-fee", "1.5gwei").code == Exit.OK
    assert node.sent[0].max_priority_fee == node.sent[0].max_fee == 15 * 10**8
    assert funded("send", FRIEND, "1", "--max-fee", "1", "--tip", "2").code == Exit.USAGE


def test_a_refusal_is_reported_in_the_nodes_words(funded: Wallet, node: FakeNode) -> None:
    def refuse(params: list[Any]) -> Any:
        raise RpcError(-32000, "insufficient funds for gas * price + value")

    for method in ("eth_sendRawTransaction", "eth_estimateGas"):
        node.answers[method] = refuse
        ended = funded("send", FRIEND, "1", "--json")
        assert ended.code == Exit.REFUSED
        assert ended.json["error"]["code"] == -32000
        assert "insufficient funds for gas * price + value" in ended.err


def test_a_revert_keeps_its_data_for_scripts(funded: Wallet, node: FakeNode) -> None:
    def revert(params: list[Any]) -> Any:
        raise RpcError(3, "execution reverted: closed", "0x08c379a0")

    node.answers["eth_estimateGas"] = revert
    error = funded("send", FRIEND, "1", "--json").json["error"]
    assert (error["code"], error["data"]) == (3, "0x08c379a0")
    assert node.sent == []


def test_a_node_of_another_chain_is_refused_when_the_chain_is_named(
    funded: Wallet, node: FakeNode
) -> None:
    ended = funded("send", FRIEND, "1", "--chain-id", "1", "--json")
    assert (ended.code, ended.json["error"]["chainId"]) == (Exit.REFUSED, 31337)
    assert node.sent == []


def test_a_node_that_names_another_hash_is_not_believed(funded: Wallet, node: FakeNode) -> None:
    node.answers["eth_sendRawTransaction"] = lambda params: "0x" + "00" * 32
    assert funded("send", FRIEND, "1").code == Exit.UNREACHABLE


def test_with_several_keys_the_sender_must_be_chosen(
    funded: Wallet, node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert funded("import", TEST_PHRASE, "--index", "1", "--light").code == Exit.OK
    assert funded("send", FRIEND, "1").code == Exit.USAGE
    assert funded("send", FRIEND, "1", "--from", ADDRESS).code == Exit.OK
    monkeypatch.setenv("CHAIN_WALLET_FROM", FRIEND)
    assert funded("send", ADDRESS, "1").code == Exit.OK
    signers = [recover(sent.signing_hash, sent.v, sent.r, sent.s) for sent in node.sent]
    assert signers == [parse_address(ADDRESS), parse_address(FRIEND)]


def test_a_sender_without_a_key_is_refused_before_the_node_is_asked(
    funded: Wallet, node: FakeNode
) -> None:
    assert funded("send", ADDRESS, "1", "--from", FRIEND).code == Exit.KEYSTORE
    assert node.calls == []


# -- receipts ------------------------------------------------------------------------------


def test_a_receipt_is_found_by_its_hash(funded: Wallet, node: FakeNode) -> None:
    ended = funded("receipt", "0x" + "ab" * 32, "--json")
    assert (ended.code, ended.json["status"]) == (Exit.OK, "success")
    node.status = "0x0"
    assert funded("receipt", "0x" + "ab" * 32).code == Exit.REFUSED


def test_a_missing_receipt_tells_a_waiting_transaction_from_an_unknown_one(
    funded: Wallet, node: FakeNode
) -> None:
    node.receipts_after = 10**9
    unknown = funded("receipt", "0x" + "ab" * 32, "--json")
    assert (unknown.code, unknown.json["error"]["status"]) == (Exit.NOT_INCLUDED, "unknown")
    node.answers["eth_getTransactionByHash"] = lambda params: {"blockNumber": None}
    waiting = funded("receipt", "0x" + "ab" * 32, "--json")
    assert (waiting.code, waiting.json["error"]["status"]) == (Exit.NOT_INCLUDED, "pending")


def test_a_receipt_can_be_waited_for(funded: Wallet, node: FakeNode) -> None:
    node.receipts_after = 2
    assert funded("receipt", "0x" + "ab" * 32, "--wait").code == Exit.OK


# -- usage ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("fly",),
        ("send",),
        ("send", FRIEND, "-1"),
        ("send", FRIEND, "1 apple"),
        ("send", FRIEND[:-1], "1"),
        ("send", FRIEND.replace("C", "c", 1), "1"),
        ("send", FRIEND, "1", "--nonce", "x"),
        ("send", FRIEND, "1", "--data", "0xzz"),
        ("send", FRIEND, "1", "--data", "@/nonexistent"),
        ("send", FRIEND, "1", "--timeout", "soon"),
        ("send", FRIEND, "1", "--timeout", "nan"),
        ("receipt", "0x12"),
        ("balance", "0x12"),
        ("balance", FRIEND, "--rpc", "ftp://x"),
        ("new", "--words", "13"),
        ("import", KEY, "--mnemonic", TEST_PHRASE),
        ("import", TEST_PHRASE, "--count", "0"),
        ("import", TEST_PHRASE, "--index", "-1"),
    ],
)
def test_wrong_usage_has_its_own_exit_code(funded: Wallet, words: tuple[str, ...]) -> None:
    for options in ((), ("--json",)):
        ended = funded(*words, *options)
        assert ended.code == Exit.USAGE
        assert ended.err
    assert ended.json["error"]["exit"] == Exit.USAGE


def test_an_unknown_variable_is_refused_by_name(
    wallet: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAIN_WALLET_PASWORD", "x")
    ended = wallet("list")
    assert ended.code == Exit.USAGE
    assert "CHAIN_WALLET_PASWORD" in ended.err


def test_an_unreachable_node_has_its_own_exit_code(wallet: Wallet) -> None:
    assert wallet("balance", FRIEND).code == Exit.UNREACHABLE
    assert wallet("receipt", "0x" + "ab" * 32).code == Exit.UNREACHABLE


def test_the_help_documents_exit_codes_units_and_variables(wallet: Wallet) -> None:
    shown = wallet("--help")
    assert shown.code == Exit.OK
    for word in ("exit codes", "gwei", "CHAIN_WALLET_PASSWORD_FILE", "wrong password"):
        assert word in shown.out
