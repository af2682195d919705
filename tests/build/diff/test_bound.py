from __future__ import annotations

import numpy as np
import pytest

from mosaic_deploy.build.diff.bound import (
    Distance,
    bound_in_steps,
    bound_of_floats,
    coarser,
    distance,
)
from mosaic_deploy.build.diff.named import Grid

GRID = Grid(0.5, 3, "uint8")
VALUES = np.random.default_rng(1).uniform(-1, 100, (1, 4, 50, 50)).astype(np.float32)


def apart(by: float, *, share: float = 1.0, moved: float = 1.0, slack: float = 1.0) -> Distance:
    """Values on a grid against the same, a share of them moved by so many steps."""
    first = GRID.floats(GRID.integers(VALUES))
    second = first.copy()
    second.ravel()[: int(share * second.size)] += by * GRID.scale
    return distance([first], [second], GRID, bound=bound_in_steps(moved, slack))


def test_a_step_is_rounding_and_two_are_not() -> None:
    assert not apart(1).parts
    assert apart(2).parts
    assert apart(2).unit == "steps"


def test_what_few_values_do_counts_from_one_in_a_thousand_on() -> None:
    assert not apart(50, share=0.0005).parts
    assert apart(50, share=0.0005).largest == 50
    assert apart(50, share=0.002).parts


def test_the_bound_is_a_quarter_above_what_noise_does_times_slack_and_a_step_at_least() -> None:
    assert not apart(5, moved=4).parts
    assert apart(6, moved=4).parts
    assert not apart(6, moved=4, slack=1.2).parts
    assert apart(1, slack=0.01).bound == apart(1, moved=0).bound == 1.0


def test_rounding_and_range_of_the_grid_are_no_difference() -> None:
    floats = np.linspace(-50, 300, 1000, dtype=np.float32)
    stored = GRID.floats(GRID.integers(floats))
    assert distance([floats], [stored], coarser(None, GRID), bound=1).largest == 0


def test_floats_part_by_more_than_the_rounding_of_sums() -> None:
    def by(share: float) -> Distance:
        other = VALUES + np.float32(share * VALUES.max())
        return distance([VALUES], [other], None, bound=bound_of_floats(4, 1))

    assert not by(1e-5).parts
    assert by(1e-3).parts


@pytest.mark.parametrize("grid", [None, GRID])
def test_what_is_no_number_parts(grid: Grid | None) -> None:
    broken = VALUES.copy()
    broken[0, 0] = np.nan
    found = distance([VALUES, VALUES], [VALUES, broken], grid, bound=100)
    assert found.parts
    assert found.worst == 1
    assert found.to_json()["largest"] is None
