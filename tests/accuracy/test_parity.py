"""Parity: a broken candidate fails, an equal one passes, and the tolerance has its edge where it says."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mosaic_deploy.accuracy.limits import Limits
from mosaic_deploy.accuracy.metrics import confusion, mean_iou
from mosaic_deploy.accuracy.parity import ParityReport, measure
from mosaic_deploy.accuracy.tally import Maps
from mosaic_deploy.errors import DataError, UsageError
from mosaic_deploy.specs.labels import LabelSpace

Ids = NDArray[np.uint8]
SPACE = LabelSpace(("sky", "road", "car"), ((0, 0, 0), (1, 1, 1), (2, 2, 2)))
ADE = LabelSpace(("other", "wall", "floor"), ((0, 0, 0), (1, 1, 1), (2, 2, 2)), unscored=(0,))
KEYS = {
    "metric", "dataset", "images", "reference", "candidate", "drop", "tolerance", "agreement", "per_class",
    "passed", "interval", "note", "undecided", "largest", "verdict", "more_images", "groups", "keep",
    "class_limits", "classes_over", "all_classes", "per_image", "early", "tied", "worst", "boundary",
}  # fmt: skip


def ids(*values: int) -> Ids:
    return np.array([values], np.uint8)


def run(maps: Sequence[Maps], tolerance: float | Limits = 0.01, labels: LabelSpace = SPACE) -> ParityReport:
    return measure(iter(maps), labels=labels, dataset="test", tolerance=tolerance)


def scene(seed: int, *, wrong: float = 0.1) -> tuple[Ids, Ids]:
    """A 40x50 truth with bands of all three classes, and a reference that errs on a share of it."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.array([0] * 15 + [1] * 15 + [2] * 10, np.uint8)[:, None], 50, axis=1)
    return truth, spoilt(truth, wrong, rng)


def spoilt(ids: Ids, share: float, rng: np.random.Generator) -> Ids:
    other = (ids + rng.integers(1, 3, ids.shape)) % 3
    return np.where(rng.random(ids.shape) < share, other, ids).astype(np.uint8)


def test_an_equal_candidate_passes_with_tolerance_0() -> None:
    maps = [(*scene(i), scene(i)[1]) for i in range(5)]
    report = run(maps, tolerance=0)
    assert report.passed
    assert report.metric == "miou"
    assert report.drop == 0
    assert report.agreement == 1
    assert report.interval == (0, 0)
    assert report.note == ""
    assert report.worst == ()


@pytest.mark.parametrize("kind", ["constant", "shifted", "swapped", "noisy", "no-class", "one-class-lost"])
def test_a_broken_candidate_fails(kind: str) -> None:
    rng = np.random.default_rng(1)
    breakers: dict[str, Any] = {
        "constant": lambda x: np.zeros_like(x),
        "shifted": lambda x: np.roll(x, 4, axis=0),
        "swapped": lambda x: np.array([1, 0, 2], np.uint8)[x],
        "noisy": lambda x: spoilt(x, 0.05, rng),
        "no-class": lambda x: np.full_like(x, 200),
        "one-class-lost": lambda x: np.where(x == 2, 1, x).astype(np.uint8),
    }
    labelled = [(*scene(i), breakers[kind](scene(i)[1])) for i in range(4)]
    assert not run(labelled).passed
    assert run(labelled).drop > 0.01
    assert not run([(None, reference, candidate) for _, reference, candidate in labelled]).passed


def test_the_figures_are_those_of_the_metrics() -> None:
    rng = np.random.default_rng(2)
    maps = [(truth, ref, spoilt(ref, 0.02, rng)) for truth, ref in (scene(i) for i in range(5))]
    report = run(maps, tolerance=0.05)
    counts = [sum(confusion(m[0], m[i], classes=3) for m in maps) for i in (1, 2)]
    assert report.reference == pytest.approx(mean_iou(np.asarray(counts[0]), range(3)), abs=1e-15)
    assert report.candidate == pytest.approx(mean_iou(np.asarray(counts[1]), range(3)), abs=1e-15)
    assert report.drop == report.reference - report.candidate
    assert report.agreement == np.mean([m[1] == m[2] for m in maps])
    assert [name for name, _, _ in report.per_class] == ["sky", "road", "car"]
    assert np.mean([theirs for _, _, theirs in report.per_class]) == pytest.approx(report.candidate)
    assert report.interval is not None
    assert report.interval[0] < report.drop < report.interval[1]
    assert [i for i, _ in report.worst] == sorted(
        (i for i, _ in report.worst), key=lambda i: -run([maps[i]]).drop
    )
    called = [f"drive_{index}" for index in range(len(maps))]
    plain: Any = report.to_json()["worst"]
    named: Any = report.named(called).to_json()["worst"]
    assert [entry["name"] for entry in plain] == [None] * len(report.worst)
    assert [entry["name"] for entry in named] == [f"drive_{index}" for index, _ in report.worst]


