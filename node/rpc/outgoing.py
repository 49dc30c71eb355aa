"""Answers on their way to callers: how many bytes may wait for slow readers altogether."""

from typing import Final

LARGE: Final = 64 * 2**10  # bytes; smaller answers are not counted
PIECE: Final = 256 * 2**10  # bytes written before others get a turn
# A reader that takes nothing for so long is not waited for.
PIECE_SECONDS: Final = 30
_WAITING_MAX: Final = 512 * 2**20  # bytes


class Outgoing:
    """Counts the bytes of large answers that are being sent."""

    def __init__(self, waiting_max: int = _WAITING_MAX) -> None:
        self.waiting_max = waiting_max
        self.waiting = 0

    def take(self, size: int) -> bool:
        """Whether an answer of this size may be sent now; `give_back` when it was.

        One that is alone is sent whatever its size, since what made it had a limit.
        """
        if self.waiting and self.waiting + size > self.waiting_max:
            return False
        self.waiting += size
        return True

    def give_back(self, size: int) -> None:
        self.waiting -= size
