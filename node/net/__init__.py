"""Links to other nodes: from sockets to messages and back.

    messages network             what travels; what the parts above know of the links
    handshake frames rates       who is there; what gets in, how long, how often
    send_queue book bans         what waits to go out; where others are; who is kept out
    dialing exchange welcome     whom to dial; whom to ask for more; who is let in
    addresses                    how all of them are written
    certificate sockets          TLS; a WebSocket behind a sieve
    listening dialler greeting   being dialled, dialling, shaking hands
    link                         what comes of it
    kept peers                   what stays on disk; all of it put together

The first five lines know no clock and no socket (but for messages' bytes).
"""
