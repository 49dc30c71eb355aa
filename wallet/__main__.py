"""chain-wallet: keep keys, send coins, see what became of them."""

import os
import sys
from argparse import SUPPRESS, ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from typing import Final

from chain.crypto.hd import ETHEREUM_PATH
from chain.errors import Fault, Rejected
from wallet import commands, staking
from wallet.client import DEFAULT_URL, RpcRefused
from wallet.console import Console
from wallet.mnemonic import WORD_COUNTS
from wallet.outcome import KEYSTORE_REASONS, MEANINGS, Exit, Failed
from wallet.settings import PREFIX, Settings, read_settings
from wallet.transfers import refused

Command = Callable[[Namespace, Settings, Console], Exit]

_EPILOG: Final = "\n".join(
    [
        "amounts: 1.5 (coins), 1.5ether, 20gwei, 7wei; exact, up to 18 decimals",
        "",
        "environment (a flag goes before it):",
        f"  {PREFIX}RPC, {PREFIX}KEYSTORE, {PREFIX}FROM, {PREFIX}TIMEOUT,",
        f"  {PREFIX}PASSWORD_FILE, {PREFIX}PASSWORD",
        "",
        "exit codes:",
        *(f"  {int(code):3d}  {meaning}" for code, meaning in MEANINGS.items()),
    ]
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code (see `Exit`)."""
    words = sys.argv[1:] if argv is None else list(argv)
    console = Console(json_only="--json" in words)
    try:
        arguments = parser().parse_args(words)
    except SystemExit as end:  # argparse has printed the help, or what is wrong
        code = Exit.OK if not end.code else Exit.USAGE
        if code and console.json_only:
            console.result({"error": {"exit": int(code), "message": "wrong usage"}})
        return int(code)
    try:
        settings = read_settings(arguments, os.environ)
        command: Command = arguments.command
        return int(command(arguments, settings, console))
    except Failed as error:
        console.failure(error)
        return int(error.exit_code)
    except RpcRefused as error:
        failure = refused(error)
        console.failure(failure)
        return int(failure.exit_code)
    except Rejected as error:
        code = Exit.KEYSTORE if error.reason in KEYSTORE_REASONS else Exit.REFUSED
        console.failure(Failed(code, error.detail or str(error), reason=str(error.reason)))
        return int(code)
    except Fault as error:
        console.failure(Failed(Exit.FAULT, str(error)))
        return int(Exit.FAULT)
    except BrokenPipeError:
        # The reader of our output went away: nothing is left to be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(Exit.OK)
    except KeyboardInterrupt:
        console.failure(Failed(Exit.INTERRUPTED, "interrupted"))
        return int(Exit.INTERRUPTED)


def parser() -> ArgumentParser:
    """Every command and option, with the help that describes them."""
    shared = ArgumentParser(add_help=False, argument_default=SUPPRESS)
    shared.add_argument("--json", action="store_true", help="print one JSON value, for scripts")
    shared.add_argument("--keystore", metavar="DIR", help="folder of key files")
    online = ArgumentParser(add_help=False, argument_default=SUPPRESS)
    online.add_argument("--rpc", metavar="URL", help=f"the node (default {DEFAULT_URL})")
    secret = ArgumentParser(add_help=False, argument_default=SUPPRESS)
    secret.add_argument("--password-file", metavar="FILE", help="first line is the password")
    writing = ArgumentParser(add_help=False)
    writing.add_argument(
        "--light", action="store_true", help="cheap key derivation (4 MiB), for tests"
    )
    waiting = ArgumentParser(add_help=False, argument_default=SUPPRESS)
    waiting.add_argument("--timeout", metavar="S", help="seconds to wait (default 120)")

    root = ArgumentParser(
        prog="chain-wallet",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
        parents=[shared, online, secret, waiting],
    )
    subparsers = root.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(name: str, command: Command, help: str, *parents: ArgumentParser) -> ArgumentParser:
        added = subparsers.add_parser(name, help=help, description=help, parents=[shared, *parents])
        added.set_defaults(command=command)
        return added

    new = add("new", commands.new, "make a key and keep it under a password", secret, writing)
    new.add_argument(
        "--words",
        type=int,
        choices=WORD_COUNTS,
        nargs="?",
        const=WORD_COUNTS[0],
        help="take the key from a new recovery phrase, shown once (default 12 words)",
    )

    taken = add("import", commands.import_key, "keep a key that exists", secret, writing)
    taken.add_argument(
        "source",
        nargs="?",
        metavar="SOURCE",
        help="file with a hexadecimal key, a phrase or a keystore; - for the standard input; "
        "without it the key is asked for",
    )
    taken.add_argument("--private-key", metavar="HEX", help="the key itself (others may see it)")
    taken.add_argument("--mnemonic", metavar="WORDS", help="the phrase itself (others may see it)")
    taken.add_argument("--source-password-file", metavar="FILE", help="opens the keystore SOURCE")
    taken.add_argument("--passphrase-file", metavar="FILE", help="BIP-39 passphrase of the phrase")
    taken.add_argument("--path", default=ETHEREUM_PATH, help="parent of the keys (%(default)s)")
    taken.add_argument("--index", default="0", metavar="N", help="first key of a phrase (0)")
    taken.add_argument("--count", default="1", metavar="N", help="how many keys of it (1)")

    add("list", commands.list_accounts, "show the addresses of the kept keys")

    balance = add("balance", commands.balance, "show coins; of every kept key by default", online)
    balance.add_argument("addresses", nargs="*", metavar="ADDRESS")

    paying = ArgumentParser(add_help=False)
    paying.add_argument("--from", dest="sender", metavar="ADDRESS", help="one of several keys")
    paying.add_argument("--gas-limit", metavar="N", help="default: the node's estimate")
    paying.add_argument("--max-fee", metavar="FEE", help="most per gas, in gwei or with a unit")
    paying.add_argument("--tip", metavar="FEE", help="tip per gas, in gwei or with a unit")
    paying.add_argument("--nonce", metavar="N", help="default: the next one")
    paying.add_argument("--chain-id", metavar="N", help="refuse a node of another chain")
    paying.add_argument("--no-wait", action="store_true", help="do not wait for the receipt")
    transacting = (online, secret, waiting, paying)

    sending = add("send", commands.send_coins, "send coins", *transacting)
    sending.add_argument("to", metavar="TO", help='address; "create" makes a contract of --data')
    sending.add_argument("amount", metavar="AMOUNT", help="such as 1.5, 20gwei or 7wei")
    sending.add_argument("--data", metavar="HEX", help="call data; @FILE reads it from a file")

    receipt = add("receipt", commands.show_receipt, "what became of a transaction", online, waiting)
    receipt.add_argument("hash", metavar="HASH")
    receipt.add_argument("--wait", action="store_true", help="wait until there is one")

    chosen = ArgumentParser(add_help=False)
    chosen.add_argument(
        "--validator",
        metavar="ADDRESS",
        help="of the key that signs votes; default: the one whose stake is yours",
    )

    staking_help = "add coins to a validator's stake; the first to do so owns it"
    stake = add("stake", staking.stake, staking_help, *transacting, chosen)
    stake.add_argument("amount", metavar="AMOUNT", help="such as 100 or 0.5ether")
    stake.add_argument(
        "--instead-of", metavar="ADDRESS", help="the smaller candidate that makes place, if none is"
    )
    unstake = add("unstake", staking.unstake, "take stake out", *transacting, chosen)
    unstake.add_argument("amount", metavar="AMOUNT", help='such as 100; "all"')
    add("withdraw", staking.withdraw, "collect stake that was taken out", *transacting, chosen)
    add("unjail", staking.unjail, "be a candidate after the time in jail", *transacting, chosen)
    add("validators", staking.list_validators, "show who has stake, votes and waits", online)
    return root


if __name__ == "__main__":
    sys.exit(main())
