from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from mosaic_deploy.artifact.foreign import Stated
from mosaic_deploy.build import inputs
from mosaic_deploy.build.pipeline import deploy
from mosaic_deploy.build.plan import Request
from mosaic_deploy.build.report import BuildReport
from mosaic_deploy.build.validate import ValidationRequest, validate
from mosaic_deploy.build.validated import exit_code, to_json
from mosaic_deploy.errors import ModelError, UsageError
from tests.conftest import Tiny, write_split


@pytest.fixture
def request_(tiny: Tiny) -> ValidationRequest:
    return ValidationRequest(str(tiny.card), (tiny.onnx,), f"folder:{tiny.data}")


def wrong(tiny: Tiny) -> Path:
    """The network with two of its classes in each other's place."""
    model = onnx.load(tiny.onnx)
    weights = numpy_helper.to_array(model.graph.initializer[0])
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights[[2, 0, 1]].copy(), "w"))
    onnx.save(model, tiny.root / "wrong.onnx")
    return tiny.root / "wrong.onnx"


def test_a_right_file_passes_a_wrong_one_fails_and_a_damaged_one_has_no_verdict(
    tiny: Tiny, request_: ValidationRequest
) -> None:
    (tiny.root / "cut.onnx").write_bytes(tiny.onnx.read_bytes()[:50])
    artifacts = (tiny.onnx, wrong(tiny), tiny.root / "cut.onnx")
    found = validate(replace(request_, artifacts=artifacts))
    assert [item.verdict for item in found] == ["passed", "parity failed", "no verdict"]
    assert found[0].parity is not None
    assert found[0].parity.agreement == 1.0
    assert (exit_code(found), exit_code(found[:1]), exit_code(found[2:])) == (1, 0, 2)
    record = json.loads(json.dumps(to_json(found), allow_nan=False))
    assert (record["passed"], len(record["artifacts"])) == (False, 3)


@pytest.mark.slow
def test_images_that_are_alike_are_drawn_together_as_in_a_build(
    request_: ValidationRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = inputs.prepare_inputs

    def of_one_second(*given: Any, **more: Any) -> inputs.Inputs:
        made = prepare(*given, **more)
        return replace(made, images=tuple(replace(image, group="second 1") for image in made.images))

    monkeypatch.setattr("mosaic_deploy.build.validate.prepare_inputs", of_one_second)
    (found,) = validate(request_)
    assert found.parity is not None
    assert (found.parity.images > 1, found.parity.groups) == (True, 1)


@pytest.mark.slow
def test_what_is_said_of_the_input_is_what_it_gets(request_: ValidationRequest) -> None:
    dark = replace(request_, stated=Stated(mean=(255.0, 255.0, 255.0)))
    (found,) = validate(dark)
    assert not found.passed
    assert "(RGB pixel - 255) / 128" in found.feeding


@pytest.mark.slow
def test_an_artifact_is_a_reference_too(tiny: Tiny, tmp_path: Path, request_: ValidationRequest) -> None:
    (report,) = deploy(Request(str(tiny.card), (str(tiny.target),), tmp_path / "out"))
    assert isinstance(report, BuildReport)
    folder = Path(report.folder)
    found = validate(replace(request_, reference=str(folder), artifacts=(folder, tiny.onnx)))
    assert [item.verdict for item in found] == ["passed", "passed"]


def test_the_only_artifact_that_cannot_be_opened_is_an_error(tiny: Tiny, request_: ValidationRequest) -> None:
    with pytest.raises(ModelError, match="no such file"):
        validate(replace(request_, artifacts=(tiny.root / "none.onnx",)))
    with pytest.raises(UsageError, match="between 0 and 1"):
        validate(replace(request_, tolerance=2.0))
    with pytest.raises(UsageError, match="at least one"):
        validate(replace(request_, artifacts=()))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "files"),
    [
        ("cpu", ("model.tflite",)),
        ("ort-mobile", ("model.ort", "model.qdq.onnx")),
        ("openvino", ("model.xml",)),
        ("dsp", ("v75/model_ctx.onnx", "v75/model_ctx_qnn.bin")),
    ],
)
def test_a_shipped_file_alone_has_the_verdict_of_its_build(
    tmp_path: Path, target: str, files: tuple[str, ...]
) -> None:
    built = Request("mosaic", (target,), tmp_path, images=2)
    (report,) = deploy(replace(built, options={"arch": "75"} if target == "dsp" else {}))
    assert isinstance(report, BuildReport)
    assert report.parity is not None
    paths = tuple(Path(report.folder) / file for file in files)
    for path, found in zip(
        paths, validate(ValidationRequest("mosaic", paths, "streets", images=2)), strict=True
    ):
        assert found.parity is not None
        # The same network before ONNX Runtime's kernels are fused is a little another one.
        near = 5e-3 if path.name == "model.qdq.onnx" else 1e-4
        assert found.parity.agreement == pytest.approx(report.parity.agreement, abs=near)
        said = "the reference's" if path.suffix == ".bin" else "the description that a build left in it"
        assert found.contract_from == said
        np.testing.assert_allclose(found.parity.drop, report.parity.drop, atol=5e-3)


@pytest.mark.slow
def test_on_the_simulator_a_sample_is_enough_unless_all_are_asked_for(tiny: Tiny, tmp_path: Path) -> None:
    shutil.rmtree(tiny.data / "val")
    write_split(tiny.data / "val", images=34, seed=2)
    asked = Request(str(tiny.card), ("dsp",), tmp_path / "out", images=4, options={"arch": "75"})
    (built,) = deploy(asked)
    request = ValidationRequest(str(tiny.card), (Path(built.folder),), f"folder:{tiny.data}")  # type: ignore[union-attr]  # it was built
    for all_images, images in ((False, 16), (True, 34)):
        (found,) = validate(replace(request, all_images=all_images))
        assert found.passed
        assert found.parity is not None
        assert found.parity.images == images
        assert (found.parity.early is None) == all_images
