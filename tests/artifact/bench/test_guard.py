"""The judgement is fed with figures: nothing here is timed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mosaic_deploy.artifact.bench.guard import Suspect, complaints
from mosaic_deploy.artifact.bench.latency import Ratio

SLOW = Suspect("int8", "logits", "cpu", "float logits", Ratio(1.4, (1.2, 1.6)))
FAST = replace(SLOW, ratio=Ratio(0.5, (0.4, 0.6)))


def test_an_integer_network_slower_than_its_float_one_is_called_so_with_the_fix() -> None:
    (said,) = complaints(SLOW)
    assert said.startswith("slower than float logits, 1.40 (1.20-1.60) times its time: ")
    assert "--recipe fp32 or fp16" in said


def test_float_kernels_that_take_the_time_are_named() -> None:
    fallback = {"operators": {"HARD_SWISH": 11}, "time_share": 0.62}
    (said,) = complaints(replace(SLOW, fallback=fallback))
    assert "(HARD_SWISH in other kernels, 62% of it)" in said
    assert "fix --target cpu" in said
    (said,) = complaints(replace(SLOW, fallback={**fallback, "time_share": 0.01}))
    assert "HARD_SWISH" not in said


@pytest.mark.parametrize(
    ("output", "fix"),
    [("classmap", "build it with --output lowres"), ("lowres", "resizes inside the network")],
)
def test_an_end_that_dominates_is_called_so_with_the_fix(output: str, fix: str) -> None:
    shares = {"Resize": 0.4, "ArgMax": 0.2, "QLinearConv": 0.4}
    (said,) = complaints(replace(FAST, output=output, time_shares=shares))
    assert said.startswith("Resize and ArgMax take 60% of the time: ")
    assert fix in said


def test_where_only_other_kernels_are_timed_these_tell() -> None:
    fallback = {"operators": {"ARG_MAX": 1, "RESIZE_BILINEAR": 1}, "time_share": 0.7}
    (said,) = complaints(replace(FAST, fallback=fallback))
    assert said.startswith("ARG_MAX and RESIZE_BILINEAR take 70% of the time: ")
    assert complaints(replace(FAST, fallback={**fallback, "operators": {"ARG_MAX": 1, "GATHER": 1}})) == ()


@pytest.mark.parametrize(
    "suspect",
    [
        pytest.param(FAST, id="fast"),
        pytest.param(replace(FAST, time_shares={"Resize": 0.3, "QLinearConv": 0.7}), id="ends-are-cheap"),
        pytest.param(replace(SLOW, ratio=Ratio(1.1, (0.9, 1.3))), id="perhaps"),
        pytest.param(replace(SLOW, ratio=Ratio(2.0, None)), id="too-few-rounds"),
        pytest.param(replace(SLOW, ratio=None), id="nothing-to-compare"),
        pytest.param(replace(SLOW, precision="float32", time_shares={"Resize": 0.9}), id="float"),
    ],
)
def test_nothing_is_said_of(suspect: Suspect) -> None:
    assert complaints(suspect) == ()
