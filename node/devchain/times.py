"""What a developer's blocks are dated: the clock's time, shifted or set. Knows no clock."""


class Times:
    """Seconds throughout; `now` is the clock's, since 1970."""

    def __init__(self, offset: int = 0) -> None:
        self.offset = offset  # of the chain's time from the clock's
        self.interval: int | None = None  # set: each block is exactly so much after its parent
        self.exact: int | None = None  # set: the next block's time

    def chain_time(self, now: float) -> int:
        """The clock as the chain sees it."""
        return int(now) + self.offset

    def upcoming(self, now: float, parent: int) -> int:
        """The time of the next block, whose parent's is `parent`; always later than it."""
        if self.exact is not None:
            return max(self.exact, parent + 1)
        if self.interval is not None:
            return parent + self.interval
        return max(self.chain_time(now), parent + 1)

    def passed(self, now: float, timestamp: int) -> None:
        """A block of this time was built: after one whose time was set, the clock goes on there."""
        if self.exact is not None:
            self.exact = None
            self.set_to(now, timestamp)

    def put_forward(self, now: float, head: int, seconds: int) -> None:
        """Let `seconds` pass, counted from the newest block's time where that runs ahead."""
        self.set_to(now, max(self.chain_time(now), head) + seconds)

    def set_to(self, now: float, timestamp: int) -> None:
        """The chain's time is `timestamp` now."""
        self.offset = timestamp - int(now)
