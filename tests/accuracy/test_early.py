"""When a verdict is certain before all images were run, and when it is not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from mosaic_deploy.accuracy.early import RUN_WHOLE, Whole, know, looks, order
from mosaic_deploy.accuracy.limits import Limits
from mosaic_deploy.accuracy.tally import Maps
from mosaic_deploy.specs.labels import LabelSpace, Pixels

SPACE = LabelSpace(("sky", "road"), ((0, 0, 0), (1, 1, 1)))
IMAGES, SEEN, SPREADS = 40, 16, 5.0
GROUPS = [str(index) for index in range(IMAGES)]


def scenes(wrong: float, *, labels: bool = True, held: int = IMAGES) -> list[Maps]:
    """Half sky, half road; the candidate takes that share of the road for sky, more or less.

    Road has labels on ``held`` images.
    """
    rng = np.random.default_rng(0)
    found: list[Maps] = []
    for index in range(IMAGES):
        reference = np.repeat(np.array([0, 1], np.uint8), 500).reshape(20, 50)
        candidate = reference.copy()
        candidate[10:][rng.random((10, 50)) < wrong * rng.uniform(0.8, 1.2)] = 0
        truth: Pixels | None = (
            reference if index < held else np.where(reference == 1, 255, 0).astype(np.uint8)
        )
        found.append((truth if labels else None, reference, candidate))
    return found


def known(maps: Sequence[Maps], limits: Limits | None = None) -> Whole | None:
    twice = [(truth, reference, reference) for truth, reference, _ in maps]
    return know(twice, labels=SPACE, dataset="toy", limits=limits or Limits(0.02), groups=GROUPS)


@pytest.mark.parametrize(
    ("wrong", "verdict"), [(0.001, "holds"), (0.2, "fails"), (0.0275, None)], ids=["clear", "far", "near"]
)
def test_a_clear_verdict_is_given_early_and_one_at_the_tolerance_is_not(
    wrong: float, verdict: str | None
) -> None:
    maps = scenes(wrong)
    whole = known(maps)
    assert whole is not None
    report = whole.look(lambda: maps[:SEEN], range(SEEN), spreads=SPREADS)
    if verdict is None:
        assert report is None
        return
    assert report is not None
    assert (report.verdict, report.passed) == (verdict, verdict == "holds")
    assert report.early is not None
    assert (report.images, report.early.of, report.early.images) == (SEEN, IMAGES, tuple(range(SEEN)))
    assert "16 of 40 images" in report.note
    assert report.interval is not None
    low, high = report.interval
    assert low < report.drop < high
    assert (high <= 0.02) == (verdict == "holds")


def test_a_class_that_was_hardly_seen_is_waited_for() -> None:
    maps = scenes(0.001)
    rare = [
        (truth if index >= SEEN - 2 else np.zeros_like(reference), reference, candidate)
        for index, (truth, reference, candidate) in enumerate(maps)
    ]
    whole = known(rare)
    assert whole is not None
    assert whole.look(lambda: rare[:SEEN], range(SEEN), spreads=SPREADS) is None


@pytest.mark.parametrize(
    ("maps", "limits"),
    [
        (scenes(0.001, labels=False), Limits(0.02)),
        (scenes(0.001), Limits(0.02, classes=(("road", 0.1),))),
        (scenes(0.001, held=0), Limits(0.02)),
    ],
    ids=["no-labels", "class-limits", "class-without-label"],
)
def test_all_images_are_run_where_the_margins_are_not_proven(maps: list[Maps], limits: Limits) -> None:
    assert known(maps, limits) is None


def test_few_images_are_run_whole_and_the_order_is_always_the_same() -> None:
    assert looks(RUN_WHOLE) == ()
    assert [number for number, _ in looks(40)] == [16, 32]
    assert [number for number, _ in looks(101)] == [16, 32, 64]
    assert sorted(order(101)) == list(range(101))
    assert order(101) == order(101) != tuple(range(101))
