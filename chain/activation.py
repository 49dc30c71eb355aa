"""When each fork becomes active: the `config` section of a genesis.

Blocks before the merge go by height, blocks after it by time; in between stands the
total difficulty at which the merge happens.
"""

from collections.abc import Iterator
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from chain import forks
from chain.errors import Reason, Rejected
from chain.forks import BlobSchedule, Fork
from chain.json_values import Key
from chain.ledger_rules import GenesisValidator, LedgerRules, parse_ledger_rules
from chain.types import ZERO_ADDRESS, Address

__all__ = [
    "ChainConfig",
    "GenesisValidator",
    "LedgerRules",
    "config_of",
    "for_developers",
    "parse_blob_schedule",
    "parse_config",
    "with_rules",
]


class ChainConfig(Struct, frozen=True, kw_only=True):
    """The rules that all nodes of a chain share. Heights in blocks, times in seconds."""

    chain_id: int
    heights: tuple[tuple[int, Fork], ...] = ((0, forks.FRONTIER),)  # ascending, from 0 on
    times: tuple[tuple[int, Fork], ...] = ()  # ascending; active only after the merge
    terminal_total_difficulty: int | None = None  # None: never merges
    dao_fork: int | None = None  # the block that moves the DAO's funds
    dao_refused: int | None = None  # the block that others moved them at
    deposit_contract: Address = ZERO_ADDRESS
    # Every height at which peers must agree to have forked, beyond 0 (EIP-2124).
    announced_heights: tuple[int, ...] = ()
    first_merged: Fork = forks.PARIS  # of merged blocks, until the first of `times` is due
    ledger: LedgerRules = LedgerRules()  # set by `with_rules`, which the forks must follow

    def fork_at(self, number: int, timestamp: int, merged: bool) -> Fork:
        """The rules of block `number` at `timestamp`.

        `merged` says that the chain up to its parent has reached the terminal
        total difficulty (`merged_after`).
        """
        if not merged:
            return _active(self.heights, number) or forks.FRONTIER
        return _active(self.times, timestamp) or self.first_merged

    def merged_after(self, total_difficulty: int) -> bool:
        """Whether the child of a block with this total difficulty is proof of stake."""
        terminal = self.terminal_total_difficulty
        return terminal is not None and total_difficulty >= terminal


def _active(activations: tuple[tuple[int, Fork], ...], now: int) -> Fork | None:
    """The last fork that is due: mostly the last of all."""
    for at, fork in reversed(activations):
        if at <= now:
            return fork
    return None


def config_of(
    fork: Fork, *, chain_id: int = 1, deposit_contract: Address = forks.DEPOSIT_CONTRACT_ADDRESS
) -> ChainConfig:
    """A chain that has run by `fork` since its first block."""
    return ChainConfig(
        chain_id=chain_id,
        heights=((0, forks.GRAY_GLACIER if fork.merged else fork),),
        times=((0, fork),) if fork.merged else (),
        terminal_total_difficulty=0 if fork.merged else None,
        deposit_contract=deposit_contract,
    )


def with_rules(config: ChainConfig, rules: LedgerRules) -> ChainConfig:
    """The same chain under our own rules: its forks know what these say about fees."""
    fees = {"free": rules.free, "keeps_base_fee": rules.fee_recipient is not None}
    return replace(
        config,
        heights=tuple((height, replace(fork, **fees)) for height, fork in config.heights),
        times=tuple((time, replace(fork, **fees)) for time, fork in config.times),
        first_merged=replace(config.first_merged, **fees),
        ledger=rules,
    )


# -- reading ---------------------------------------------------------------------------------------

# Names in geth's order of activation; those that change only the bomb may be left out.
_HEIGHT_NAMES: Final = (
    "homestead", "daoFork", "eip150", "eip155", "eip158", "byzantium", "constantinople",
    "petersburg", "istanbul", "muirGlacier", "berlin", "london", "arrowGlacier", "grayGlacier",
    "mergeNetsplit",
)  # fmt: skip
_OPTIONAL: Final = frozenset(
    {"daoFork", "muirGlacier", "arrowGlacier", "grayGlacier", "mergeNetsplit"}
)
_RULES: Final = {
    "homestead": forks.HOMESTEAD,
    "eip150": forks.TANGERINE_WHISTLE,
    "eip158": forks.SPURIOUS_DRAGON,
    "byzantium": forks.BYZANTIUM,
    "constantinople": forks.CONSTANTINOPLE,
    "petersburg": forks.PETERSBURG,
    "istanbul": forks.ISTANBUL,
    "muirGlacier": forks.MUIR_GLACIER,
    "berlin": forks.BERLIN,
    "london": forks.LONDON,
    "arrowGlacier": forks.ARROW_GLACIER,
    "grayGlacier": forks.GRAY_GLACIER,
}
# The forks that push the bomb back. One may have been left out that a later fork builds on.
_BOMB_NAMES: Final = (
    "byzantium", "constantinople", "muirGlacier", "london", "arrowGlacier", "grayGlacier",
)  # fmt: skip
_TIME_NAMES: Final = (
    "shanghai",
    "cancun",
    "prague",
    "osaka",
    "bpo1",
    "bpo2",
    "bpo3",
    "bpo4",
    "bpo5",
)
_TIME_RULES: Final = {
    "shanghai": forks.SHANGHAI,
    "cancun": forks.CANCUN,
    "prague": forks.PRAGUE,
    "osaka": forks.OSAKA,
}
_UNSUPPORTED: Final = ("amsterdamTime", "verkleTime", "ubtTime")
# Those that Ethereum's networks run by where a genesis does not say (EIP-7892).
_BLOB_SCHEDULES: Final = {
    "bpo1": BlobSchedule(target=10, max=15, base_fee_update_fraction=8_346_193),
    "bpo2": BlobSchedule(target=14, max=21, base_fee_update_fraction=11_684_671),
}


