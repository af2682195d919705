"""Names first, data second: what each step reads, and that each image is decoded once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from mosaic_deploy.backends.litert.gpu import accelerator
from mosaic_deploy.build import pipeline
from mosaic_deploy.build.plan import Plan, Request, Unplanned, open_inputs, plan, resolve
from mosaic_deploy.datasets import samples
from mosaic_deploy.errors import DataError, MosaicError, SpecError, UsageError
from mosaic_deploy.specs.labels import Pixels
from tests.conftest import Tiny


def request(tiny: Tiny, out: Path) -> Request:
    return Request(model=str(tiny.card), targets=(str(tiny.target),), out=out)


def test_names_are_resolved_before_model_and_data_are_looked_for(tiny: Tiny, tmp_path: Path) -> None:
    """Neither the model nor the data are there, and nobody asks for them."""
    asked = replace(request(tiny, tmp_path), model="nowhere.onnx", data="folder:/nowhere")
    (found,) = resolve(asked)
    assert (found.target.name, found.recipe.name, found.missing) == ("echo", "w8a8", None)
    with pytest.raises(DataError, match="nowhere"):
        open_inputs(asked, (found,))


@pytest.mark.parametrize(
    ("changes", "kind", "says"),
    [
        pytest.param({"targets": ("dps",)}, SpecError, "did you mean 'dsp'", id="target"),
        pytest.param({"targets": ()}, UsageError, "name a target", id="no-target"),
        pytest.param({"recipe": "w8a9"}, SpecError, "did you mean 'w8a8'", id="recipe"),
        pytest.param({"recipe": "fp16"}, UsageError, "is not for target echo", id="recipe-of-another"),
        pytest.param({"output": "logit"}, UsageError, "did you mean 'logits'", id="output"),
        pytest.param(
            {"output": "vim", "targets": ("gpu", "ort-mobile", "dsp")},
            UsageError,
            "shapes are fixed on gpu, dsp: use lowres",
            id="vim",
        ),
        pytest.param({"tolerance": 1.5}, UsageError, "between 0 and 1", id="tolerance"),
        pytest.param({"options": {"arhc": "75"}}, SpecError, "no option 'arhc'", id="option"),
    ],
)
def test_a_wrong_name_is_said_though_the_data_is_missing_too(
    tiny: Tiny, tmp_path: Path, changes: dict[str, object], kind: type[MosaicError], says: str
) -> None:
    asked = replace(request(tiny, tmp_path), data="folder:/nowhere", **changes)  # type: ignore[arg-type]
    with pytest.raises(kind, match=says):
        resolve(asked)


def test_each_image_and_label_is_decoded_once_and_each_graph_written_once(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two builds, five images of which three have labels that count and are shown, two kinds of output."""
    seen: Counter[Path] = Counter()
    written: Counter[str] = Counter()
    read_image, read_label, save = samples.read_image, samples.read_label, onnx.save_model

    def image(path: Path, *, upright: bool = False) -> Pixels:
        seen[path] += 1
        return read_image(path, upright=upright)

    def label(path: Path, *, colours: Mapping[tuple[int, int, int], int]) -> Pixels:
        seen[path] += 1
        return read_label(path, colours=colours)

    def note(model: onnx.ModelProto, place: Path) -> None:
        written[Path(place).name] += 1
        save(model, place)

    monkeypatch.setattr(samples, "read_image", image)
    monkeypatch.setattr(samples, "read_label", label)
    monkeypatch.setattr(onnx, "save_model", note)
    other = tiny.root / "other.toml"
    other.write_text(tiny.target.read_text().replace('name = "echo"', 'name = "other"'))
    asked = Request(
        model=str(tiny.card), targets=(str(tiny.target), str(other)), out=tmp_path / "out", output="classmap"
    )
    results = pipeline.deploy(asked, progress=lambda *_: None)
    assert [type(result).__name__ for result in results] == ["BuildReport", "BuildReport"]
    assert set(seen.values()) == {1}
    assert len([path for path in seen if path.parent.name == "images"]) == 5
    assert written == {"model-classmap.onnx": 1}


def test_a_missing_driver_leaves_out_its_target_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accelerator, "missing", lambda: "no driver: apt-get install one")
    cpu, gpu = plan(Request(model="mosaic", targets=("cpu", "gpu"), out=tmp_path))
    assert isinstance(cpu, Plan)
    assert isinstance(gpu, Unplanned)
    assert str(gpu.error) == "target gpu: no driver: apt-get install one"