@pytest.mark.parametrize(
    ("hits", "tolerance", "passed"),
    [(89, 0.01, True), (88, 0.01, False), (88, 0.02, True), (90, 0.0, True), (89, 0.0, False)],
    ids=["exactly", "one-pixel-more", "wider", "equal-at-0", "one-pixel-at-0"],
)
def test_exactly_the_tolerance_passes(hits: int, tolerance: float, passed: bool) -> None:
    """Of 100 pixels of sky the reference has 90; 0.9 - 0.89 is more than 0.01 in doubles."""
    truth = np.zeros((1, 100), np.uint8)
    reference = ids(*[0] * 90, *[1] * 10)
    candidate = ids(*[0] * hits, *[1] * (100 - hits))
    report = run([(truth, reference, candidate)], tolerance)
    assert report.reference == 0.9
    assert report.candidate == hits / 100
    assert report.passed is passed


def test_a_better_candidate_passes() -> None:
    truth, reference = scene(0)
    report = run([(truth, reference, truth)], tolerance=0)
    assert report.drop < 0
    assert report.passed


def test_no_images_never_pass() -> None:
    report = run([], tolerance=1)
    assert not report.passed
    assert report.images == 0
    assert math.isnan(report.drop)
    assert "nothing was measured" in report.note
    assert report.to_json()["drop"] is None


def test_nothing_scored_never_passes() -> None:
    nothing = np.full((2, 2), 255, np.uint8)
    report = run([(nothing, ids(0, 0).repeat(2, 0), ids(0, 0).repeat(2, 0))] * 2, tolerance=1)
    assert not report.passed
    assert math.isnan(report.reference)
    assert report.interval is None
    assert "nothing was measured" in report.note


@pytest.mark.parametrize("tolerance", [-0.1, 1.1, math.nan, math.inf])
def test_tolerance_must_be_a_share(tolerance: float) -> None:
    with pytest.raises(UsageError, match="not between 0 and 1"):
        run([], tolerance)


def test_a_class_that_is_not_in_the_truth_moves_neither_mean() -> None:
    """One stray pixel of it would else cost the network that has it a whole class."""
    truth = ids(*[0] * 50, *[1] * 50)
    stray = ids(*[0] * 50, *[1] * 49, 2)
    report = run([(truth, truth, stray)], tolerance=0.02)
    assert report.candidate == pytest.approx((1 + 0.98) / 2)
    assert report.passed
    assert report.per_class[2][2] == 0
    assert math.isnan(report.per_class[2][1])


def test_unscored_classes_count_nowhere() -> None:
    truth = ids(1, 1, 2, 2, 255, 255)
    report = run([(truth, ids(1, 1, 2, 2, 1, 0), ids(1, 0, 2, 2, 2, 2))], labels=ADE, tolerance=0)
    assert report.reference == 1
    assert report.candidate == 0.75
    assert report.agreement == 0.75
    assert [name for name, _, _ in report.per_class] == ["wall", "floor"]


def test_without_labels_the_pixels_that_differ_decide() -> None:
    reference = scene(0, wrong=0)[0]
    candidate = reference.copy()
    candidate[0, :20] = 1
    report = run([(None, reference, candidate)], tolerance=0.01)
    assert report.metric == "agreement"
    assert report.reference == 1
    assert report.candidate == report.agreement == 0.99
    assert report.passed
    assert "No labels" in report.note
    candidate[1, 0] = 1
    assert not run([(None, reference, candidate)], tolerance=0.01).passed


def test_without_labels_a_lost_class_fails_even_in_a_wide_tolerance() -> None:
    reference = np.zeros((100, 100), np.uint8)
    reference[0, :10] = 2
    report = run([(None, reference, np.zeros_like(reference))], tolerance=0.01)
    assert report.drop <= 0.01
    assert not report.passed
    assert "Lost: car." in report.note


