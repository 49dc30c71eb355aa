"""What each command of chain-wallet does, from parsed arguments to its result."""

import re
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace

from chain.crypto.hd import parse_path
from chain.types import Address, Hash
from wallet.addresses import checksum_address, parse_address
from wallet.amounts import format_amount, parse_amount
from wallet.client import Client
from wallet.console import Console, ask_hidden, password_for, password_in
from wallet.key_folder import Entry, find_key, list_keys, open_key, read_text, store_key
from wallet.key_import import Derivation, looks_like_secret, phrase_keys, read_keys
from wallet.keystore import FILE_BYTES_MAX, LIGHT, STANDARD
from wallet.mnemonic import new_mnemonic
from wallet.outcome import Exit, Failed
from wallet.settings import Settings
from wallet.signer import new_private_key
from wallet.transfers import (
    Prepared,
    Transfer,
    await_receipt,
    find_receipt,
    prepare,
    send,
    sign,
    succeeded,
)

_HASH: Final = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)
_INTEGER: Final = re.compile(r"0|[1-9][0-9]{0,77}", re.ASCII)
_COUNT_MAX: Final = 1000  # keys of one phrase in one command


def new(arguments: Namespace, settings: Settings, console: Console) -> Exit:
    """Make a key (or a phrase and its first key), keep it, name its address."""
    phrase = None
    if arguments.words is not None:
        phrase = new_mnemonic(arguments.words)
        private_key = phrase_keys(phrase, Derivation())[0]
    else:
        private_key = new_private_key()
    password = password_for("for the new key", settings, new=True)
    entry = _store(private_key, password, arguments, settings)
    lines = _entry_lines(entry)
    facts = _entry_facts(entry)
    if phrase is not None:
        facts["mnemonic"] = phrase
        lines += ["", "Write these words down; they are not stored and not shown again:", phrase]
    console.result(facts, *lines)
    return Exit.OK


def import_key(arguments: Namespace, settings: Settings, console: Console) -> Exit:
    """Keep a key that exists already under a password of this wallet."""
    text = _secret_text(arguments, console)
    derivation = Derivation(
        path=arguments.path,
        index=_natural(arguments.index, "index"),
        count=_natural(arguments.count, "count"),
        passphrase=_passphrase(arguments),
    )
    parse_path(derivation.path)
    if not 1 <= derivation.count <= _COUNT_MAX:
        raise Failed(Exit.USAGE, f"--count must be 1 to {_COUNT_MAX}")

    def ask_password() -> str:
        if arguments.source_password_file is not None:
            return password_in(Path(arguments.source_password_file).expanduser())
        return password_for("of the keystore to import", settings)

    keys = read_keys(text, derivation, ask_password)
    password = password_for("to keep it under", settings, new=True)
    entries = [_store(key, password, arguments, settings) for key in keys]
    facts = [_entry_facts(entry) for entry in entries]
    lines = [line for entry in entries for line in _entry_lines(entry)]
    console.result(facts[0] if len(facts) == 1 else facts, *lines)
    return Exit.OK


def list_accounts(arguments: Namespace, settings: Settings, console: Console) -> Exit:
    """The addresses of the kept keys. Asks no node and no password."""
    entries = list_keys(settings.keystore)
    if not entries:
        console.note(f"no keys in {settings.keystore}; make one with: chain-wallet new")
    facts = [_entry_facts(entry) for entry in entries]
    console.result(facts, *(f"{fact['address']}  {fact['file']}" for fact in facts))
    return Exit.OK


def balance(arguments: Namespace, settings: Settings, console: Console) -> Exit:
    """The coins of the addresses given, or of every kept key."""
    addresses = [parse_address(text) for text in arguments.addresses]
    if not addresses:
        addresses = [entry.address for entry in list_keys(settings.keystore)]
        if not addresses:
            raise Failed(Exit.KEYSTORE, f"no keys in {settings.keystore} and no address given")
    client = Client(settings.rpc)
    facts = []
    for address in addresses:
        text = checksum_address(address)
        wei = client.quantity("eth_getBalance", text, "latest")
        facts.append({"address": text, "wei": str(wei), "coins": format_amount(wei)})
    if len(facts) == 1 and arguments.addresses:
        console.result(facts[0], facts[0]["coins"])
    else:
        console.result(facts, *(f"{fact['address']}  {fact['coins']}" for fact in facts))
    return Exit.OK


