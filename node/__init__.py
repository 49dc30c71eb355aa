"""The daemon: everything with a clock, a socket or a thread.

    __main__ settings      commands; one typed settings object, read once
    node                   builds all parts, visibly, and starts and stops them
    mempool proposer       transactions that wait; blocks made of them
    consensus              a pure core that decides, a driver that acts
    rpc                    JSON-RPC over HTTP and WebSocket
    announce               what was committed, told to whoever subscribed
    conformance            the official test formats, run against the rules

It may import `contracts` and `chain`; nothing imports it.
"""