def test_labels_are_for_all_images_or_none() -> None:
    truth, reference = scene(0)
    with pytest.raises(DataError, match="some images have labels"):
        run([(truth, reference, reference), (None, reference, reference)])


@pytest.mark.parametrize(
    "maps",
    [
        (ids(0, 0), ids(0, 0), ids(0)),
        (ids(0), ids(0, 0), ids(0, 0)),
        (ids(3, 0), ids(0, 0), ids(0, 0)),
        (ids(0, 0), ids(3, 0), ids(0, 0)),
        (None, ids(3, 0), ids(0, 0)),
    ],
    ids=["candidate-size", "truth-size", "truth-id", "reference-id", "reference-id-unlabelled"],
)
def test_mistakes_of_the_caller_are_errors(maps: Maps) -> None:
    with pytest.raises(ValueError, match=r"shape|holds? the id"):
        run([maps])


def test_a_reference_that_sees_nothing_is_remarked_on() -> None:
    truth = scene(0)[0]
    constant = np.zeros_like(truth)
    report = run([(truth, constant, constant)])
    assert "means little" in report.note


def test_255_classes_leave_room_for_wrong_ids() -> None:
    many = LabelSpace(tuple(f"c{i}" for i in range(255)), ((0, 0, 0),) * 255)
    report = run([(ids(0, 254), ids(0, 254), ids(0, 255))], labels=many)
    assert report.candidate == 0.5


def test_json_is_strict_and_has_its_keys() -> None:
    report = run([(ids(0, 0, 1), ids(0, 0, 1), ids(0, 1, 1))])
    found = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert found.keys() == KEYS
    assert found["per_class"][2] == {"class": "car", "reference": None, "candidate": None}
    assert found["interval"] is None
    assert found["passed"] is False


def test_the_interval_is_the_same_every_time_and_narrows_with_images() -> None:
    def width(count: int) -> float:
        rng = np.random.default_rng(3)
        maps = [
            (t, r, spoilt(r, float(rng.uniform(0, 0.2)), rng)) for t, r in (scene(i) for i in range(count))
        ]
        first, again = run(maps).interval, run(maps).interval
        assert first is not None
        assert first == again
        return first[1] - first[0]

    assert width(60) < 0.6 * width(6)


@settings(deadline=None, database=None, max_examples=40)
@given(seed=st.integers(0, 10**6), share=st.floats(0, 1), labelled=st.booleans())
def test_verdict_and_figures_fit(seed: int, share: float, labelled: bool) -> None:
    rng = np.random.default_rng(seed)
    truth, reference = scene(seed)
    maps = [(truth if labelled else None, reference, spoilt(reference, share, rng))]
    report = run(maps, tolerance=0.1)
    assert 0 <= report.candidate <= report.reference + 0.2
    assert report.drop == report.reference - report.candidate
    assert not (report.passed and report.drop > 0.1 + 1e-9)


@pytest.mark.parametrize("labelled", [True, False], ids=["labelled", "unlabelled"])
def test_one_class_everywhere_says_nothing(labelled: bool) -> None:
    road = np.ones((100, 200), np.uint8)
    report = run([(scene(0)[0].repeat(2, 0)[:40, :50] if labelled else None, road[:40, :50], road[:40, :50])])
    assert report.agreement == 1
    assert not report.passed
    assert report.undecided == "says nothing, the float network gives class road on 100 % of the pixels"
    assert report.largest == ("road", 1.0)


def test_labels_that_are_all_ignored_say_nothing() -> None:
    truth = np.full((40, 50), 255, np.uint8)
    report = run([(truth, scene(0)[1], scene(0)[1])])
    assert not report.passed
    assert "no pixel could be compared" in report.undecided
    assert json.loads(json.dumps(report.to_json(), allow_nan=False))["largest"] is None


@pytest.mark.parametrize(("others", "decided"), [(1, False), (2, True)])
def test_the_edge_lies_at_a_second_class_on_one_pixel_in_ten_thousand(others: int, decided: bool) -> None:
    mostly = np.ones(20_000, np.uint8)
    mostly[:others] = 2
    report = run([(None, mostly[None], mostly[None])])
    assert report.passed is decided
    assert bool(report.undecided) is not decided


