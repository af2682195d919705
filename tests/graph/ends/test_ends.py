"""Any ends: what the settled graph gives on its own input is what the file gives on its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from mosaic_deploy.graph.ends.describe import describe
from mosaic_deploy.graph.ends.ends import Ends, Network, settle, take_pixels
from mosaic_deploy.graph.ends.front import Front
from mosaic_deploy.graph.normal.normalise import read_network
from mosaic_deploy.graph.output_kind import with_output
from mosaic_deploy.specs.contract import Contract
from tests.graph.ends.forms import FRONTS, HEIGHT, SCORES, WIDTH, Form, contract, write

PLAIN_FRONT, PLAIN_BACK = FRONTS["plain"], SCORES["plain"]
PAIRS = [
    *(pytest.param(front, PLAIN_BACK, id=f"front-{name}") for name, front in FRONTS.items()),
    *(pytest.param(PLAIN_FRONT, back, id=f"back-{name}") for name, back in SCORES.items()),
    pytest.param(FRONTS["bytes-last-per-colour"], SCORES["ids-last"], id="both"),
]


def photograph() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def run(model: onnx.ModelProto | Path, image: NDArray[Any]) -> NDArray[Any]:
    data = str(model) if isinstance(model, Path) else model.SerializeToString()
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    result: NDArray[Any] = session.run(None, {session.get_inputs()[0].name: image})[0]
    return result


def settled(path: Path) -> Network:
    made = settle(read_network(path))
    onnx.checker.check_model(made.model, full_check=True)
    return made


@pytest.mark.parametrize(("front", "back"), PAIRS)
def test_the_settled_graph_is_the_same_network(tmp_path: Path, front: Form, back: Form) -> None:
    path, own = write(tmp_path, front, back), contract(front, back)
    made = settled(path)
    expects = made.ends.contract(own)
    theirs = made.ends.back.restore(run(path, own.prepare(photograph())))
    ours = run(made.model, expects.prepare(photograph()))
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-5 * max(1.0, float(np.abs(theirs).max())))
    ids = expects.class_map(ours, (HEIGHT, WIDTH))
    assert (ids == expects.class_map(theirs, (HEIGHT, WIDTH))).all()
    assert len({*ids.ravel()}) > 1, "one class everywhere proves nothing"


@pytest.mark.parametrize("front", FRONTS.values(), ids=FRONTS)
def test_nothing_stays_in_front_that_a_contract_can_say(tmp_path: Path, front: Form) -> None:
    made = settled(write(tmp_path, front, PLAIN_BACK))
    assert tuple(node.op_type for node in made.model.graph.node) == (*front.left, "Conv")
    image = made.model.graph.input[0].type.tensor_type
    assert image.elem_type == onnx.TensorProto.FLOAT
    assert [dim.dim_value for dim in image.shape.dim] == [1, 3, HEIGHT, WIDTH]


@pytest.mark.parametrize("back", SCORES.values(), ids=SCORES)
def test_the_end_has_one_form(tmp_path: Path, back: Form) -> None:
    made = settled(write(tmp_path, PLAIN_FRONT, back))
    shape = [dim.dim_value for dim in made.model.graph.output[0].type.tensor_type.shape.dim]
    if back.says.get("output") == "classmap":
        assert made.ends.back.ids
        assert len(shape) == 3
        assert shape[0] == 1
    else:
        channels = 1 if "threshold" in back.says else 4
        assert shape == [1, channels, HEIGHT, WIDTH]
    if "threshold" in back.says:
        assert made.ends.back.threshold == back.says["threshold"]


@pytest.mark.parametrize("back", SCORES.values(), ids=SCORES)
def test_what_a_file_gives_is_told_by_its_graph(tmp_path: Path, back: Form) -> None:
    facts = describe(write(tmp_path, FRONTS["bytes-last-per-colour"], back))
    assert (facts.height, facts.width, facts.layout, facts.dtype) == (HEIGHT, WIDTH, "NHWC", "uint8")
    assert facts.output == back.says.get("output", "logits")
    if facts.output == "logits":
        assert facts.channels == (1 if "threshold" in back.says else 4)
    else:
        assert facts.channels is None


@pytest.mark.parametrize("name", ["mask", "mask-or-equal", "mask-less"])
def test_a_mask_can_be_had_as_its_score_and_back(tmp_path: Path, name: str) -> None:
    back = SCORES[name]
    made, own = settled(write(tmp_path, PLAIN_FRONT, back)), contract(PLAIN_FRONT, back)
    pixels = own.prepare(photograph())
    ids = run(made.model, pixels)
    scores = with_output(made.model, own, want="logits")
    said = own.model_copy(update={"output": "logits"})
    assert (said.class_map(run(scores, pixels), (HEIGHT, WIDTH)) == ids[0]).all()
    assert (run(with_output(scores, said, want="classmap"), pixels) == ids).all()


def test_ends_survive_json(tmp_path: Path) -> None:
    made = settled(write(tmp_path, FRONTS["bytes-per-colour"], SCORES["ids-last"]))
    assert Ends.from_json(made.ends.to_json()) == made.ends != Ends()


def test_several_outputs_stay_as_they_are(tmp_path: Path) -> None:
    text = f"""<ir_version: 8, opset_import: ["" : 18]>
        g (float[1,3,{HEIGHT},{WIDTH}] image)
          => (float[1,{HEIGHT},{WIDTH},3] a, float[1,3,{HEIGHT},{WIDTH}] b) {{
          a = Transpose<perm=[0,2,3,1]>(image) b = Relu(image) }}"""
    onnx.save_model(onnx.parser.parse_model(text), tmp_path / "m.onnx")
    made = settle(read_network(tmp_path / "m.onnx"))
    assert [node.op_type for node in made.model.graph.node] == ["Transpose", "Relu"]


def test_pixels_are_normalised_in_the_graph_where_colours_differ(tmp_path: Path) -> None:
    back = SCORES["plain"]
    stated = {
        **contract(PLAIN_FRONT, back).model_dump(),
        "mean": (123.7, 116.3, 103.5),
        "scale": (58, 57, 56),
    }
    own = Contract.model_validate(stated)
    made = settled(write(tmp_path, PLAIN_FRONT, back))
    before = run(made.model, own.prepare(photograph()))
    raw = take_pixels(made.model, own)
    assert raw is not None
    assert (raw.mean, raw.scale) == ((0, 0, 0), (1, 1, 1))
    onnx.checker.check_model(made.model, full_check=True)
    np.testing.assert_allclose(run(made.model, raw.prepare(photograph())), before, rtol=0, atol=1e-5)


def test_one_mean_for_all_colours_is_left_to_the_input(tmp_path: Path) -> None:
    made = settled(write(tmp_path, PLAIN_FRONT, PLAIN_BACK))
    before = made.model.SerializeToString()
    assert take_pixels(made.model, contract(PLAIN_FRONT, PLAIN_BACK)) is None
    assert made.model.SerializeToString() == before


def test_a_graph_whose_image_nobody_reads_stays(tmp_path: Path) -> None:
    text = f"""<ir_version: 8, opset_import: ["" : 18]>
        g (float[1,3,{HEIGHT},{WIDTH}] image) => (float[1,3,2,2] out)
          <float[1,3,2,2] held = {{1,2,3,4,5,6,7,8,9,10,11,12}}> {{ out = Relu(held) }}"""
    onnx.save_model(onnx.parser.parse_model(text), tmp_path / "m.onnx")
    assert settle(read_network(tmp_path / "m.onnx")).ends.front == Front()
