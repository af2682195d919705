"""How far two values of one tensor lie apart, and how far they may.

On a grid, distances are counted in its steps. Values without a grid are put on the other side's first, so
that its rounding and its range are no difference. What remains is the rounding of earlier tensors, as this
very network carries it on: ``noise`` measures it, and 1.25 of that is the bound, a step at least.

Between floats it is 1.25 of what the rounding of earlier tensors and of weights does there, if any, and at
least 4 * 100 * 2^-24 * sqrt(d) of the tensor's largest value: in float32, u = 2^-24, a sum of K products is
off by about sqrt(K) * u (Higham, «Accuracy and Stability of Numerical Algorithms», 2002, 4.2), K is 10^4 at
most in such networks, and d of them one after another add up like a random walk.

The 99.9 % quantile of the distances is held against the bound. Both bounds are expectations and no proofs, so
what is found is run alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.build.diff.named import Grid

QUANTILE = 0.999
_MARGIN = 1.25
_FLOAT_UNIT = 4 * 100 * 2.0**-24


@dataclass(frozen=True, slots=True)
class Distance:
    """How far two sides lie apart at one tensor, over all images."""

    unit: str
    """``steps`` of the grid, or ``of the largest value``."""
    typical: float
    """The 99.9 % quantile."""
    largest: float
    beyond: float
    """Share of the values that are farther apart than the bound."""
    bound: float
    worst: int
    """Place of the image with the largest distance."""

    @property
    def parts(self) -> bool:
        """Whether it is more than grids explain."""
        return self.typical > self.bound

    @property
    def words(self) -> str:
        """In one line."""
        return (
            f"99.9 % of the values within {self.typical:.3g} {self.unit} (bound {self.bound:.3g}), the "
            f"largest difference {self.largest:.3g}, {self.beyond:.2%} beyond the bound"
        )

    def to_json(self) -> dict[str, object]:
        """For ``--json``; null where a value is no number."""
        return {
            "unit": self.unit,
            "quantile_999": _finite(self.typical),
            "largest": _finite(self.largest),
            "beyond_bound": self.beyond,
            "bound": self.bound,
            "parts": self.parts,
        }


def bound_in_steps(moved: float, slack: float) -> float:
    """The bound on a grid, of what noise does there."""
    return max(1.0, slack * _MARGIN * moved)


def bound_of_floats(depth: int, slack: float, moved: float = 0.0) -> float:
    """The bound between floats, as a share of the largest value.

    Args:
        depth: d.
        slack: factor on it.
        moved: what noise and rounded weights do there, as such a share.
    """
    return slack * max(_FLOAT_UNIT * math.sqrt(depth), _MARGIN * moved)


def size_of(values: Sequence[NDArray[Any]]) -> float:
    """The largest value of a float tensor, of which its distances are shares; never 0."""
    return max((float(np.abs(a).max(initial=0.0)) for a in values), default=0.0) or 1.0


def coarser(first: Grid | None, second: Grid | None) -> Grid | None:
    """The grid on which two tensors are compared."""
    return max((grid for grid in (first, second) if grid is not None), key=lambda g: g.scale, default=None)


def distance(
    first: Sequence[NDArray[Any]], second: Sequence[NDArray[Any]], grid: Grid | None, *, bound: float
) -> Distance:
    """Compare the values of one tensor: one array of floats per image, and the same of the other side."""
    if grid is not None:
        apart = [_steps(a, b, grid) for a, b in zip(first, second, strict=True)]
    else:
        size = size_of(first)
        apart = [np.abs(a.astype(np.float64) - b) / size for a, b in zip(first, second, strict=True)]
    unit = "of the largest value" if grid is None else "steps"
    apart = [np.nan_to_num(values, nan=math.inf, posinf=math.inf) for values in apart]
    together = np.concatenate([values.ravel() for values in apart])
    largest = [float(values.max(initial=0.0)) for values in apart]
    return Distance(
        unit=unit,
        typical=float(np.quantile(together, QUANTILE, method="higher")),
        largest=max(largest),
        beyond=float((together > bound).mean()),
        bound=bound,
        worst=int(np.argmax(largest)),
    )


def _steps(first: NDArray[Any], second: NDArray[Any], grid: Grid) -> NDArray[Any]:
    ours, theirs = (grid.integers(np.nan_to_num(values)).astype(np.int64) for values in (first, second))
    lost = np.isnan(first) | np.isnan(second)  # no integer stands for it
    found: NDArray[Any] = np.where(lost, math.inf, np.abs(ours - theirs))
    return found


def _finite(value: float) -> float | None:
    """JSON has no infinity."""
    return value if math.isfinite(value) else None
