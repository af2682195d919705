"""On a slow runtime images are run until the verdict is certain, and no longer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mosaic_deploy.accuracy.limits import Limits
from mosaic_deploy.backends.protocol import Run, Step
from mosaic_deploy.build.candidate_run import Comparison, run_candidate
from mosaic_deploy.build.inputs import ValidationImage
from mosaic_deploy.build.pipeline import deploy
from mosaic_deploy.build.plan import Request
from mosaic_deploy.build.reference_maps import Maps, Reference
from mosaic_deploy.build.report import BuildReport
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.specs.labels import LabelSpace
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


IDS = np.repeat(np.array([0, 1], np.uint8), 200).reshape(20, 20)
LABELS = LabelSpace(("sky", "road"), ((0, 0, 0), (1, 1, 1)))


def against(folder: Path, images: int) -> Comparison:
    """Half sky, half road on every image, and a float network that sees it."""
    path = folder / "ids.npy"
    np.save(path, IDS)
    contract = {"height": 20, "width": 20, "classes": LABELS.classes, "palette": LABELS.palette}
    return Comparison(
        images=tuple(ValidationImage((20, 20), path, group=str(index)) for index in range(images)),
        reference=Reference(Maps((path,) * images), Step("reference", "", "", 0.0, 0), (0.0,) * images),
        contract=Contract.model_validate(contract),
        labels=LABELS,
        dataset="toy",
        limits=Limits(0.02),
    )


@pytest.mark.parametrize(("wrong", "images"), [(0, 16), (1, 33), (100, 16)], ids=["holds", "open", "fails"])
def test_images_are_run_until_every_variant_is_certain(tmp_path: Path, wrong: int, images: int) -> None:
    """The old variant takes ``wrong`` pixels of the first images, or of all, for sky; the new one none."""
    asked: list[Sequence[int]] = []

    def run(indices: Sequence[int]) -> Run:
        asked.append(indices)
        outputs: dict[str, tuple[Path, ...]] = {}
        for name in ("old", "new"):
            place = tmp_path / f"{name}-{len(asked)}"
            place.mkdir()
            for index in indices:
                ids = IDS.copy()
                if name == "old" and wrong:
                    ids[10:].reshape(-1)[: wrong if wrong > 1 else 10 * (index % 2)] = 0
                scores = np.stack([ids == 0, ids == 1]).astype(np.float32)[None]
                np.save(place / f"{index}.npy", scores)
            outputs[name] = tuple(place / f"{index}.npy" for index in indices)
        return Run(outputs["new"], (), {}, "new", {"old": outputs["old"]})

    compared = against(tmp_path, 33)
    ran = run_candidate(run, compared, tmp_path / "maps", whole=compared.know())
    assert len(ran.indices) == images
    assert ran.indices == tuple(sorted(index for chunk in asked for index in chunk))
    assert list(ran.maps) == ["old", "new"]
    assert all(len(found.paths) == images for found in ran.maps.values())
    assert np.array_equal(ran.maps["new"][3], IDS)
    verdicts = {name: report.verdict for name, report in ran.reports.items()}
    assert verdicts == ({} if images == 33 else {"old": "holds" if not wrong else "fails", "new": "holds"})
