"""The suggested tip is that of the last blocks, whatever was remembered on the way."""

from random import Random

from node.rpc.fees import TipOracle
from node.testing import Ledger


def test_what_is_remembered_of_blocks_changes_no_suggestion() -> None:
    """Blocks come and are taken back in any order; a new oracle reads them all again."""
    random = Random(7)
    moments: list[str] = []
    with Ledger() as ledger:
        for _ in range(150):
            match random.randrange(8):
                case 0:
                    moments.append(ledger.snapshot())
                case 1 if moments:
                    at = random.randrange(len(moments))
                    ledger.revert(moments[at])
                    del moments[at:]
                case 2:
                    ledger.mine(random.randrange(1, 4))
                case _:
                    tip = hex(random.randrange(1, 10**9))
                    ledger.request(
                        "eth_sendTransaction",
                        {
                            "from": ledger.accounts[0],
                            "to": ledger.accounts[1],
                            "maxPriorityFeePerGas": tip,
                            "maxFeePerGas": hex(10**10),
                        },
                    )
            if random.randrange(3):
                suggested = int(ledger.request("eth_maxPriorityFeePerGas"), 16)
                assert suggested == TipOracle()._compute(ledger._context)
