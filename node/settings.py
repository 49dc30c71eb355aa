"""Settings: read once at the start, checked, frozen, handed down by section.

A value comes from the first of: flag, environment, TOML file, default. Each option is
declared once below with its type, default, bounds and explanation; flags, environment
names, `--help` and `chain-node config` all follow from that. What all nodes of a ledger
must share is genesis and not here.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

from msgspec import Struct

from chain.errors import Reason, Rejected

ENVIRONMENT_PREFIX: Final = "CHAIN_NODE_"
CONFIG_VARIABLE: Final = "CHAIN_NODE_CONFIG"
CONFIG_FILE: Final = "config.toml"  # in the data folder
TEST_MNEMONIC: Final = "test test test test test test test test test test test junk"


class Option(Struct, frozen=True):
    """What a setting means and may be. `low` and `high` are inclusive."""

    text: str
    low: float | None = None
    high: float | None = None
    flag: str = ""  # when not --section-key
    choices: tuple[str, ...] = ()


class ChainSettings(Struct, frozen=True):
    """The ledger on this machine."""

    datadir: Annotated[
        str, Option("folder that holds the ledger; empty: the command's own", flag="datadir")
    ] = ""
    genesis: Annotated[
        str, Option("genesis file in geth's format; empty: the data folder's own", flag="genesis")
    ] = ""
    ephemeral: Annotated[
        bool, Option("keep everything in memory and lose it at the end", flag="ephemeral")
    ] = False
    block_time: Annotated[
        float,
        Option(
            "seconds between blocks; 0: a block as soon as a transaction is pooled",
            low=0,
            high=3600,
            flag="block-time",
        ),
    ] = 0.0
    empty_blocks: Annotated[
        bool,
        Option("with a block time, also build blocks without transactions", flag="empty-blocks"),
    ] = True
    coinbase: Annotated[
        str, Option("address that earns the tips; empty: the validator's own", flag="coinbase")
    ] = ""
    retain_heights: Annotated[
        int, Option("heights of state history to keep; 0: all", low=0, flag="retain-heights")
    ] = 0


class DevSettings(Struct, frozen=True):
    """The ledger that `chain-node dev` makes in an empty data folder."""

    chain_id: Annotated[
        int,
        Option("chain id; of a fork its source's own", low=1, high=2**53 - 1, flag="chain-id"),
    ] = 31337
    accounts: Annotated[int, Option("funded accounts", low=0, high=1000, flag="accounts")] = 10
    balance: Annotated[
        int, Option("coins of each funded account", low=0, high=10**12, flag="balance")
    ] = 10_000
    mnemonic: Annotated[
        str, Option("phrase that the funded accounts are derived from", flag="mnemonic")
    ] = TEST_MNEMONIC
    artifacts: Annotated[
        tuple[str, ...],
        Option("folders of compilers' output, to name contracts in the log", flag="artifacts"),
    ] = ()
    state: Annotated[
        str,
        Option("file in anvil's format to begin with, and to leave the chain in", flag="state"),
    ] = ""
    load_state: Annotated[
        str, Option("file in anvil's format to begin with", flag="load-state")
    ] = ""
    dump_state: Annotated[
        str, Option("file in anvil's format to leave the chain in", flag="dump-state")
    ] = ""
    preserve_historical_states: Annotated[
        bool,
        Option("past states go into that file too", flag="preserve-historical-states"),
    ] = False
    fork_url: Annotated[
        str, Option("JSON-RPC server of a ledger to go on from", flag="fork-url")
    ] = ""
    fork_height: Annotated[
        int,
        Option("height to go on from; -1: the newest", low=-1, high=2**63 - 1, flag="fork-height"),
    ] = -1


class RpcSettings(Struct, frozen=True):
    """The JSON-RPC server: HTTP and WebSocket on one port."""

    host: Annotated[str, Option("address to listen on")] = "127.0.0.1"
    port: Annotated[int, Option("port to listen on; 0: any free one", low=0, high=65535)] = 8545
    cors_origins: Annotated[
        tuple[str, ...],
        Option("web origins that may call, comma-separated; *: any; none: this machine's"),
    ] = ()
    hosts: Annotated[
        tuple[str, ...],
        Option("host names accepted in the Host header beside IP addresses; *: any"),
    ] = ("localhost",)
    connections_max: Annotated[int, Option("open connections", low=1)] = 1000
    body_bytes_max: Annotated[int, Option("bytes of a request", low=1024)] = 5 * 2**20
    response_bytes_max: Annotated[int, Option("bytes of a batch's answer", low=1024)] = 25 * 2**20
    batch_items_max: Annotated[int, Option("requests in a batch", low=1)] = 1000
    read_timeout_ms: Annotated[int, Option("time to send a request, ms", low=1)] = 30_000
    call_gas_max: Annotated[int, Option("gas of eth_call and its like", low=21_000)] = 50_000_000
    call_timeout_ms: Annotated[int, Option("time of eth_call and its like, ms", low=1)] = 5_000
    trace_timeout_ms: Annotated[
        int, Option("time of a trace; a request may ask for less, ms", low=1)
    ] = 60_000
    trace_bytes_max: Annotated[int, Option("bytes of a trace", low=1024)] = 128 * 2**20
    testing: Annotated[bool, Option("serve the methods testing_*, which only tests need")] = False
    calls_parallel_max: Annotated[
        int, Option("eth_call and its like at the same time", low=1, high=64)
    ] = 4
    calls_waiting_max: Annotated[int, Option("eth_call and its like in line", low=1)] = 256
    logs_max: Annotated[int, Option("logs in one answer", low=1)] = 10_000
    log_heights_max: Annotated[int, Option("heights in one log query", low=1)] = 10_000_000
    filters_max: Annotated[int, Option("filters installed at the same time", low=1)] = 1000
    filter_idle_seconds: Annotated[int, Option("an unread filter lives, s", low=1)] = 300
    subscriptions_max: Annotated[int, Option("subscriptions of one connection", low=1)] = 128
    subscription_queue_max: Annotated[
        int, Option("announcements waiting for a slow subscriber before it is cut off", low=16)
    ] = 4096
    fee_max_ether: Annotated[
        float, Option("ether that a transaction sent here may offer for its gas; 0: any", low=0)
    ] = 1.0
    unprotected: Annotated[
        bool, Option("take transactions that name no chain and so are valid on every one")
    ] = False
    fee_history_heights_max: Annotated[int, Option("heights in one eth_feeHistory", low=1)] = 1024


class NetSettings(Struct, frozen=True):
    """Links to other nodes. Peers are written `<node id>@host:port`, the id in 40 hex digits."""

    host: Annotated[str, Option("address to listen on; empty: only dial")] = "0.0.0.0"
    port: Annotated[int, Option("port to listen on; 0: any free one", low=0, high=65535)] = 30656
    external: Annotated[
        str, Option("host or host:port to be reached at; empty: as peers see this node")
    ] = ""
    bootnodes: Annotated[
        tuple[str, ...], Option("peers to ask for other peers", flag="bootnodes")
    ] = ()
    persistent: Annotated[tuple[str, ...], Option("peers to stay connected with")] = ()
    trusted: Annotated[
        tuple[str, ...],
        Option("node ids or peers that are let in beyond every limit, never banned"),
    ] = ()
    allowed: Annotated[
        tuple[str, ...], Option("node ids that may connect, beside genesis' own; none: all")
    ] = ()
    discovery: Annotated[bool, Option("learn of peers from peers, and tell them of others")] = True
    peers_in_max: Annotated[int, Option("peers that dialled this node", low=0, high=1000)] = 48
    peers_out_max: Annotated[int, Option("peers that this node dials", low=0, high=1000)] = 16
    host_peers_max: Annotated[
        int,
        Option("peers that dialled from one address; this machine's own are not counted", low=1),
    ] = 8
    handshakes_max: Annotated[
        int, Option("connections that have not proved yet who they are", low=1, high=4096)
    ] = 128
    host_handshakes_max: Annotated[
        int, Option("such connections from one address", low=1, high=4096)
    ] = 32
    handshake_timeout_ms: Annotated[
        int, Option("time to prove who one is, ms", low=100, high=60_000)
    ] = 5_000
    ping_interval_ms: Annotated[int, Option("time between signs of life, ms", low=50)] = 2_500
    silence_max_ms: Annotated[
        int, Option("time without a message until a link counts as dead, ms", low=100)
    ] = 10_000
    send_bytes_max: Annotated[int, Option("bytes that wait to be sent to one peer", low=2**20)] = (
        32 * 2**20
    )
    receive_bytes_max: Annotated[
        int, Option("bytes of unfinished messages from all peers together", low=16 * 2**20)
    ] = 256 * 2**20
    receive_rate_max: Annotated[int, Option("bytes per second read from one peer", low=2**16)] = (
        64 * 2**20
    )
    book_addresses_max: Annotated[
        int, Option("addresses of other nodes that are remembered", low=16, high=65_536)
    ] = 4_096
    ban_seconds: Annotated[int, Option("how long a ban lasts, s", low=1)] = 3_600


class PoolSettings(Struct, frozen=True):
    """Transactions that wait for a block."""

    transactions_max: Annotated[int, Option("transactions", low=16)] = 65_536
    bytes_max: Annotated[int, Option("bytes of all transactions", low=2**20)] = 256 * 2**20
    sender_transactions_max: Annotated[int, Option("transactions of one sender", low=1)] = 16_384
    nonce_gap_max: Annotated[
        int, Option("how far a nonce may be beyond the sender's next one", low=0)
    ] = 16_384
    sender_queued_max: Annotated[
        int, Option("transactions of one sender, sent by peers, that wait for a nonce", low=0)
    ] = 1024
    local_max: Annotated[
        int, Option("transactions submitted here that those of peers never push out", low=0)
    ] = 16_384
    queued_seconds: Annotated[
        int, Option("time that a transaction may wait for an earlier nonce, s", low=1)
    ] = 3 * 3600
    pending_seconds: Annotated[
        int, Option("time that a transaction may wait for a block, s", low=1)
    ] = 24 * 3600
    journal: Annotated[bool, Option("keep what waits over stops and crashes")] = True
    transaction_bytes_max: Annotated[
        int, Option("bytes of one transaction without its blobs", low=1024)
    ] = 128 * 2**10
    tip_min: Annotated[int, Option("least priority fee, wei per gas", low=0)] = 0
    replacement_percent: Annotated[
        int, Option("how much more a replacement must pay, in percent", low=1, high=1000)
    ] = 10


class LogSettings(Struct, frozen=True):
    """What the daemon prints."""

    level: Annotated[
        str, Option("least severity printed", choices=("debug", "info", "warning", "error"))
    ] = "info"
    format: Annotated[
        str, Option("text for people; json: one object per line", choices=("text", "json"))
    ] = "text"
    transactions: Annotated[bool, Option("dev: one line per transaction as it runs")] = True


class ConsensusSettings(Struct, frozen=True):
    """This validator's part in agreement; what all must share is in the genesis."""

    delta_ms: Annotated[
        int,
        Option(
            "how long a message may take before a leader is given up on, ms", low=10, high=15000
        ),
    ] = 500
    build_ms_max: Annotated[
        int, Option("how long a leader adds transactions to its block, ms; 0: no limit", low=0)
    ] = 250
    sign_after_loss: Annotated[
        bool, Option("vote at once though this key's vote log is lost (it may have voted!)")
    ] = False


