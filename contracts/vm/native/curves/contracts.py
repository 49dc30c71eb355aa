"""Kernels of the precompiled contracts on alt_bn128, for native code that calls them."""

from contracts.vm.native.curves.elements import Constants
from contracts.vm.native.curves.pairing import (
    ONE,
    PAIR,
    bn254_add,
    bn254_multiply,
    bn254_pairing,
)
from contracts.vm.native.curves.points import WRONG
from contracts.vm.native.precompiled.entries import Contract
from contracts.vm.native.precompiled.exchange import give_output, take
from contracts.vm.native.records import NO_GAS, U64
from contracts.vm.native.words import (
    address_of,
    at,
    clear_bytes,
    room,
    store_byte,
)

SUM_INPUT = 128
PRODUCT_INPUT = 96


def run_bn254_add(contract: Contract, data: U64, size: U64, gas: U64) -> U64:
    if contract.price > gas:
        return NO_GAS
    points = address_of(room(16))
    take(points, data, size, 0, SUM_INPUT)
    k = at(Constants, contract.constants)
    if not bn254_add(address_of(contract.output), points, k):
        return NO_GAS
    give_output(contract, 64)
    return gas - contract.price


def run_bn254_multiply(contract: Contract, data: U64, size: U64, gas: U64) -> U64:
    if contract.price > gas:
        return NO_GAS
    point = address_of(room(12))
    take(point, data, size, 0, PRODUCT_INPUT)
    k = at(Constants, contract.constants)
    if not bn254_multiply(address_of(contract.output), point, k):
        return NO_GAS
    give_output(contract, 64)
    return gas - contract.price


def run_bn254_pairing(contract: Contract, data: U64, size: U64, gas: U64) -> U64:
    count = size // PAIR
    cost = contract.price + contract.unit_price * count
    if cost > gas or count * PAIR != size:
        return NO_GAS
    found = bn254_pairing(data, count, at(Constants, contract.constants))
    if found == WRONG:
        return NO_GAS
    place = address_of(contract.output)
    clear_bytes(place, 32)
    store_byte(place + 31, found == ONE)
    give_output(contract, 32)
    return gas - cost
