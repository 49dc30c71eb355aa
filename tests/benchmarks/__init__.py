"""`make bench`: our speed beside py-evm's, in one run, as ratios.

The two sides take turns in one process and the minimum of each side's rounds counts, so
that what else the machine does hits both alike and mostly not at all. B=name selects:

    transfers    raw bytes to a committed block of 5,000
    blocks       blocks imported: decoded, checked, run, committed
    disk         the data folder per 100,000 transfers
    vm_plain     contracts in the plain interpreter
    vm_native    contracts in the native interpreter, beside revm
    commit       the state commit with 1,000,000 accounts; memory and disk of them
"""
