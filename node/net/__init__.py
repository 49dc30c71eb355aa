"""Links to other nodes: from sockets to messages and back.

    messages network             what travels; what the parts above know of the links
    handshake frames rates       who is there; what gets in, how long, how often
    send_queue book bans         what waits to go out; where others are; who is kept out
    dialing exchange addresses   whom to dial; whom to ask for more; where that is
    certificate sockets          TLS; a WebSocket behind a sieve
    listening dialler link       being dialled, dialling, and what comes of both
    kept peers                   what stays on disk; all of it put together

The first four lines know no clock and no socket (but for messages' bytes).
"""
