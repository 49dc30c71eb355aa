"""The command line: `chain-node COMMAND`. Settings are read here and nowhere else."""

import argparse
import gc
import hashlib
import importlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace

from chain.errors import Fault, Reason, Rejected, SourceFailed
from node import VERSION
from node.settings import (
    OPTIONS,
    Declared,
    Loaded,
    RpcSettings,
    Settings,
    describe,
    explain,
    load_settings,
)


class Exit(IntEnum):
    """How a command ended."""

    OK = 0
    FAULT = 1  # our bug, or the disk: full, failing
    USAGE = 2  # bad flag or setting
    DATA_FOLDER = 3  # in use, corrupt, of another chain or version
    ADDRESS_IN_USE = 4  # the RPC address can't be had
    BAD_INPUT = 5  # a genesis or chain file is no good
    SOURCE = 6  # the ledger to fork could not be had


_EXITS_OF_REASONS: Final = {
    Reason.BAD_SETTING: Exit.USAGE,
    Reason.WRONG_CHAIN: Exit.DATA_FOLDER,
    Reason.WRONG_SCHEMA: Exit.DATA_FOLDER,
    Reason.DATADIR_IN_USE: Exit.DATA_FOLDER,
    Reason.BAD_KEYSTORE: Exit.DATA_FOLDER,
    Reason.ADDRESS_IN_USE: Exit.ADDRESS_IN_USE,
}

_FORK_CALL_MS: Final = 60_000  # of a call that may have to ask a fork's source, unless set

# Commands that bring their own arguments; their code is loaded when they are asked for.
_ENGINES: Final = {
    "testnet": (
        "node.commands.testnet",
        "run_testnet",
        "write a network of nodes for this machine",
    ),
    "keys": ("node.commands.key_files", "run_keys", "show or make a data folder's keys"),
    "peers": ("node.commands.ask", "run_peers", "show or change a running node's peers"),
    "validators": ("node.commands.ask", "run_validators", "show a running node's validators"),
    "inspect": (
        "node.commands.inspect",
        "run_inspect",
        "show what a stopped node's data folder holds",
    ),
    "export": ("node.commands.export", "run_export", "write blocks to a file in geth's format"),
    "up": ("node.up.command", "run_up", "run the nodes of such a network, or hurt one of them"),
    "simulate": ("node.simulator.command", "run_simulate", "run networks on virtual time"),
    "statetest": ("node.conformance.statetest", "run_statetest", "run official state tests"),
    "blocktest": ("node.conformance.blocktest", "run_blocktest", "run official blockchain tests"),
    "import": ("node.conformance.chain_import", "run_import", "import a chain in geth's format"),
}

