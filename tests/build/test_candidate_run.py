"""On a slow runtime images are run until the verdict is certain, and no longer."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from mosaic_deploy.build.pipeline import deploy
from mosaic_deploy.build.plan import Request
from mosaic_deploy.build.report import BuildReport
from tests.conftest import Tiny, write_split


def build(tiny: Tiny, out: Path, *, images: int, all_images: bool = False) -> BuildReport:
    shutil.rmtree(tiny.data / "val", ignore_errors=True)
    write_split(tiny.data / "val", images=images, seed=2)
    request = Request(model=str(tiny.card), targets=("dsp",), out=out, options={"arch": "75"})
    (report,) = deploy(replace(request, all_images=all_images))
    assert isinstance(report, BuildReport)
    return report


@pytest.mark.slow
def test_the_simulator_runs_a_sample_where_that_is_enough(tiny: Tiny, tmp_path: Path) -> None:
    report = build(tiny, tmp_path / "out", images=40)
    parity = report.parity
    assert parity is not None
    assert parity.early is not None
    assert (parity.images, parity.early.of) == (16, 40)
    assert report.passed
    folder = Path(tmp_path / "out" / "tiny-dsp-w8a8")
    record = json.loads((folder / "parity.json").read_text())["v75"]
    assert record["early"] == {"of": 40, "alpha": 0.05, "images": list(parity.early.images)}
    assert len(record["per_image"]) == 16
    assert "on 16 of 40\u00a0images of folder, drawn at random" in (folder / "report.html").read_text()
    assert any("16 of 40 images" in line for line in report.explain())
    simulation = report.facts["simulation"]
    assert isinstance(simulation, dict)
    assert simulation["v75"]["images"] == 16
    assert (folder / "golden").is_dir()
    again = build(tiny, tmp_path / "out", images=40)
    assert again.unchanged
    assert again.parity is not None
    assert again.parity.early == parity.early


@pytest.mark.slow
def test_every_image_is_run_where_that_is_asked_for_or_there_are_few(tiny: Tiny, tmp_path: Path) -> None:
    for images, all_images in ((33, True), (20, False)):
        report = build(tiny, tmp_path / str(images), images=images, all_images=all_images)
        assert report.parity is not None
        assert (report.parity.images, report.parity.early) == (images, None)
