"""How far two values of one tensor lie apart, and how far they may.

On a grid, distances are counted in its steps. Values without a grid are put on the other side's first, so
that its rounding and its range are no difference. What remains is the rounding of the tensors before, of d on
the longest way. A value is rounded by half a step at most, evenly: a variance of 1/12 (Widrow and Kollar,
«Quantization Noise», 2008). Rounded independently and carried on at their size, d of them spread by
sqrt(d / 12) steps. A weight on a grid adds as much. Two runs of the same integers round alike but for
neighbours where their sums fall close to a half: one step for one value in twelve is a variance of 1/12 too.

    the same grid on both sides    4 * sqrt(d / 12) steps
    a grid on one, or two grids    4 * sqrt(2 * d / 12) steps
    between floats                 4 * 100 * 2^-24 * sqrt(d) of the tensor's largest value

A bound in steps is at least one. The last is of float32, u = 2^-24: a sum of K products is off by about
sqrt(K) * u (Higham, «Accuracy and Stability of Numerical Algorithms», 2002, 4.2), and K is 10^4 at most in
such networks. All are expectations and no proofs: a layer that amplifies what it gets passes them without
being wrong. So what is found is run alone.

The 99.9 % quantile of the distances is held against the bound: four spreads of a bell curve leave out 0.006 %
of the values.
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
_SPREADS = 4.0
_FLOAT_UNIT = 100 * 2.0**-24


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
        """For ``--json``."""
        return {
            "unit": self.unit,
            "quantile_999": self.typical,
            "largest": self.largest,
            "beyond_bound": self.beyond,
            "bound": self.bound,
            "parts": self.parts,
        }


def distance(
    first: Sequence[NDArray[Any]],
    second: Sequence[NDArray[Any]],
    grids: tuple[Grid | None, Grid | None],
    *,
    depth: int,
    slack: float,
) -> Distance:
    """Compare the values of one tensor.

    Args:
        first: one array of floats per image.
        second: the same of the other side.
        grids: of the two; the coarser one counts.
        depth: named tensors on the longest way to this one.
        slack: factor on the bound.
    """
    grid = max((g for g in grids if g is not None), key=lambda g: g.scale, default=None)
    if grid is not None:
        apart = [_steps(a, b, grid) for a, b in zip(first, second, strict=True)]
        variance = depth / 12 if grids[0] == grids[1] else 2 * depth / 12
        bound = max(1.0, slack * _SPREADS * math.sqrt(variance))
        unit = "steps"
    else:
        size = max((float(np.abs(a).max(initial=0.0)) for a in first), default=0.0) or 1.0
        apart = [np.abs(a.astype(np.float64) - b) / size for a, b in zip(first, second, strict=True)]
        bound = slack * _SPREADS * _FLOAT_UNIT * math.sqrt(depth)
        unit = "of the largest value"
    apart = [np.nan_to_num(values, nan=math.inf) for values in apart]
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
