"""Where a chart's marks lie, in per cent of its width; the templates draw them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mosaic_deploy.artifact.html_report.figures import points

_MARGIN = 0.06
"""Of the width, left free at either end."""
_TICKS = (1, 2, 5)
_MOST_TICKS = 5


@dataclass(frozen=True, slots=True)
class Scale:
    """A straight scale from values to per cent of a width."""

    low: float
    high: float

    @classmethod
    def over(cls, values: Sequence[float]) -> Scale:
        """The scale that shows all finite values, and 0."""
        finite = [0.0, *(value for value in values if math.isfinite(value))]
        low, high = min(finite), max(finite)
        room = _MARGIN * ((high - low) or 1e-4)
        return cls(low - room, high + room)

    def at(self, value: float) -> float:
        """Where a value lies, in [0, 100], cut at the ends."""
        share = (value - self.low) / (self.high - self.low)
        return round(100 * min(max(share, 0.0), 1.0), 2)

    def ticks(self) -> tuple[Tick, ...]:
        """Round values, five at most, and what to write at them: percentage points."""
        step = _step(100 * (self.high - self.low) / _MOST_TICKS)
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        first = math.ceil(100 * self.low / step - 1e-9)
        last = math.floor(100 * self.high / step + 1e-9)
        values = (index * step / 100 for index in range(first, last + 1))
        return tuple(Tick(self.at(value), points(value, digits)) for value in values)


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on an axis."""

    x: float
    text: str


@dataclass(frozen=True, slots=True)
class Bar:
    """From one place to another, whichever lies left."""

    x: float
    width: float

    @classmethod
    def between(cls, scale: Scale, one: float, other: float) -> Bar:
        """The bar between two values."""
        left, right = sorted((scale.at(one), scale.at(other)))
        return cls(left, round(max(right - left, 0.4), 2))


def _step(least: float) -> float:
    power = 10.0 ** math.floor(math.log10(least))
    return next((power * tick for tick in _TICKS if power * tick >= least), power * 10)
