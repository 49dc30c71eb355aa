"""docs/compatibility.md, written from the last run of the clients: `make compat`.

    python -m tests.support.compatibility RESULTS

RESULTS has a line of JSON for each scenario that ran: client, capability, chain, passed.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from tests.support.capabilities import MEANINGS

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "compatibility.md"

_HEAD: Final = """\
# Which client does what

Written by `make compat`, which lets every client do all that it is for at a developer's chain
(dev) and at a network of four validators (net), and judges what it saw; `make test` and `make e2e`
run the same scenarios (tests/end_to_end/test_clients_*.py). The libraries and Foundry do it at a
network with a block a second as well. yes: it works; **no**: it does not;
empty: the client has no such thing, or its kind of chain has not. The token is one of
OpenZeppelin 5, compiled by each tool's own compiler or by solc; titanoboa's is in Vyper.

MetaMask, Remix, Blockscout, Otterscan and The Graph are tried by the requests that they send
(tests/end_to_end/clients/requests.json): each is answered in its form, alone and in a batch.

"""


def page(results: Iterable[dict[str, Any]]) -> str:
    """The whole page."""
    cells: dict[tuple[str, str], dict[str, bool]] = {}
    clients: list[str] = []
    for result in results:
        if result["client"] not in clients:
            clients.append(result["client"])
        cell = cells.setdefault((result["client"], result["capability"]), {})
        cell[result["chain"]] = cell.get(result["chain"], True) and result["passed"]
    lines = [f"| | {' | '.join(clients)} |", "| --- |" + " --- |" * len(clients)]
    for capability, meaning in MEANINGS.items():
        row = [_cell(cells.get((client, capability), {})) for client in clients]
        lines.append(f"| {meaning} | {' | '.join(row)} |")
    count = sum(len(cell) for cell in cells.values())
    good = sum(sum(cell.values()) for cell in cells.values())
    return _HEAD + "\n".join(lines) + f"\n\n{good} of {count} scenarios work.\n"


def _cell(seen: dict[str, bool]) -> str:
    words = {"dev": "dev", "network": "net"}
    told = [
        f"{words[chain]} {'yes' if seen[chain] else '**no**'}" for chain in words if chain in seen
    ]
    return ", ".join(told)


def main() -> None:
    (file,) = sys.argv[1:]
    PAGE.write_text(page(json.loads(line) for line in Path(file).read_text().splitlines()))


if __name__ == "__main__":
    main()