_EPILOG: Final = """\
settings come from the first of: flag, environment (CHAIN_NODE_RPC_PORT for --rpc-port),
file (--config, CHAIN_NODE_CONFIG, or config.toml in the data folder), default.
`chain-node config` prints the effective ones with their meaning.

exit status:
  0  done, or stopped by SIGTERM or SIGINT
  1  fault: our bug, or the disk failed or is full
  2  bad flag or setting
  3  the data folder is in use, corrupt, or of another chain or version
  4  the RPC address is in use or can't be had
  5  a genesis or chain file is no good
  6  the ledger to fork (--fork-url) does not answer as it should
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; its exit status. One clear line on stderr when it fails."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments and arguments[0] in _ENGINES:
            return _run_engine(arguments[0], arguments[1:])
        return _run_command(arguments)
    except Rejected as rejected:
        print(f"chain-node: {rejected}", file=sys.stderr)
        return _EXITS_OF_REASONS.get(rejected.reason, Exit.BAD_INPUT)
    except SourceFailed as failed:
        print(f"chain-node: fork_source_failed: {failed}", file=sys.stderr)
        return Exit.SOURCE
    except Fault as fault:
        print(f"chain-node: fault: {fault}", file=sys.stderr)
        return Exit.FAULT
    except KeyboardInterrupt:
        return Exit.OK


def _run_engine(command: str, arguments: Sequence[str]) -> int:
    """Hand over to a command whose code is loaded only when it is asked for."""
    module_name, function_name, text = _ENGINES[command]
    module = importlib.import_module(module_name)
    parser = argparse.ArgumentParser(prog=f"chain-node {command}", description=text)
    # A module of several commands has arguments for each.
    add = getattr(module, f"add_{command}_arguments", None) or module.add_arguments
    add(parser)
    run: Callable[[argparse.Namespace], int] = getattr(module, function_name)
    return run(parser.parse_args(arguments))


def _run_command(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="chain-node",
        allow_abbrev=False,
        description="A ledger node: agreement, execution, JSON-RPC.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"chain-node {VERSION}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in (
        ("dev", "start a developer's ledger with funded accounts, made when the folder is empty"),
        ("run", "start the ledger of a data folder"),
        ("init", "begin a ledger in a data folder, with a validator's key of its own"),
        ("config", "print the effective settings as TOML and what they mean"),
    ):
        command = commands.add_parser(
            name,
            help=text,
            description=text,
            allow_abbrev=False,
            epilog=_EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_argument("--config", metavar="FILE", help="TOML file with settings")
        if name == "init":
            command.add_argument(
                "--follower", action="store_true", help="make no validator's key: only observe"
            )
        _add_settings(command, name)
    commands.add_parser("version", help="print the version")
    for name, (_, _, text) in _ENGINES.items():
        commands.add_parser(name, help=text)
    parsed = parser.parse_args(arguments)
    if parsed.command == "version":
        print(f"chain-node {VERSION}")
        return Exit.OK
    flags = {
        declared.flag: value
        for declared in OPTIONS
        if (value := getattr(parsed, _destination(declared), None)) is not None
    }
    loaded = _load(flags, parsed.config, dev=parsed.command == "dev")
    settings = loaded.settings
    match parsed.command:
        case "config":
            print(describe(loaded), end="")
            return Exit.OK
        case "init":
            return _init(settings, follower=parsed.follower)
        case _:
            dev = parsed.command == "dev"
            gc.disable()  # until the node serves: what loading makes stays
            try:
                return _serve(settings, dev=dev, own_chain_id=_is_given(loaded, "dev.chain_id"))
            finally:
                gc.enable()


def _is_given(loaded: Loaded, name: str) -> bool:
    return loaded.sources[name] != "default"


def _destination(declared: Declared) -> str:
    return declared.name.replace(".", "__")


def _add_settings(parser: argparse.ArgumentParser, command: str) -> None:
    """One flag per setting, in groups by section."""
    groups: dict[str, Any] = {}
    for declared in OPTIONS:
        if declared.section == "dev" and command in ("run", "init"):
            continue
        group = groups.get(declared.section)
        if group is None:
            section = type(getattr(Settings(), declared.section))
            text = (section.__doc__ or "").strip()
            group = groups[declared.section] = parser.add_argument_group(declared.section, text)
        shown = explain(declared)
        if declared.default not in ("", (), None) and declared.kind is not bool:
            shown += f" [{declared.default}]"
        extra: dict[str, Any] = (
            {"action": argparse.BooleanOptionalAction}
            if declared.kind is bool
            else {"metavar": {int: "N", float: "S", tuple: "A,B"}.get(declared.kind, "TEXT")}
        )
        group.add_argument(
            f"--{declared.flag}",
            dest=_destination(declared),
            default=None,
            help=shown.replace("%", "%%"),
            **extra,
        )


def _load(flags: Mapping[str, str | bool], config: str | None, *, dev: bool) -> Loaded:
    loaded = load_settings(flags, os.environ, config=config)
    if dev and not loaded.settings.chain.datadir:
        own = loaded.settings.dev
        name = str(own.chain_id)
        if own.fork_url:
            source = hashlib.sha256(own.fork_url.encode()).hexdigest()[:16]
            name = f"fork-{source}-{'newest' if own.fork_height < 0 else own.fork_height}"
        folder = _data_home() / "chain-node" / name
        loaded = load_settings(flags, os.environ, config=config, default_datadir=str(folder))
    return loaded


def _data_home() -> Path:
    return _home("XDG_DATA_HOME", ".local/share")


def _home(variable: str, default: str) -> Path:
    """Where programs keep their data, or what can be had again (XDG base directories)."""
    home = os.environ.get(variable, "")
    return Path(home) if home.startswith("/") else Path.home() / default


def _init(settings: Settings, *, follower: bool) -> int:
    from node import serve

    folder = _required_folder(settings, "init")
    serve.init(settings, folder, follower=follower)
    return Exit.OK


def _serve(settings: Settings, *, dev: bool, own_chain_id: bool) -> int:
    from node import serve
    from node.devchain.fork.opening import Forking, wanted

    forking = Forking()
    if dev:
        own = settings.dev
        answers = _home("XDG_CACHE_HOME", ".cache") / "chain-node" / "forks"
        forking = Forking(*wanted(own.fork_url, own.fork_height), answers, not own_chain_id)
        if own.fork_url and settings.rpc.call_timeout_ms == RpcSettings().call_timeout_ms:
            rpc = replace(settings.rpc, call_timeout_ms=_FORK_CALL_MS)
            settings = replace(settings, rpc=rpc)
    folder: Path | None = None
    if not settings.chain.ephemeral:
        folder = _required_folder(settings, "dev" if dev else "run")
    try:
        serve.serve(serve.prepare(settings, folder, dev=dev, forking=forking), VERSION)
    except serve.BadFolder as error:
        print(f"chain-node: fault: {error}", file=sys.stderr)
        return Exit.DATA_FOLDER
    except serve.AddressInUse as error:
        print(f"chain-node: {error}", file=sys.stderr)
        return Exit.ADDRESS_IN_USE
    return Exit.OK


def _required_folder(settings: Settings, command: str) -> Path:
    if not settings.chain.datadir:
        raise Rejected(Reason.BAD_SETTING, f"{command} needs --datadir")
    return Path(settings.chain.datadir).absolute()


if __name__ == "__main__":
    sys.exit(main())
