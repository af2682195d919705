"""Networks with a stranger's ends, built on every runtime that is here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from mosaic_deploy.build.model_source import InputOptions, find_model
from mosaic_deploy.build.pipeline import deploy
from mosaic_deploy.build.plan import Request
from mosaic_deploy.build.report import BuildReport
from mosaic_deploy.errors import ModelError, UsageError
from mosaic_deploy.specs.labels import LabelSpace
from tests.graph.ends.forms import FRONTS, HEIGHT, SCORES, WIDTH, write

TARGETS = ("cpu", "dsp", "gpu", "openvino", "ort-mobile")
FOUR = LabelSpace(("sky", "road", "car", "tree"), ((0, 0, 0), (1, 1, 1), (2, 2, 2), (3, 3, 3)))
TWO = LabelSpace(("background", "person"), ((0, 0, 0), (1, 1, 1)))


def images(folder: Path, classes: tuple[str, ...]) -> str:
    """Four smooth pictures to calibrate on and four to compare on, without labels."""
    for split in ("calib", "val"):
        (folder / split / "images").mkdir(parents=True)
    (folder / "classes.txt").write_text("\n".join(classes))
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    for index in range(8):
        rng = np.random.default_rng(index)
        waves = [
            127 + 120 * np.sin(rows * rng.uniform(0.05, 0.3) + columns * rng.uniform(0.05, 0.3) + index + c)
            for c in range(3)
        ]
        Image.fromarray(np.stack(waves, -1).astype(np.uint8)).save(
            folder / ("val" if index % 2 else "calib") / "images" / f"{index}.png"
        )
    return f"folder:{folder}"


def options(front: str) -> InputOptions:
    says = FRONTS[front].says
    if says.get("dtype") == "uint8":
        return InputOptions()
    return InputOptions(mean=tuple(says["mean"]), scale=tuple(says["scale"]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("front", "back"),
    [
        pytest.param("bytes-last-per-colour", "ids-last", id="keras"),
        pytest.param("per-colour-last", "mask", id="mask"),
        pytest.param("slices-concat", "score-sigmoid-last", id="one-score"),
        pytest.param("used-twice", "no-batch-last", id="arithmetic-first"),
        pytest.param("pooled", "ids-half-size", id="movement-first"),
        pytest.param("other-order", "plain", id="channels-first"),
    ],
)
def test_any_ends_on_every_runtime(tmp_path: Path, front: str, back: str) -> None:
    path = write(tmp_path, FRONTS[front], SCORES[back])
    classes = TWO.classes if "threshold" in SCORES[back].says else FOUR.classes
    request = Request(
        model=str(path),
        targets=TARGETS,
        out=tmp_path / "out",
        data=images(tmp_path / "data", classes),
        tolerance=0.05,
        options={"arch": "75"},
        input=options(front),
    )
    for result in deploy(request):
        assert isinstance(result, BuildReport), result
        assert result.passed, (result.target, result.explain())
        assert result.conversion is None or result.conversion.parity.agreement > 0.999, result.target
        assert result.parity is not None
        assert result.parity.agreement > 0.95, result.target


def test_a_mean_for_bytes_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, FRONTS["bytes-per-colour"], SCORES["plain"])
    with pytest.raises(UsageError, match=r"takes uint8 pixels as they are.*leave --input-mean"):
        find_model(str(path), options=InputOptions(mean=(1, 1, 1), scale=(1, 1, 1)), labels=FOUR)
    assert find_model(str(path), options=InputOptions(), labels=FOUR).card.contract.dtype == "uint8"


def test_a_graph_that_normalises_says_how_to_feed_it(tmp_path: Path) -> None:
    path = write(tmp_path, FRONTS["per-colour"], SCORES["plain"])
    with pytest.raises(UsageError, match=r"begins with arithmetic .*--input-mean 0 --input-scale 1"):
        find_model(str(path), options=InputOptions(), labels=FOUR)
    with pytest.raises(UsageError, match="say how pixels become it"):
        find_model(
            str(write(tmp_path, FRONTS["plain"], SCORES["plain"])), options=InputOptions(), labels=FOUR
        )


@pytest.mark.parametrize(
    ("back", "labels", "threshold", "says"),
    [
        ("plain", TWO, None, "gives 4 scores per pixel, and the data has 2 classes"),
        ("score", FOUR, None, "one score per pixel, which tells 2 classes apart"),
        ("mask", FOUR, None, "one score per pixel, which tells 2 classes apart"),
        ("plain", FOUR, 0.3, "--threshold is for one score"),
    ],
)
def test_classes_that_are_not_the_networks(
    tmp_path: Path, back: str, labels: LabelSpace, threshold: float | None, says: str
) -> None:
    path = write(tmp_path, FRONTS["plain"], SCORES[back])
    asked = InputOptions(mean=(0, 0, 0), scale=(1, 1, 1), threshold=threshold)
    with pytest.raises(UsageError, match=says):
        find_model(str(path), options=asked, labels=labels)


@pytest.mark.parametrize(("back", "limit"), [("score", 0.0), ("score-sigmoid", 0.5), ("mask", 0.5)])
def test_the_limit_of_a_lone_score(tmp_path: Path, back: str, limit: float) -> None:
    path = write(tmp_path, FRONTS["plain"], SCORES[back])
    asked = InputOptions(mean=(0, 0, 0), scale=(1, 1, 1))
    assert find_model(str(path), options=asked, labels=TWO).card.contract.threshold == limit
    own = InputOptions(mean=(0, 0, 0), scale=(1, 1, 1), threshold=0.25)
    assert find_model(str(path), options=own, labels=TWO).card.contract.threshold == 0.25


def test_one_of_several_outputs_and_a_size_are_in_the_card(tmp_path: Path) -> None:
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 18]>
        g (float[N,3,H,W] x) => (float[N,4,H,W] y, float[N,4,H,W] z) {
            y = Concat<axis=1>(x, z0) z = Relu(y) z0 = ReduceMean<keepdims=1>(x, one) }""")
    model.graph.node.insert(0, model.graph.node.pop())
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1]), "one"))
    path = tmp_path / "m.onnx"
    onnx.save_model(model, path)
    raw = InputOptions(mean=(0, 0, 0), scale=(1, 1, 1))
    with pytest.raises(ModelError, match="--input-shape"):
        find_model(str(path), options=raw, labels=FOUR)
    sized = replace(raw, input_shape=(1, 3, 32, 48))
    with pytest.raises(ModelError, match="--output-name y"):
        find_model(str(path), options=sized, labels=FOUR)
    card = find_model(str(path), options=replace(sized, output_name="z"), labels=FOUR).card
    assert (card.source.input_shape, card.source.output) == ((1, 3, 32, 48), "z")
    assert (card.contract.height, card.contract.width) == (32, 48)