class VmSettings(Struct, frozen=True):
    """What runs contracts. All tiers give the same; native ones need llvmlite."""

    tier: Annotated[
        str,
        Option(
            "what runs contracts; auto: native where it can be",
            flag="vm",
            choices=("auto", "python", "native", "jit"),
        ),
    ] = "auto"
    jit_hot_gas: Annotated[
        int, Option("tier jit: gas after which a contract's code is compiled", low=1)
    ] = 3_000_000


class MetricsSettings(Struct, frozen=True):
    """What machines may ask about the node's state, on the RPC port."""

    enabled: Annotated[bool, Option("serve GET /metrics, in Prometheus' format")] = True
    ready_peers_min: Annotated[
        int, Option("peers without which GET /ready says no, where there is a network", low=0)
    ] = 1


class Settings(Struct, frozen=True):
    """Everything that this one node may be told."""

    chain: ChainSettings = ChainSettings()
    dev: DevSettings = DevSettings()
    rpc: RpcSettings = RpcSettings()
    net: NetSettings = NetSettings()
    pool: PoolSettings = PoolSettings()
    log: LogSettings = LogSettings()
    consensus: ConsensusSettings = ConsensusSettings()
    vm: VmSettings = VmSettings()
    metrics: MetricsSettings = MetricsSettings()