def for_developers(config: ChainConfig) -> ChainConfig:
    """The same rules on a developer's chain.

    There contracts may send transactions, and one may have all of a block's gas, as on other
    tools' chains, whose gas limits are written into many projects.
    """

    def freed(forks: tuple[tuple[int, Fork], ...]) -> tuple[tuple[int, Fork], ...]:
        return tuple(
            (at, replace(fork, contracts_may_send=True, transaction_gas_max=None))
            for at, fork in forks
        )

    return replace(config, heights=freed(config.heights), times=freed(config.times))


def parse_config(key: Key) -> ChainConfig:
    """The `config` of a genesis; raises BAD_GENESIS. Keys of other clients are passed over."""
    for name in _UNSUPPORTED:
        if (found := key.optional(name)) is not None:
            raise found.refuse("this fork is not supported")
    heights = _parse_heights(key)
    terminal = key.optional("terminalTotalDifficulty")
    times = _parse_times(key)
    if times and terminal is None:
        raise Rejected(
            Reason.BAD_GENESIS,
            f"{key.path}.terminalTotalDifficulty: is missing, and forks by time need it",
        )
    deposit_contract = key.optional("depositContractAddress")
    dao, supported = heights.get("daoFork"), key.optional("daoForkSupport")
    supports_dao = supported is not None and supported.boolean()
    rules = key.optional("ledger")
    config = ChainConfig(
        chain_id=key.required("chainId").integer(32),
        heights=tuple(_height_forks(heights)),
        times=times,
        terminal_total_difficulty=terminal.integer(64) if terminal is not None else None,
        dao_fork=dao if supports_dao else None,
        dao_refused=None if supports_dao else dao,
        deposit_contract=Address(deposit_contract.fixed(20)) if deposit_contract else ZERO_ADDRESS,
        announced_heights=tuple(sorted({height for height in heights.values() if height})),
    )
    return config if rules is None else with_rules(config, parse_ledger_rules(rules))


def _parse_heights(key: Key) -> dict[str, int]:
    """Activation heights by name, in order, without gaps (as geth demands)."""
    found: dict[str, int] = {}
    last, last_height, missing = "", 0, ""
    for name in _HEIGHT_NAMES:
        entry = key.optional(name + "Block")
        if entry is None:
            if name not in _OPTIONAL and not missing:
                missing = name
            continue
        height = entry.integer(8)
        if missing and name not in _OPTIONAL:
            raise entry.refuse(f"{missing}Block is not set, which comes before")
        if height < last_height:
            raise entry.refuse(f"{height} is before {last}Block, {last_height}")
        found[name] = height
        last, last_height = name, height
    return found


def _height_forks(heights: dict[str, int]) -> Iterator[tuple[int, Fork]]:
    """The fork from each activation height on, the first one from 0 on."""
    changes = {height for name, height in heights.items() if name in _RULES or name == "eip155"}
    for now in sorted(changes | {0}):
        active = [name for name in heights if heights[name] <= now]
        fork = forks.FRONTIER
        for name in active:
            fork = _RULES.get(name, fork)
        if "constantinople" in active and "petersburg" not in heights:
            fork = forks.PETERSBURG if fork is forks.CONSTANTINOPLE else fork
        delays = [_RULES[name].bomb_delay for name in _BOMB_NAMES if name in active]
        yield (
            now,
            replace(
                fork,
                bomb_delay=delays[-1] if delays else 0,
                replay_protection="eip155" in active,
            ),
        )


def _parse_times(key: Key) -> tuple[tuple[int, Fork], ...]:
    found: list[tuple[int, Fork]] = []
    previous: Fork | None = None
    schedules = key.optional("blobSchedule")
    last, missing = "", ""
    for name in _TIME_NAMES:
        entry = key.optional(name + "Time")
        if entry is None:
            if name in _TIME_RULES:
                missing = missing or name
            continue
        time = entry.integer(8)
        if missing:
            raise entry.refuse(f"{missing}Time is not set, which comes before")
        if found and time < found[-1][0]:
            raise entry.refuse(f"{time} is before {last}Time, {found[-1][0]}")
        fork = _TIME_RULES.get(name) or replace(previous or forks.OSAKA, name=name)
        schedule = schedules.optional(name) if schedules is not None else None
        if schedule is not None and fork.blobs is not None:
            fork = replace(fork, blobs=parse_blob_schedule(schedule))
        elif name not in _TIME_RULES:
            if name not in _BLOB_SCHEDULES:
                raise Rejected(Reason.BAD_GENESIS, f"{key.path}.blobSchedule.{name}: is missing")
            fork = replace(fork, blobs=_BLOB_SCHEDULES[name])
        found.append((time, fork))
        previous, last = fork, name
    return tuple(found)


def parse_blob_schedule(key: Key) -> BlobSchedule:
    """`target`, `max` and `baseFeeUpdateFraction` (EIP-7840)."""
    target, largest = key.required("target"), key.required("max")
    fraction = key.required("baseFeeUpdateFraction")
    schedule = BlobSchedule(target.integer(4), largest.integer(4), fraction.integer(8))
    if not schedule.base_fee_update_fraction:
        raise fraction.refuse("must not be 0")
    if schedule.max < max(schedule.target, 1):
        raise largest.refuse("must be at least 1 and the target")
    return schedule
