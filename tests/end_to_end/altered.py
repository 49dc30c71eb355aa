"""A node with one thing wrong in it: `python -m tests.end_to_end.altered ALTERATION... -- run ...`

The product has no switch for any of this. Alterations, each made before the node is loaded:

    version N      it speaks version N of the protocol
    clock FILE     its wall clock is ahead by the seconds in FILE, read anew each time
    lies A,B       its validator lies: misdeeds of `node.simulator.byzantine`
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random


def speak_version(version: int) -> None:
    from node.net import messages

    messages.PROTOCOL_VERSION = version  # type: ignore[misc]


def shift_clock(file: Path) -> None:
    """`time.time` alone: a clock that is set does not touch the one that only counts."""
    actual = time.time
    time.time = lambda: actual() + float(file.read_text() or "0")


def lie(misdeeds: Sequence[str]) -> None:
    from chain.validators import Domain
    from node import serve
    from node.agreement import genesis_set
    from node.net.network import Receiver
    from node.networking import Links, NetworkFactory
    from node.simulator.byzantine import MISDEEDS, HostileLinks, Liar

    assert set(misdeeds) <= set(MISDEEDS), misdeeds
    honest = serve._network

    def hostile(prepared: serve.Prepared, version: str) -> NetworkFactory | None:
        factory, key, ledger = honest(prepared, version), prepared.validator_key, prepared.ledger
        assert factory is not None and key is not None
        domain = Domain(ledger.config.chain_id, ledger.genesis_hash)
        liar = Liar(key, domain, genesis_set(ledger, None), frozenset(misdeeds), Random(1))

        def connect(receiver: Receiver) -> Links:
            return HostileLinks(factory(receiver), liar)  # type: ignore[arg-type]

        return connect

    serve._network = hostile


def main(arguments: list[str]) -> int:
    split = arguments.index("--")
    alterations = arguments[:split]
    for kind, value in zip(alterations[::2], alterations[1::2], strict=True):
        match kind:
            case "version":
                speak_version(int(value))
            case "clock":
                shift_clock(Path(value))
            case "lies":
                lie(value.split(","))
            case _:
                raise ValueError(f"no alteration: {kind}")
    from node.__main__ import main as run

    return run(arguments[split + 1 :])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