class Declared(Struct, frozen=True):
    """One option with all its names."""

    section: str
    key: str
    kind: Any  # bool, int, float, str, or tuple for a list of strings
    option: Option
    default: Any

    @property
    def flag(self) -> str:
        return self.option.flag or f"{self.section}-{self.key}".replace("_", "-")

    @property
    def variable(self) -> str:
        return f"{ENVIRONMENT_PREFIX}{self.section}_{self.key}".upper()

    @property
    def name(self) -> str:
        return f"{self.section}.{self.key}"


def _declared() -> tuple[Declared, ...]:
    found = []
    for section, default in (
        (name, getattr(Settings(), name)) for name in Settings.__struct_fields__
    ):
        for key, hint in get_type_hints(type(default), include_extras=True).items():
            kind, option = get_args(hint)
            found.append(
                Declared(section, key, get_origin(kind) or kind, option, getattr(default, key))
            )
    return tuple(found)


OPTIONS: Final = _declared()
_KIND_NAMES: Final = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    tuple: "a list of texts",
}


class Loaded(Struct, frozen=True):
    """Settings with where each value came from: "flag", "environment", the file, "default"."""

    settings: Settings
    sources: Mapping[str, str]  # "section.key" -> source


def load_settings(
    flags: Mapping[str, str | bool],
    environment: Mapping[str, str],
    *,
    config: str | None = None,
    default_datadir: str = "",
) -> Loaded:
    """The effective settings; Rejected(BAD_SETTING) names what is wrong and where.

    `flags` holds only what was given, by flag name without dashes. The file is `config`,
    or else config.toml in the data folder when there is one.
    """
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}

    def take(found: Mapping[str, Any], source: str) -> None:
        for name, value in found.items():
            values.setdefault(name, value)
            sources.setdefault(name, source)

    take(_from_flags(flags), "flag")
    take(_from_environment(environment), "environment")
    datadir = values.get("chain.datadir") or default_datadir
    path = config or environment.get(CONFIG_VARIABLE)
    if path:
        take(_from_file(Path(path)), path)
    elif datadir and (found := Path(datadir) / CONFIG_FILE).is_file():
        take(_from_file(found), str(found))
    if not values.get("chain.datadir"):
        values["chain.datadir"] = default_datadir
    sections: dict[str, dict[str, Any]] = {}
    for declared in OPTIONS:
        section = sections.setdefault(declared.section, {})
        section[declared.key] = values.get(declared.name, declared.default)
        sources.setdefault(declared.name, "default")
    settings = Settings(
        chain=ChainSettings(**sections["chain"]),
        dev=DevSettings(**sections["dev"]),
        rpc=RpcSettings(**sections["rpc"]),
        net=NetSettings(**sections["net"]),
        pool=PoolSettings(**sections["pool"]),
        log=LogSettings(**sections["log"]),
        consensus=ConsensusSettings(**sections["consensus"]),
        vm=VmSettings(**sections["vm"]),
        metrics=MetricsSettings(**sections["metrics"]),
    )
    return Loaded(settings, sources)


