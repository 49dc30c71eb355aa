"""What transactions this node takes from its own callers, beyond what the chain demands.

They guard against slips of the pen, and are geth's: `--rpc.txfeecap` and
`--rpc.allow-unprotected-txs`. What other nodes send is not asked about.
"""

from typing import Final

from chain.errors import Reason, Rejected
from chain.transactions import Kind, Transaction
from chain.types import Hash
from node.settings import RpcSettings

_ETHER: Final = 10**18
# The deterministic deployment proxy at 0x4e59b44847b379578588920ca78fbf26c0b4956c: nobody has the
# key of its transaction, which is meant to be sent on every chain.
_DEPLOYER: Final = Hash(
    bytes.fromhex("eddf9e61fb9d8f5111840daef55e5fde0041f5702856532cdbb5a02998033d26")
)


class Acceptance:
    """The rules by the settings; on developers' chains there are none, as on anvil."""

    def __init__(self, settings: RpcSettings, *, developer: bool) -> None:
        self._fee_max = None if developer else settings.fee_max_ether or None
        self._unprotected = developer or settings.unprotected

    def check(self, transaction: Transaction) -> None:
        """Raises FEE_ABOVE_CAP or NOT_REPLAY_PROTECTED."""
        self.check_fee(transaction.max_fee, transaction.gas_limit)
        if (
            transaction.kind == Kind.LEGACY
            and transaction.chain_id is None
            and not self._unprotected
            and transaction.hash != _DEPLOYER
        ):
            raise Rejected(Reason.NOT_REPLAY_PROTECTED)

    def check_fee(self, max_fee: int, gas: int) -> None:
        """Raises FEE_ABOVE_CAP where so much gas at the highest price costs too much."""
        if self._fee_max is None:
            return
        fee = max_fee * gas / _ETHER
        if fee > self._fee_max:
            raise Rejected(
                Reason.FEE_ABOVE_CAP,
                f"tx fee ({fee:.2f} ether) exceeds the configured cap ({self._fee_max:.2f} ether)",
            )
