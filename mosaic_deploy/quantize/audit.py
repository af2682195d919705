"""What a set of calibration images is worth: how firm its ranges are, and how many images it takes for them.

Parts grow: the images in an order that only their pixels decide, cut so that the last part is half of all,
the one before a quarter, and so on. So the first parts together are a random subset, and the last part is
the other half.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mosaic_deploy.quantize.calibrate import Calibrator, range_of
from mosaic_deploy.quantize.histogram import Spread, joined
from mosaic_deploy.quantize.range_choice import Method, Range, choose
from mosaic_deploy.specs.ranges import TensorRange

HALF_A_STEP = 0.5


def growing_parts(count: int) -> tuple[int, ...]:
    """Sizes of parts of ``count`` images, of which the last is half of all, the one before a quarter ..."""
    sizes = []
    while count > 1:
        sizes.append(count - count // 2)
        count //= 2
    return tuple(reversed([*sizes, count]))


def audit(
    parts: Mapping[str, Sequence[Spread]], sizes: Sequence[int], how: Calibrator
) -> dict[str, TensorRange]:
    """Choose each tensor's range, and see how it comes out with fewer images; ``sizes`` are of the parts."""
    found = {}
    for name, known in parts.items():
        firsts = [joined(known[: k + 1]) for k in range(len(known))]
        halves = [firsts[-2], known[-1]] if len(known) > 1 else [known[0]]
        method, (low, high) = range_of(halves, how)
        step = (max(high, 0.0) - min(low, 0.0)) / how.levels.steps or 1.0

        def off(
            spread: Spread, method: Method = method, ends: Range = (low, high), step: float = step
        ) -> float:
            own = choose(spread, method, percentile=how.percentile, levels=how.levels)
            return max(abs(own[0] - ends[0]), abs(own[1] - ends[1])) / step

        apart = [choose(each, method, percentile=how.percentile, levels=how.levels) for each in halves]
        unstable = max(abs(a - b) for a, b in zip(apart[0], apart[-1], strict=True)) / step
        enough = len(firsts) - 1
        while enough and off(firsts[enough - 1]) <= HALF_A_STEP:
            enough -= 1
        saturated = joined(halves).outside(low, high)
        found[name] = TensorRange(
            low=low,
            high=high,
            method=method,
            saturated=saturated,
            unstable=unstable,
            subset=sum(sizes[: enough + 1]),
        )
    return found
