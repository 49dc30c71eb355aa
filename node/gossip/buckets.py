"""What a peer may cost in a while: token buckets. No clock in here: `now` is an argument."""


class Bucket:
    """Holds up to `capacity` tokens and gains `rate` a second; starts full."""

    __slots__ = ("_at", "_capacity", "_level", "_rate", "_said")

    def __init__(self, capacity: float, rate: float, now: float) -> None:
        self._capacity = capacity
        self._rate = rate
        self._level = capacity
        self._at = now
        self._said = -1.0  # when `overdrawn` was last true

    def level(self, now: float) -> float:
        """The tokens that are there; below zero after `charge` took more than there was."""
        if now > self._at:
            self._level = min(self._capacity, self._level + (now - self._at) * self._rate)
            self._at = now
        return self._level

    def take(self, amount: float, now: float) -> bool:
        """Take tokens if there are that many."""
        if self.level(now) < amount:
            return False
        self._level -= amount
        return True

    def charge(self, amount: float, now: float) -> None:
        """Take tokens for what was already done, down to minus one capacity."""
        self._level = max(self.level(now) - amount, -self._capacity)

    def overdrawn(self, now: float, pause: float) -> bool:
        """Whether it is time to complain that it is empty: at most once in `pause` seconds."""
        if self.level(now) > 0 or (self._said >= 0 and now < self._said + pause):
            return False
        self._said = now
        return True
