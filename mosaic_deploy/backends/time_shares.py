"""Where a runtime spends its time, by kind of operator."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable


def time_shares(spent: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Each kind's share of all seconds, in [0, 1], the largest first; empty where nothing was timed.

    ``spent`` holds the kind of each node and its seconds.
    """
    by_kind: dict[str, list[float]] = defaultdict(list)
    for kind, seconds in spent:
        by_kind[kind].append(seconds)
    sums = {kind: math.fsum(each) for kind, each in by_kind.items()}
    whole = math.fsum(sums.values())
    ranked = sorted(sums.items(), key=lambda pair: (-pair[1], pair[0]))
    return {kind: round(seconds / whole, 4) for kind, seconds in ranked} if whole else {}
