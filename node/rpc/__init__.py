"""JSON-RPC 2.0 over HTTP and WebSocket on one port.

`registry` makes a method of a typed function: parameters, help and checks come from its
signature. The method modules are thin; `server` knows bytes, limits and connections.
"""