def describe(loaded: Loaded) -> str:
    """The effective settings as a TOML file that says what each of them means."""
    lines: list[str] = []
    section = ""
    for declared in OPTIONS:
        if declared.section != section:
            section = declared.section
            text = (type(getattr(loaded.settings, section)).__doc__ or "").strip()
            lines += ["", f"# {text}", f"[{section}]"] if lines else [f"# {text}", f"[{section}]"]
        value = getattr(getattr(loaded.settings, section), declared.key)
        lines.append(f"# {explain(declared)}  [{loaded.sources[declared.name]}]")
        lines.append(f"{declared.key} = {_toml(value)}")
    return "\n".join(lines) + "\n"


def explain(declared: Declared) -> str:
    """One line: meaning and bounds."""
    option = declared.option
    text = option.text
    if option.choices:
        text += f" ({', '.join(option.choices)})"
    elif option.low is not None and option.high is not None:
        text += f" ({option.low:g} to {option.high:.16g})"
    return text


def _toml(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case tuple():
            return "[" + ", ".join(_toml(item) for item in value) + "]"
        case str():
            escaped = "".join(
                f"\\u{ord(char):04x}"
                if char in '"\\' or ord(char) < 32 or ord(char) == 127
                else char
                for char in value
            )
            return f'"{escaped}"'
        case _:
            return repr(value)


def _from_flags(flags: Mapping[str, str | bool]) -> dict[str, Any]:
    by_flag = {declared.flag: declared for declared in OPTIONS}
    found = {}
    for flag, value in flags.items():
        declared = by_flag.get(flag)
        if declared is None:
            raise Rejected(Reason.BAD_SETTING, f"unknown flag --{flag}")
        parsed = value if isinstance(value, bool) else _from_text(declared, value, f"--{flag}")
        found[declared.name] = _bounded(declared, parsed, f"--{flag}")
    return found


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    by_variable = {declared.variable: declared for declared in OPTIONS}
    found = {}
    for variable, text in environment.items():
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable == CONFIG_VARIABLE:
            continue
        declared = by_variable.get(variable)
        if declared is None:
            raise Rejected(Reason.BAD_SETTING, f"unknown environment variable {variable}")
        found[declared.name] = _bounded(declared, _from_text(declared, text, variable), variable)
    return found


def _from_file(path: Path) -> dict[str, Any]:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Rejected(Reason.BAD_SETTING, f"{path}: {os.strerror(error.errno or 0)}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Rejected(Reason.BAD_SETTING, f"{path}: not TOML: {error}") from None
    by_name = {declared.name: declared for declared in OPTIONS}
    found = {}
    for section, table in tables.items():
        if section not in Settings.__struct_fields__:
            raise Rejected(Reason.BAD_SETTING, f"{path}: unknown section [{section}]")
        if not isinstance(table, dict):
            raise Rejected(Reason.BAD_SETTING, f"{path}: {section} must be a section: [{section}]")
        for key, value in table.items():
            declared = by_name.get(f"{section}.{key}")
            if declared is None:
                raise Rejected(Reason.BAD_SETTING, f"{path}: unknown key {section}.{key}")
            where = f"{path}: {section}.{key}"
            found[declared.name] = _bounded(declared, _from_toml(declared, value, where), where)
    return found


def _from_text(declared: Declared, text: str, where: str) -> Any:
    """A flag's or a variable's text as the option's type."""
    kind = declared.kind
    try:
        if kind is bool:
            return {"true": True, "1": True, "false": False, "0": False}[text.strip().lower()]
        if kind is tuple:
            return tuple(part.strip() for part in text.split(",") if part.strip())
        if kind is str:
            return text
        return kind(text)
    except (KeyError, ValueError):
        raise _wrong(declared, repr(text), where) from None


def _from_toml(declared: Declared, value: Any, where: str) -> Any:
    kind = declared.kind
    if kind is tuple:
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
    elif kind is float:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    elif type(value) is kind:
        return value
    raise _wrong(declared, repr(value), where)


def _bounded(declared: Declared, value: Any, where: str) -> Any:
    option = declared.option
    if option.choices and value not in option.choices:
        raise Rejected(
            Reason.BAD_SETTING, f"{where}: {value!r} is not one of {', '.join(option.choices)}"
        )
    # Written so that a NaN is refused as well.
    if option.low is not None and not value >= option.low:
        raise Rejected(Reason.BAD_SETTING, f"{where}: {value} is less than {option.low:g}")
    if option.high is not None and not value <= option.high:
        raise Rejected(Reason.BAD_SETTING, f"{where}: {value} is more than {option.high:.16g}")
    return value


def _wrong(declared: Declared, shown: str, where: str) -> Rejected:
    return Rejected(Reason.BAD_SETTING, f"{where}: {shown} is not {_KIND_NAMES[declared.kind]}")