def send_coins(arguments: Namespace, settings: Settings, console: Console) -> Exit:
    """Sign a transaction with a kept key, send it, and wait for its receipt."""
    create = arguments.to == "create"
    to = None if create else parse_address(arguments.to)
    transfer = transfer_of(arguments, to, parse_amount(arguments.amount), _data(arguments.data))
    if create and not transfer.data:
        raise Failed(Exit.USAGE, "creating a contract needs its code: --data 0x...")
    return submit(
        Client(settings.rpc), sender_key(settings), transfer, arguments, settings, console
    )


def transfer_of(arguments: Namespace, to: Address | None, value: int, data: bytes) -> Transfer:
    """What is to be sent, with the options on gas, fees, nonce and chain; its sender is nobody.

    Failed(USAGE) for an option that is no number or fee.
    """
    return Transfer(
        sender=Address(bytes(20)),
        to=to,
        value=value,
        data=data,
        gas_limit=_optional_natural(arguments.gas_limit, "gas limit"),
        max_fee=_optional_fee(arguments.max_fee),
        tip=_optional_fee(arguments.tip),
        nonce=_optional_natural(arguments.nonce, "nonce"),
        chain_id=_optional_natural(arguments.chain_id, "chain id"),
    )


def submit(
    client: Client,
    entry: Entry,
    transfer: Transfer,
    arguments: Namespace,
    settings: Settings,
    console: Console,
) -> Exit:
    """Sign `transfer` with a kept key, whoever its sender is; send it, wait, tell the outcome.

    With `arguments.no_wait` its hash is the outcome.
    """
    prepared = prepare(client, replace(transfer, sender=entry.address))
    # The password comes last: scrypt takes half a second, a refusal takes none.
    private_key = open_key(entry, password_for(f"of {checksum_address(entry.address)}", settings))
    transaction = sign(prepared, private_key)
    transaction_hash = send(client, transaction)
    text = "0x" + transaction_hash.hex()
    facts = _prepared_facts(prepared) | {"hash": text}
    if arguments.no_wait:
        console.result(facts | {"status": "pending", "receipt": None}, text)
        return Exit.OK
    console.note(f"sent {text}")
    receipt = _await(client, transaction_hash, settings, console)
    return _report(client, receipt, facts, console)


def show_receipt(arguments: Namespace, settings: Settings, console: Console) -> Exit:
    """What became of a transaction; with --wait, as soon as something did."""
    if not _HASH.fullmatch(arguments.hash):
        raise Failed(Exit.USAGE, f"{arguments.hash[:80]!r} is not a transaction hash")
    transaction_hash = Hash(bytes.fromhex(arguments.hash[2:]))
    text = "0x" + transaction_hash.hex()
    client = Client(settings.rpc)
    if arguments.wait:
        receipt: dict[str, Any] | None = _await(client, transaction_hash, settings, console)
    else:
        receipt = find_receipt(client, transaction_hash)
    if receipt is None:
        known = client.call("eth_getTransactionByHash", text) is not None
        state = "is waiting in the node's pool" if known else "is not known to the node"
        raise Failed(
            Exit.NOT_INCLUDED,
            f"{text} {state}",
            hash=text,
            status="pending" if known else "unknown",
        )
    return _report(client, receipt, {"hash": text}, console)


def _await(
    client: Client, transaction_hash: Hash, settings: Settings, console: Console
) -> dict[str, Any]:
    def progress(waited: float) -> None:
        console.progress(f"waiting for the receipt of 0x{transaction_hash.hex()} ({waited:.1f} s)")

    try:
        return await_receipt(client, transaction_hash, settings.timeout_seconds, progress)
    finally:
        console.end_progress()


