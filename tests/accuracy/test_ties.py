"""A reference whose best scores tie is none: the comparison with it never passes."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mosaic_deploy.accuracy import ties
from mosaic_deploy.accuracy.early import know
from mosaic_deploy.accuracy.limits import Limits
from mosaic_deploy.accuracy.parity import measure
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.specs.labels import LabelSpace

SPACE = LabelSpace(("sky", "road"), ((0, 0, 0), (1, 1, 1)))
TRUTH = np.repeat(np.array([0, 1], np.uint8), 200).reshape(20, 20)


def contract(**more: object) -> Contract:
    stated = {"height": 20, "width": 20, "classes": SPACE.classes, "palette": SPACE.palette, **more}
    return Contract.model_validate(stated)


def scores(tied: int) -> NDArray[np.float32]:
    """Two classes, 400 pixels; on the first ``tied`` both scores are equal."""
    values = np.stack([TRUTH == 0, TRUTH == 1]).astype(np.float32)
    values.reshape(2, 400)[:, :tied] = 0.25
    return values[None]


@pytest.mark.parametrize("tied", [0, 28, 400])
def test_equal_scores_are_counted(tied: int) -> None:
    assert ties.share(contract(), scores(tied)) == tied / 400


def test_what_is_within_rounding_ties_and_what_is_not_does_not() -> None:
    for step, share in ((1e-8, 1.0), (1e-3, 0.0)):
        values = np.full((1, 2, 20, 20), 1.0, np.float32)
        values[:, 1] += step
        assert ties.share(contract(), values) == share


def test_of_one_score_those_on_the_threshold_tie_and_of_ids_none() -> None:
    lone = np.full((1, 1, 20, 20), 0.5, np.float32)
    lone[0, 0, :10] = 0.9
    assert ties.share(contract(threshold=0.5), lone) == 0.5
    assert ties.share(contract(output="classmap"), TRUTH[None]) == 0.0


@pytest.mark.parametrize(("tied", "verdict"), [(0.05, "holds"), (0.06, "undecided")])
def test_a_reference_that_ties_never_passes(tied: float, verdict: str) -> None:
    maps = [(TRUTH, TRUTH, TRUTH)]
    report = measure(maps, labels=SPACE, dataset="toy", tolerance=Limits(0.01, undecided="pass"), tied=tied)
    assert report.verdict == verdict
    assert report.passed == (verdict == "holds")
    assert ("best scores tie on 6.0% of the pixels" in report.undecided) == (not report.passed)
    limits, groups = Limits(0.01), [""]
    known = know(maps, labels=SPACE, dataset="toy", limits=limits, groups=groups, tied=tied)
    assert (known is None) == (not report.passed)
