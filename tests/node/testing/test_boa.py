"""titanoboa on a ledger in the same process."""

import boa

from node.testing import Ledger
from node.testing.boa import network_env

SOURCE = """
# pragma version ~=0.4.0
total: public(uint256)

@external
@payable
def fill():
    assert msg.value > 0, "nothing given"
    self.total += msg.value
"""


def test_titanoboa_deploys_calls_and_goes_back() -> None:
    """Contracts run on the ledger, refusals keep their words, anchors are its snapshots."""
    with Ledger() as ledger, boa.swap_env(network_env(ledger)):
        contract = boa.loads(SOURCE)
        contract.fill(value=5)
        with boa.reverts("nothing given"):
            contract.fill()
        with boa.env.anchor():
            contract.fill(value=7)
            assert contract.total() == 12
        assert contract.total() == 5
        assert ledger.request("eth_getBalance", contract.address, "latest") == "0x5"