def _report(
    client: Client, receipt: dict[str, Any], facts: dict[str, Any], console: Console
) -> Exit:
    height = client.integer(receipt.get("blockNumber"), "the receipt's block number")
    gas = client.integer(receipt.get("gasUsed"), "the receipt's gas")
    price = receipt.get("effectiveGasPrice")
    fee = gas * client.integer(price, "the receipt's gas price") if price is not None else None
    success = succeeded(client, receipt)
    status = "success" if success else "failed"
    lines = [f"transaction {facts['hash']}", f"{status} in block {height}, {gas} gas"]
    if fee is not None:
        lines[-1] += f", fee {format_amount(fee)}"
    if receipt.get("contractAddress"):
        lines.append(f"contract    {str(receipt['contractAddress'])[:42]}")
    console.result(facts | {"status": status, "receipt": receipt}, *lines)
    if not success:
        console.note("chain-wallet: the transaction is in the block, but its execution failed")
    return Exit.OK if success else Exit.REFUSED


def _store(private_key: bytes, password: str, arguments: Namespace, settings: Settings) -> Entry:
    cost = LIGHT if arguments.light else STANDARD
    return store_key(settings.keystore, private_key, password, cost)


def sender_key(settings: Settings) -> Entry:
    """The key to send with: the one chosen, or the only one. Failed(USAGE, KEYSTORE) otherwise."""
    if settings.sender is not None:
        return find_key(settings.keystore, parse_address(settings.sender))
    entries = list_keys(settings.keystore)
    if len(entries) == 1:
        return entries[0]
    if not entries:
        raise Failed(Exit.KEYSTORE, f"no keys in {settings.keystore}; chain-wallet new or import")
    raise Failed(Exit.USAGE, f"{settings.keystore} has {len(entries)} keys; choose one with --from")


def _secret_text(arguments: Namespace, console: Console) -> str:
    given = [text for text in (arguments.source, arguments.private_key, arguments.mnemonic) if text]
    if len(given) > 1:
        raise Failed(Exit.USAGE, "give one key: SOURCE, --private-key or --mnemonic")
    if not given:
        return ask_hidden("Private key or phrase: ", "a file, or - for the standard input")
    text = str(given[0])
    if text == "-" and arguments.source:
        return sys.stdin.read(FILE_BYTES_MAX + 1)
    if arguments.source and not looks_like_secret(text):
        return read_text(Path(text).expanduser())
    console.note("note: other users can see a command's arguments, and the shell keeps them")
    return text


def _passphrase(arguments: Namespace) -> str:
    if arguments.passphrase_file is None:
        return ""
    return password_in(Path(arguments.passphrase_file).expanduser())


def _data(text: str | None) -> bytes:
    if text is None:
        return b""
    if text.startswith("@"):
        try:
            text = Path(text[1:]).expanduser().read_text("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Failed(Exit.USAGE, f"cannot read {text[1:]} as hexadecimal") from error
    try:
        return bytes.fromhex(text.removeprefix("0x"))
    except ValueError as error:
        raise Failed(Exit.USAGE, "--data is not hexadecimal") from error


def _natural(text: str, what: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise Failed(Exit.USAGE, f"the {what} {text[:80]!r} is not a non-negative integer")
    return int(text)


def _optional_natural(text: str | None, what: str) -> int | None:
    return None if text is None else _natural(text, what)


def _optional_fee(text: str | None) -> int | None:
    return None if text is None else parse_amount(text, "gwei")


def _entry_facts(entry: Entry) -> dict[str, Any]:
    return {"address": checksum_address(entry.address), "file": str(entry.path)}


def _entry_lines(entry: Entry) -> list[str]:
    return [f"address  {checksum_address(entry.address)}", f"key file {entry.path}"]


def _prepared_facts(prepared: Prepared) -> dict[str, Any]:
    return {
        "from": checksum_address(prepared.sender),
        "to": checksum_address(prepared.to) if prepared.to is not None else None,
        "wei": str(prepared.value),
        "nonce": prepared.nonce,
        "chainId": prepared.chain_id,
        "gasLimit": prepared.gas_limit,
        "maxFeePerGas": str(prepared.max_fee),
        "maxPriorityFeePerGas": str(prepared.max_priority_fee),
    }