def test_data_that_are_mostly_road_pass_with_a_warning_and_still_say_no() -> None:
    mostly = np.ones(10_000, np.uint8)
    mostly[:300] = 2
    report = run([(None, mostly[None], mostly[None])])
    assert report.passed
    assert "class road on 97.00% of the pixels" in report.note
    broken = run([(None, mostly[None], np.ones_like(mostly)[None])], tolerance=0.05)
    assert not broken.passed
    assert not broken.undecided


def noisy(count: int, *, share: float, spread: float) -> list[Maps]:
    """Scenes whose candidate errs on ``share`` of the pixels, give or take ``spread``."""
    rng = np.random.default_rng(5)
    shares = np.clip(share + spread * rng.standard_normal(count), 0, 1)
    scenes = [scene(index) for index in range(count)]
    return [(t, r, spoilt(r, float(s), rng)) for s, (t, r) in zip(shares, scenes, strict=True)]


@pytest.mark.parametrize(("tolerance", "verdict"), [(0.5, "holds"), (0.0, "fails")], ids=["above", "below"])
def test_the_interval_decides(tolerance: float, verdict: str) -> None:
    report = run(noisy(12, share=0.05, spread=0.02), tolerance)
    assert (report.verdict, report.passed, report.more_images) == (verdict, verdict == "holds", None)
    assert not report.undecided


def test_a_tolerance_within_the_interval_is_undecided_and_more_images_would_decide() -> None:
    maps = noisy(12, share=0.05, spread=0.03)
    found = run(maps)
    assert found.interval is not None
    within = (found.drop + found.interval[1]) / 2
    report = run(maps, within)
    assert report.drop < within
    assert (report.verdict, report.passed) == ("undecided", False)
    assert report.more_images is not None
    assert 12 <= report.more_images <= 60
    assert f"about {report.more_images} images more would decide" in report.undecided
    assert run(maps, Limits(within, undecided="pass")).passed
    assert not run(maps, Limits(0.0, undecided="pass")).passed


def test_nothing_compared_is_never_let_pass() -> None:
    road = np.ones((100, 200), np.uint8)
    report = run([(None, road, road)] * 6, Limits(0.1, undecided="pass"))
    assert (report.verdict, report.passed, report.more_images) == ("undecided", False, None)


def test_images_that_are_alike_count_as_one() -> None:
    maps = [maps for maps in noisy(6, share=0.05, spread=0.03) for _ in range(4)]
    alone = run(maps).interval
    names = [str(i // 4) for i in range(24)]
    together = measure(maps, labels=SPACE, dataset="test", tolerance=0.01, groups=names)
    assert together.groups == 6
    assert alone is not None
    assert together.interval is not None
    assert together.interval[1] - together.interval[0] > 1.5 * (alone[1] - alone[0])


@pytest.mark.parametrize(("keep", "passed"), [(0.98, True), (0.999, False)])
def test_a_share_of_the_reference_is_kept(keep: float, passed: bool) -> None:
    truth = np.zeros((1, 1000), np.uint8)
    reference = ids(*[0] * 900, *[1] * 100)
    candidate = ids(*[0] * 885, *[1] * 115)
    report = run([(truth, reference, candidate)], Limits(None, keep))
    assert report.tolerance == pytest.approx((1 - keep) * 0.9)
    assert report.passed is passed


def test_a_class_has_a_limit_of_its_own() -> None:
    truth = ids(*[0] * 980, *[2] * 20)
    candidate = ids(*[0] * 985, *[2] * 15)
    maps = [(truth, truth, candidate)]
    assert run(maps, Limits(0.2, classes=(("car", 0.3),))).passed
    report = run(maps, Limits(0.2, classes=(("car", 0.2),)))
    assert (report.verdict, report.classes_over) == ("fails", ("car",))
    with pytest.raises(UsageError, match=r"no such scored class.*did you mean 'car'"):
        run(maps, Limits(0.2, classes=(("caar", 0.2),)))


def test_mlperfs_mean_is_over_every_class() -> None:
    truth = ids(*[0] * 50, *[1] * 50)
    report = run([(truth, truth, truth)])
    assert report.reference == 1
    assert report.all_classes is not None
    assert report.all_classes == pytest.approx((2 / 3, 2 / 3))
