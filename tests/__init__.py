"""Tests mirror the source: tests/chain, tests/contracts, tests/node, tests/wallet.

    conformance     the official samples, when they are at hand
    differential    random cases beside an independent implementation
    end_to_end      real processes, real sockets, real clients
    benchmarks      `make bench`: ratios, measured in one run
    support         daemons, builders, samples

A test's name is a sentence of behaviour. Nothing here waits by sleeping or asserts a time.
"""
