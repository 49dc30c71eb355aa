"""How far ten cloud regions are from one another.

Typical round trips in milliseconds, rounded, as the public latency tables of large
clouds show them; half of one is a message's way. Within a region it is a millisecond.
"""

from typing import Final

REGIONS: Final = (
    "virginia", "oregon", "sao-paulo", "ireland", "frankfurt",
    "mumbai", "singapore", "tokyo", "sydney", "cape-town",
)  # fmt: skip

# The upper triangle, row by row: from each region to those after it.
_ROUND_TRIPS_MS: Final = (
    (63, 114, 68, 92, 187, 216, 147, 198, 226),
    (176, 119, 141, 216, 162, 97, 139, 276),
    (177, 203, 300, 326, 256, 310, 339),
    (25, 122, 175, 202, 255, 160),
    (112, 157, 224, 250, 155),
    (57, 129, 144, 262),
    (70, 93, 305),
    (105, 358),
    (410,),
)
_WITHIN_MS: Final = 1


def one_way_ms(first: int, second: int) -> float:
    """A message's way between two regions, by their indices in `REGIONS`."""
    low, high = sorted((first % len(REGIONS), second % len(REGIONS)))
    return (_WITHIN_MS if low == high else _ROUND_TRIPS_MS[low][high - low - 1]) / 2
