"""What the scripts of all Python clients share: the order that they get on standard input, and
how they report. A scenario is a function that returns what it saw."""

import json
import sys
import traceback
from collections.abc import Callable
from typing import Any

ORDER = json.load(sys.stdin)


def perform(*scenarios: Callable[[], dict[str, Any]]) -> None:
    """Run those that the order names; the last line of output is what they saw, or their error."""
    seen: dict[str, Any] = {}
    for scenario in scenarios:
        if scenario.__name__ not in ORDER["wanted"]:
            continue
        try:
            seen[scenario.__name__] = scenario()
        except Exception:  # told to the test, which fails with it; the others still run
            seen[scenario.__name__] = {"error": traceback.format_exc()[-3000:]}
    print(json.dumps(seen))
