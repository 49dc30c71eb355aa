"""Real processes and sockets; asserts through RPC only. Waits on conditions, never sleeps."""
