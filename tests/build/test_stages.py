"""The stages of a real build: what was run has figures, what was not says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from mosaic_deploy.build.pipeline import deploy
from mosaic_deploy.build.plan import Request
from mosaic_deploy.build.report import BuildReport
from mosaic_deploy.build.stages import Stage
from tests.conftest import Tiny


def stages(
    tiny: Tiny, out: Path, target: str, *, recipe: str | None = None, **options: str
) -> dict[str, Stage]:
    asked = Request(model=str(tiny.card), targets=(target,), out=out, recipe=recipe, options=options)
    (report,) = deploy(asked)
    assert isinstance(report, BuildReport)
    assert report.parity is not None
    for stage in report.stages:
        assert (stage.parity is None) == bool(stage.why)
        assert stage.parity is None or stage.parity.images == report.parity.images
    return {stage.variant or stage.name: stage for stage in report.stages}


@pytest.mark.slow
def test_a_conversion_is_a_stage_and_a_missing_one_says_why(tiny: Tiny, tmp_path: Path) -> None:
    found = stages(tiny, tmp_path / "out", str(tiny.target_with("wrong")))
    assert list(found) == ["export", "output", "fixes", "conversion", "quantised", "main"]
    conversion, target = found["conversion"].parity, found["main"].parity
    assert conversion is not None
    assert target is not None
    assert conversion.agreement == 1.0
    assert target.drop > 0.5
    assert found["export"].why == "the network came as ONNX"


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["w8a8", "w8a16"])
def test_the_quantised_graph_runs_on_onnx_runtime_too(tiny: Tiny, tmp_path: Path, recipe: str) -> None:
    found = stages(tiny, tmp_path / "out", "dsp", recipe=recipe, arch="75")
    quantised = found["quantised"].parity
    assert quantised is not None
    assert quantised.agreement > 0.99
    assert found["v75"].parity is not None
