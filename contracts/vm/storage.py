"""Storage and transient storage."""

from typing import Final

from chain.forks import StoragePricing
from chain.machine import Halt
from contracts.vm.frame import Frame, Halted

# A frame with no more than a call's stipend may not write storage (EIP-2200).
_STIPEND: Final = 2_300


def sload(frame: Frame, slot: int) -> int:
    fork = frame.fork
    if fork.access_lists and frame.state.warm_slot(frame.address, slot):
        frame.charge(fork.gas_cold_slot - fork.gas_warm)
    return frame.state.storage(frame.address, slot)


def sstore(frame: Frame, slot: int, value: int) -> None:
    """Write a slot; price and refund follow the fork's StoragePricing."""
    frame.need_write()
    state, address, fork = frame.state, frame.address, frame.fork
    if fork.storage_pricing is StoragePricing.PLAIN:
        _charge_plain(frame, state.storage(address, slot), value)
    else:
        if fork.storage_pricing is StoragePricing.NET_WITH_STIPEND_GUARD and frame.gas <= _STIPEND:
            raise Halted(Halt.OUT_OF_GAS)
        if fork.access_lists and state.warm_slot(address, slot):
            frame.charge(fork.gas_cold_slot)
        current = state.storage(address, slot)
        original = state.original_storage(address, slot)
        _charge_net(frame, original, current, value)
    state.set_storage(address, slot, value)


def _charge_plain(frame: Frame, current: int, value: int) -> None:
    fork = frame.fork
    if value and not current:
        frame.charge(fork.gas_storage_set)
    else:
        frame.charge(fork.gas_storage_reset)
        if current and not value:
            frame.state.refund += fork.refund_storage_clear


def _charge_net(frame: Frame, original: int, current: int, value: int) -> None:
    """EIP-1283 and its successors: pay for the slot's net change over the transaction."""
    fork, state = frame.fork, frame.state
    if fork.access_lists:
        touch, reset = fork.gas_warm, fork.gas_storage_reset - fork.gas_cold_slot
    else:
        touch, reset = fork.gas_sload, fork.gas_storage_reset
    if value == current:
        frame.charge(touch)
        return
    if current == original:
        frame.charge(reset if original else fork.gas_storage_set)
        if original and not value:
            state.refund += fork.refund_storage_clear
        return
    frame.charge(touch)
    if original:
        if not current:
            state.refund -= fork.refund_storage_clear
        elif not value:
            state.refund += fork.refund_storage_clear
    if value == original:
        state.refund += (reset if original else fork.gas_storage_set) - touch


def tload(frame: Frame, slot: int) -> int:
    return frame.state.transient(frame.address, slot)


def tstore(frame: Frame, slot: int, value: int) -> None:
    frame.need_write()
    frame.state.set_transient(frame.address, slot, value)
