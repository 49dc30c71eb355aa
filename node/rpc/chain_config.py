"""eth_config: which rules are in force now, next and last (EIP-7910)."""

import zlib
from typing import Final

from chain.activation import ChainConfig
from chain.forks import (
    BEACON_ROOTS_ADDRESS,
    CONSOLIDATION_REQUESTS_ADDRESS,
    HISTORY_STORAGE_ADDRESS,
    WITHDRAWAL_REQUESTS_ADDRESS,
    Fork,
)
from chain.types import Address, Hash
from node.rpc.context import Context
from node.rpc.formats import Json, data
from node.rpc.registry import method

_PRECOMPILES: Final[dict[int, str]] = {
    0x01: "ECREC",
    0x02: "SHA256",
    0x03: "RIPEMD160",
    0x04: "ID",
    0x05: "MODEXP",
    0x06: "BN254_ADD",
    0x07: "BN254_MUL",
    0x08: "BN254_PAIRING",
    0x09: "BLAKE2F",
    0x0A: "KZG_POINT_EVALUATION",
    0x0B: "BLS12_G1ADD",
    0x0C: "BLS12_G1MSM",
    0x0D: "BLS12_G2ADD",
    0x0E: "BLS12_G2MSM",
    0x0F: "BLS12_PAIRING_CHECK",
    0x10: "BLS12_MAP_FP_TO_G1",
    0x11: "BLS12_MAP_FP2_TO_G2",
    0x100: "P256VERIFY",
}


def fork_id(config: ChainConfig, genesis_hash: Hash, genesis_time: int, until: int) -> bytes:
    """The checksum of a chain's forks up to a time, 4 bytes (EIP-2124, EIP-6122)."""
    checksum = zlib.crc32(genesis_hash)
    times = sorted({time for time, _ in config.times if genesis_time < time <= until})
    for activation in (*config.announced_heights, *times):
        checksum = zlib.crc32(activation.to_bytes(8, "big"), checksum)
    return checksum.to_bytes(4, "big")


@method("eth_config")
async def get_config(ctx: Context) -> Json:
    """The configuration of the forks by time: the current one, the next and the last."""
    ledger = ctx.ledger
    now = ctx.header(ledger.height).timestamp
    genesis_time = ctx.header(ctx.lowest).timestamp
    # Of forks that begin at the same time the last one counts.
    by_time = dict(ledger.config.times)
    passed = [time for time in by_time if time <= now]
    coming = [time for time in by_time if time > now]

    def shown(time: int | None) -> Json | None:
        if time is None:
            return None
        return _shown(ledger.config, by_time[time], time, ledger.genesis_hash, genesis_time)

    return {
        "current": shown(max(passed, default=None)),
        "next": shown(min(coming, default=None)),
        "last": shown(max(coming, default=None)),
    }


def _shown(
    config: ChainConfig, fork: Fork, time: int, genesis_hash: Hash, genesis_time: int
) -> Json:
    schedule = fork.blobs
    return {
        "activationTime": time,
        "blobSchedule": schedule
        and {
            "target": schedule.target,
            "max": schedule.max,
            "baseFeeUpdateFraction": schedule.base_fee_update_fraction,
        },
        "chainId": hex(config.chain_id),
        "forkId": data(fork_id(config, genesis_hash, genesis_time, time)),
        "precompiles": {
            _PRECOMPILES[int.from_bytes(address, "big")]: data(address)
            for address in sorted(fork.precompiles)
        },
        "systemContracts": {
            name: data(address) for name, address in _system_contracts(config, fork).items()
        },
    }


def _system_contracts(config: ChainConfig, fork: Fork) -> dict[str, Address]:
    contracts: dict[str, Address] = {}
    if fork.beacon_root:
        contracts["BEACON_ROOTS_ADDRESS"] = BEACON_ROOTS_ADDRESS
    if fork.requests:
        contracts["CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS"] = CONSOLIDATION_REQUESTS_ADDRESS
        contracts["DEPOSIT_CONTRACT_ADDRESS"] = config.deposit_contract
    if fork.block_hash_history:
        contracts["HISTORY_STORAGE_ADDRESS"] = HISTORY_STORAGE_ADDRESS
    if fork.requests:
        contracts["WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS"] = WITHDRAWAL_REQUESTS_ADDRESS
    return contracts
