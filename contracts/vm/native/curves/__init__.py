"""Elliptic curves in native code: kernels of a field, of its extensions, of points and pairings.

`bn254` is the whole as Python calls it; what it means is said by
contracts.vm.precompiles.bn254 and bn254_curve, which serve where llvmlite is missing.
"""
