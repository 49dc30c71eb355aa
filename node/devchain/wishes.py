"""What a developer wants of the blocks to come."""

from chain.types import Address, Hash


class Wishes:
    """None: as it follows from the parent. The first two hold for one block, the others stay."""

    def __init__(self, coinbase: Address | None = None) -> None:
        self.base_fee: int | None = None  # wei per gas, of the next block
        self.randomness: Hash | None = None  # of the next block
        self.coinbase = coinbase
        self.gas_limit: int | None = None

    def passed(self) -> None:
        """The next block was built."""
        self.base_fee = self.randomness = None
