"""The precompiled contracts: a price and a function of the input, by address.

A function gives None when the input is wrong, which takes all the gas. Heavy
libraries are imported when first used.
"""

from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

from chain.forks import Fork
from chain.types import Address
from contracts.vm.precompiles import (
    blake2,
    bls12,
    bn254,
    hashes,
    kzg,
    modexp,
    signatures,
)


class Precompile(Struct, frozen=True):
    """A contract without code. `gas` may read the input, and is paid before `run`."""

    name: str
    gas: Callable[[bytes, Fork], int]
    run: Callable[[bytes, Fork], bytes | None]


PRECOMPILES: Final[Mapping[int, Precompile]] = {
    0x01: Precompile("ECREC", signatures.recover_gas, signatures.recover),
    0x02: Precompile("SHA256", hashes.sha256_gas, hashes.sha256),
    0x03: Precompile("RIPEMD160", hashes.ripemd160_gas, hashes.ripemd160),
    0x04: Precompile("ID", hashes.identity_gas, hashes.identity),
    0x05: Precompile("MODEXP", modexp.gas, modexp.run),
    0x06: Precompile("BN254_ADD", bn254.add_gas, bn254.add),
    0x07: Precompile("BN254_MUL", bn254.mul_gas, bn254.mul),
    0x08: Precompile("BN254_PAIRING", bn254.pairing_gas, bn254.pairing),
    0x09: Precompile("BLAKE2F", blake2.gas, blake2.run),
    0x0A: Precompile("KZG_POINT_EVALUATION", kzg.gas, kzg.run),
    0x0B: Precompile("BLS12_G1ADD", bls12.g1_add_gas, bls12.g1_add),
    0x0C: Precompile("BLS12_G1MSM", bls12.g1_msm_gas, bls12.g1_msm),
    0x0D: Precompile("BLS12_G2ADD", bls12.g2_add_gas, bls12.g2_add),
    0x0E: Precompile("BLS12_G2MSM", bls12.g2_msm_gas, bls12.g2_msm),
    0x0F: Precompile("BLS12_PAIRING_CHECK", bls12.pairing_gas, bls12.pairing),
    0x10: Precompile("BLS12_MAP_FP_TO_G1", bls12.map_fp_gas, bls12.map_fp),
    0x11: Precompile("BLS12_MAP_FP2_TO_G2", bls12.map_fp2_gas, bls12.map_fp2),
    0x100: Precompile("P256VERIFY", signatures.p256_gas, signatures.p256_verify),
}


def precompiles_of(
    fork: Fork, moved: Mapping[Address, Address] | None = None
) -> Mapping[Address, Precompile]:
    """The fork's precompiles by address; `moved` gives the usual address of unusual ones."""
    usual = moved or {}
    return {
        address: PRECOMPILES[int.from_bytes(usual.get(address, address), "big")]
        for address in fork.precompiles
    }
