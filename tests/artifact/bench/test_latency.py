from __future__ import annotations

import numpy as np
import pytest

from mosaic_deploy.artifact.bench.latency import Latencies, ratio


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def drifting(level: float, drift: list[float], *, noise: float, seed: int) -> Latencies:
    """Rounds of 20 runs around ``level`` seconds, each round slowed down by its own factor."""
    draws = np.random.default_rng(seed).normal(1, noise, (len(drift), 20))
    seconds = level * np.array(drift)[:, None] * draws
    return Latencies(tuple(tuple(runs) for runs in seconds.tolist()))


def test_statistics_of_hand_made_numbers() -> None:
    times = Latencies(((1.0, 2.0, 3.0, 4.0, 5.0), (6.0, 7.0, 8.0, 9.0, 11.0)))
    assert times.median_s == 5.5
    assert times.p90_s == pytest.approx(9.2)
    assert times.least_s == 1.0
    assert times.spread == pytest.approx(9.2 / 5.5)


def test_the_ratio_is_that_of_the_medians() -> None:
    ours, theirs = (
        Latencies(((1.0, 1.0, 90.0),) * 3),
        Latencies(((4.0, 4.0, 4.0),) * 3),
    )
    found = ratio(ours, theirs, rng=rng())
    assert found.value == 0.25
    assert found.interval is not None
    assert found.interval[0] == 0.25


def test_constant_times_leave_no_doubt() -> None:
    twice, once = (Latencies(((level,) * 4,) * 3) for level in (0.02, 0.01))
    found = ratio(twice, once, rng=rng())
    assert (found.value, found.interval) == (2.0, (2.0, 2.0))
    assert str(found) == "2.00 (2.00-2.00)"
    assert found.to_json() == {"ratio": 2.0, "interval": [2.0, 2.0]}


@pytest.mark.parametrize("rounds", [1, 2])
def test_two_rounds_have_no_interval(rounds: int) -> None:
    times = Latencies(((1.0, 2.0),) * rounds)
    found = ratio(times, times, rng=rng())
    assert found.interval is None
    assert str(found) == "1.00"


def test_equals_are_not_told_apart_and_others_are() -> None:
    first = drifting(0.02, [1, 1.02, 0.97, 1.05, 1], noise=0.03, seed=1)
    second = drifting(0.02, [1.03, 0.99, 1, 1, 0.98], noise=0.03, seed=2)
    slower = drifting(0.03, [1.03, 0.99, 1, 1, 0.98], noise=0.03, seed=3)
    same, other = ratio(first, second, rng=rng()).interval, ratio(first, slower, rng=rng()).interval
    assert same is not None
    assert same[0] < 1 < same[1]
    assert other is not None
    assert other[0] < 2 / 3 < other[1] < 1


def test_what_slows_both_down_does_not_widen() -> None:
    drift = [1.0, 2.0, 1.1, 1.6, 1.3]
    shared = ratio(
        drifting(0.02, drift, noise=0.001, seed=1), drifting(0.01, drift, noise=0.001, seed=2), rng=rng()
    )
    apart = ratio(
        drifting(0.02, drift, noise=0.001, seed=1),
        drifting(0.01, drift[::-1], noise=0.001, seed=2),
        rng=rng(),
    )
    assert shared.interval is not None
    assert apart.interval is not None
    assert shared.interval[1] - shared.interval[0] < 0.01
    assert apart.interval[1] - apart.interval[0] > 0.3


def test_a_hundred_runs_of_one_process_are_no_hundred_experiments() -> None:
    """Rounds that differ widen the interval, however little the runs in each do."""
    ours = drifting(0.01, [1.0, 1.2, 0.9, 1.1, 1.3], noise=1e-4, seed=1)
    theirs = drifting(0.01, [1.0] * 5, noise=1e-4, seed=2)
    interval = ratio(ours, theirs, rng=rng()).interval
    assert interval is not None
    assert interval[1] - interval[0] > 0.1


@pytest.mark.slow
def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    held = 0
    for seed in range(100):
        draws = np.random.default_rng(seed)
        drift = draws.normal(1, 0.1, 5)
        ours, theirs = (
            drifting(level, list(drift * draws.normal(1, 0.03, 5)), noise=0.04, seed=1000 * seed + index)
            for index, level in enumerate((0.02, 0.04))
        )
        interval = ratio(ours, theirs, rng=draws).interval
        assert interval is not None
        held += interval[0] <= 0.5 <= interval[1]
    assert 88 <= held <= 100
