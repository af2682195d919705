"""Early verdicts keep their promise on the stored counts; a plain interval at every image does not."""

from __future__ import annotations

import pytest

from benchmarks.early_verdict import few_hold, load, rates, seconds, uncorrected
from mosaic_deploy.accuracy.early import ALPHA

ALONE = [str(index) for index in range(101)]


@pytest.mark.slow
@pytest.mark.parametrize("target", ["cpu", "dsp", "edgetpu", "openvino", "ort-mobile"])
@pytest.mark.parametrize("groups", [ALONE, seconds(101)], ids=["images", "seconds"])
def test_the_worst_tolerance_is_rarely_mistaken(target: str, groups: list[str]) -> None:
    found = rates(load()[target], groups, orders=200)
    assert max(found.wrong_holds, found.wrong_fails) <= ALPHA


@pytest.mark.slow
@pytest.mark.parametrize(("index", "images"), [(9, 5), (9, 12), (2, 30)])
def test_a_class_that_few_images_hold_is_waited_for(index: int, images: int) -> None:
    found = rates(few_hold(load()["cpu"], index, images), ALONE, orders=200)
    assert max(found.wrong_holds, found.wrong_fails) <= ALPHA


@pytest.mark.slow
def test_an_uncorrected_interval_breaks_the_claim_where_ours_does_not() -> None:
    tally = load()["dsp"]
    plain, ours = uncorrected(tally, ALONE, orders=5), rates(tally, ALONE, orders=40)
    assert max(plain.wrong_holds, plain.wrong_fails) > 4 * ALPHA
    assert max(ours.wrong_holds, ours.wrong_fails) <= ALPHA


def test_clear_cases_take_a_third_of_the_images() -> None:
    found = rates(load()["dsp"], seconds(101), orders=40)
    assert found.images * 3 <= 101
