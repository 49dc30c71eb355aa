"""Many transactions at once with instant mining: none lost, none forgotten, no empty blocks.

`CHAIN_NETWORK_LONG` (`make e2e`) makes it 10,000 instead of 500.
"""

import asyncio
import json
import os
from typing import Any, Final

from tests.support.daemon import DEV_ADDRESSES, DEV_KEYS, running, signed_transfer, wait_until

COUNT: Final = 10_000 if "CHAIN_NETWORK_LONG" in os.environ else 500
CONNECTIONS: Final = 50


def test_single_requests_from_many_connections_all_get_in() -> None:
    """Nonces of one sender come in any order, each by itself; every answer is in a block."""
    raws = [
        signed_transfer(DEV_KEYS[index % 3], index // 3, max_fee=10**13) for index in range(COUNT)
    ]
    with running("dev", "--ephemeral", "--no-log-transactions") as daemon:
        answers = asyncio.run(_send_all(daemon.port, raws))
        assert all("result" in answer for answer in answers)
        nothing = {"pending": "0x0", "queued": "0x0"}
        wait_until(lambda: daemon.rpc.call("txpool_status") == nothing)
        nonces = [
            int(daemon.rpc.call("eth_getTransactionCount", address, "latest"), 16)
            for address in DEV_ADDRESSES
        ]
        assert sum(nonces) == COUNT
        heights = range(1, daemon.rpc.height() + 1)
        counts: list[int] = []
        for start in range(0, len(heights), 500):
            calls = [
                ("eth_getBlockTransactionCountByNumber", [hex(height)])
                for height in heights[start : start + 500]
            ]
            counts += [int(answer["result"], 16) for answer in daemon.rpc.batch(calls)]
        assert all(counts)
        assert sum(counts) == COUNT


async def _send_all(port: int, raws: list[str]) -> list[dict[str, Any]]:
    left = iter(raws)
    answers: list[dict[str, Any]] = []

    async def send() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for raw in left:
            body = json.dumps(
                {"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction", "params": [raw]}
            ).encode()
            writer.write(
                b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
            )
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            answers.append(json.loads(await reader.readexactly(size)))
        writer.close()

    await asyncio.gather(*(send() for _ in range(CONNECTIONS)))
    return answers
