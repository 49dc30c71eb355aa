"""What the network names of Ethereum's tests mean: a fork, or a change from one to another."""

import re
from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from chain import forks
from chain.activation import ChainConfig, parse_blob_schedule
from chain.errors import Rejected
from chain.forks import BlobSchedule, Fork
from chain.json_values import Key
from node.conformance.fixtures import MalformedFixture

_OSAKA_WITH: Final = {
    "BPO1": BlobSchedule(target=10, max=15, base_fee_update_fraction=8_346_193),
    "BPO2": BlobSchedule(target=14, max=21, base_fee_update_fraction=11_684_671),
    "BPO3": BlobSchedule(target=21, max=32, base_fee_update_fraction=20_609_697),
    "BPO4": BlobSchedule(target=14, max=21, base_fee_update_fraction=13_739_630),
}
_FORKS: Final[dict[str, Fork]] = {
    "Frontier": forks.FRONTIER,
    "Homestead": forks.HOMESTEAD,
    "EIP150": forks.TANGERINE_WHISTLE,
    "TangerineWhistle": forks.TANGERINE_WHISTLE,
    "EIP158": forks.SPURIOUS_DRAGON,
    "SpuriousDragon": forks.SPURIOUS_DRAGON,
    "Byzantium": forks.BYZANTIUM,
    "Constantinople": forks.CONSTANTINOPLE,
    "ConstantinopleFix": forks.PETERSBURG,
    "Petersburg": forks.PETERSBURG,
    "Istanbul": forks.ISTANBUL,
    "MuirGlacier": forks.MUIR_GLACIER,
    "Berlin": forks.BERLIN,
    "London": forks.LONDON,
    "ArrowGlacier": forks.ARROW_GLACIER,
    "GrayGlacier": forks.GRAY_GLACIER,
    "Merge": forks.PARIS,
    "Paris": forks.PARIS,
    "Shanghai": forks.SHANGHAI,
    "Cancun": forks.CANCUN,
    "Prague": forks.PRAGUE,
    "Osaka": forks.OSAKA,
    **{
        name: replace(forks.OSAKA, name=name.lower(), blobs=schedule)
        for name, schedule in _OSAKA_WITH.items()
    },
}
# A at first, B from a block number, a time in thousands of seconds, or a total difficulty on.
_CHANGE: Final = re.compile(
    r"(?P<first>\w+?)To(?P<then>\w+?)At(?P<unit>Time|Diff)?(?P<value>[0-9A-Fa-f]+)(?P<kilo>k?)"
)

NETWORKS: Final = tuple(_FORKS)


def fork_named(name: str, config: object = None) -> Fork:
    """The fork that a test names, with the blob schedule of the test's `config`, if any."""
    fork = _FORKS.get(name)
    if fork is None:
        raise MalformedFixture(f"unknown network {name!r}")
    schedules = config.get("blobSchedule") if isinstance(config, Mapping) else None
    if fork.blobs is None or not isinstance(schedules, Mapping):
        return fork
    for known, value in schedules.items():
        if known.lower() == name.lower():
            try:
                schedule = parse_blob_schedule(Key(value, f"blobSchedule.{known}"))
            except Rejected as error:
                raise MalformedFixture(error.detail) from error
            return replace(fork, blobs=schedule)
    return fork


def network_config(network: str, config: object = None, *, chain_id: int = 1) -> ChainConfig:
    """The rules of a test's chain. `config` is the test's own, if it has any."""
    change = _CHANGE.fullmatch(network)
    if change is None:
        return _steady(fork_named(network, config), chain_id)
    first = fork_named(change["first"], config)
    if change["then"] == "Dao":
        return replace(_steady(first, chain_id), dao_fork=int(change["value"]))
    then = fork_named(change["then"], config)
    if change["unit"] == "Time":
        now = int(change["value"]) * (1000 if change["kilo"] else 1)
        return replace(_steady(first, chain_id), times=((0, first), (now, then)))
    if change["unit"] == "Diff":
        return replace(
            _steady(first, chain_id),
            times=((0, then),),
            terminal_total_difficulty=int(change["value"], 16),
        )
    return replace(_steady(first, chain_id), heights=((0, first), (int(change["value"]), then)))


def _steady(fork: Fork, chain_id: int) -> ChainConfig:
    """A chain that runs by one fork from its first block on."""
    return ChainConfig(
        chain_id=chain_id,
        heights=((0, forks.GRAY_GLACIER if fork.merged else fork),),
        times=((0, fork),) if fork.merged else (),
        terminal_total_difficulty=0 if fork.merged else None,
        deposit_contract=forks.DEPOSIT_CONTRACT_ADDRESS,
    )
