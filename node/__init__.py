"""The daemon: everything with a clock, a socket or a thread.

    __main__ settings      commands; one typed settings object, read once
    node                   builds all parts, visibly, and starts and stops them
    pool proposer          transactions that wait; blocks made of them
    consensus              a pure core that decides, a driver that acts
    net gossip sync        links; what is told over them; how one catches up
    rpc                    JSON-RPC over HTTP and WebSocket
    announce               what was committed, told to whoever subscribed
    watch                  metrics, health, logs: what operators see
    commands up            commands beside `run`; whole networks on one machine
    devchain testing       the developer's ledger, also inside a test
    simulator              whole networks on virtual time
    conformance            the official test formats, run against the rules

It may import `contracts` and `chain`; nothing imports it.
"""

from typing import Final

VERSION: Final = "0.1.0"  # as in pyproject.toml
