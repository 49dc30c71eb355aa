"""What running nodes answer about themselves, and the table of it."""

from collections.abc import Sequence
from typing import Any, Final

import aiohttp
from msgspec import Struct

_METHODS: Final = (
    "eth_blockNumber",
    "ledger_consensusStatus",
    "net_peerCount",
    "txpool_status",
)
_BODY: Final = [
    {"jsonrpc": "2.0", "id": place, "method": name, "params": []}
    for place, name in enumerate(_METHODS)
]
_TIMEOUT: Final = aiohttp.ClientTimeout(total=1.0)
_HEADINGS: Final = ("node", "state", "height", "epoch", "view", "peers", "pool", "finality p50")
_UNKNOWN: Final = "-"


class Answer(Struct, frozen=True):
    """A node's account of itself; None for what it does not tell. Latency in ms."""

    height: int | None = None
    epoch: int | None = None
    view: int | None = None
    peers: int | None = None
    pool: int | None = None  # transactions, waiting ones included
    finality_ms: int | None = None  # p50 of the last blocks
    missing: tuple[str, ...] = ()  # validators that it does not hear


class Row(Struct, frozen=True):
    """A line of the table. `answer` None: it does not answer."""

    name: str
    state: str
    answer: Answer | None


async def ask(session: aiohttp.ClientSession, url: str) -> Answer | None:
    """What a node answers; None when it does not within a second."""
    try:
        async with session.post(url, json=_BODY, timeout=_TIMEOUT) as response:
            answers = await response.json()
        results: dict[int, Any] = {item["id"]: item.get("result") for item in answers}
        height, status, peers, pool = (results.get(place) for place in range(len(_METHODS)))
        status = status or {}
        return Answer(
            height=_number(height),
            epoch=_number(status.get("epoch")),
            view=_number(status.get("view")),
            peers=_number(peers),
            pool=None if pool is None else int(pool["pending"], 16) + int(pool["queued"], 16),
            finality_ms=_number(status.get("finalityMsP50")),
            missing=tuple(item["address"] for item in status.get("missing", ())),
        )
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError, KeyError, TypeError):
        return None  # it starts, is paused, or something else answers on its port


def _number(value: str | None) -> int | None:
    return None if value is None else int(value, 16)


def table(rows: Sequence[Row]) -> list[str]:
    """The lines of the table, its heading first."""
    cells = [_HEADINGS, *map(_cells, rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(_HEADINGS))]
    return [
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


def _cells(row: Row) -> tuple[str, ...]:
    answer = row.answer or Answer()
    numbers = (answer.height, answer.epoch, answer.view, answer.peers, answer.pool)
    shown = [_UNKNOWN if number is None else str(number) for number in numbers]
    latency = _UNKNOWN if answer.finality_ms is None else f"{answer.finality_ms} ms"
    return row.name, row.state, *shown, latency
