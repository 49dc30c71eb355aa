"""Precompiled contracts that native code calls without leaving: no Python between two calls.

To native code such a contract is an account whose code is compiled: its first opcode
enters a function that does the work and ends the frame. The definitions, with which the
functions agree in gas and output, are in contracts.vm.precompiles; Python runs these where
there is no function here, and for traced messages.
"""
