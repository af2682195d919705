"""Tensors, grids and weights found in OpenVINO's files, and parts cut out of these."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from mosaic_deploy.backends.file_parts import fed
from mosaic_deploy.backends.openvino.ir import bring_openvino
from mosaic_deploy.backends.openvino.part import run_part
from mosaic_deploy.backends.openvino.same_tensors import find
from mosaic_deploy.backends.stored_weights import BIAS, INTEGERS, STEPS
from mosaic_deploy.errors import ModelError

SHAPE = (1, 2, 4, 5)
KERNEL = np.random.default_rng(5).normal(size=(3, 2, 1, 1)).astype(np.float32)
STEP = (np.abs(KERNEL).max((1, 2, 3), keepdims=True) / 127).astype(np.float32)
INTS = np.rint(KERNEL / STEP).astype(np.int8)
IMAGE = np.random.default_rng(6).uniform(-1, 1, SHAPE).astype(np.float32)


def quiet(_share: float, _text: str) -> None:
    """Nobody asks how far it is."""


def quantizer(value: Any, low: float, high: float) -> Any:
    opset = bring_openvino().opset13
    ends = [np.array(end, np.float32) for end in (low, high, low, high)]
    return opset.fake_quantize(value, *ends, 256)


@pytest.fixture
def xml(tmp_path: Path) -> Path:
    """image -> FQ -> Conv of integers + bias = y -> FQ -> Relu = z; image -> FQ without a zero -> Abs = w."""
    ov = bring_openvino()
    opset = ov.opset13
    image = opset.parameter(SHAPE, np.float32)
    image.output(0).get_tensor().set_names({"image"})
    kernel = opset.multiply(opset.convert(opset.constant(INTS), np.float32), opset.constant(STEP))
    taken = quantizer(image, -1.0, 1.0 - 2 / 256)
    conv = opset.convolution(taken, kernel, [1, 1], [0, 0], [0, 0], [1, 1])
    made = opset.add(conv, opset.constant(np.full((1, 3, 1, 1), 0.5, np.float32)))
    made.output(0).get_tensor().set_names({"y"})
    lifted = opset.relu(quantizer(made, 0.0, 2.55))
    lifted.output(0).get_tensor().set_names({"z"})
    other = opset.abs(quantizer(lifted, 0.3, 1.7))
    other.output(0).get_tensor().set_names({"w"})
    model = ov.Model([opset.result(other)], [image], "net")
    ov.save_model(model, tmp_path / "model.xml", compress_to_fp16=False)
    return tmp_path / "model.xml"


def test_grids_weights_and_corrected_biases_are_found(xml: Path) -> None:
    folder = xml.parent
    weights = [numpy_helper.from_array(KERNEL, "k"), numpy_helper.from_array(np.zeros(3, np.float32), "b")]
    node = helper.make_node("Conv", ["image", "k", "b"], ["y"])
    onnx.save(helper.make_model(helper.make_graph([node], "net", [], [], weights)), folder / "net.onnx")
    request = {"file": str(xml), "onnx": str(folder / "net.onnx"), "weights": str(folder / "weights.npz")}
    found = find(request, quiet)
    assert found["halves"] is False
    tensors = found["tensors"]
    assert (tensors["y"]["scale"], tensors["y"]["zero_point"]) == (pytest.approx(0.01), 0)
    assert tensors["image"]["zero_point"] == 128
    assert tensors["z"]["scale"] is None, "zero is no level of that grid"
    assert tensors["w"]["scale"] is None
    with np.load(folder / "weights.npz", allow_pickle=False) as held:
        assert (held[f"{INTEGERS}k"] == INTS).all()
        assert (held[f"{STEPS}k"] == STEP).all()
        assert (held[f"{BIAS}b"] == np.float32(0.5)).all()


def part(xml: Path, wanted: str, **given: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    folder = xml.parent
    np.save(folder / "image.npy", IMAGE)
    for name, values in given.items():
        np.save(folder / f"{name}.npy", values)
    request = {
        "file": str(xml), "wanted": wanted, "given": sorted(given), "images": [str(folder / "image.npy")],
        "feeds": [{name: str(folder / f"{name}.npy") for name in given}], "input": {},
        "outputs": [str(folder / "out.npy")], "cut": str(folder / "part.xml"),
    }  # fmt: skip
    assert "OpenVINO" in run_part(request, quiet)["ran_on"]
    return np.asarray(np.load(folder / "out.npy", allow_pickle=False))


def test_a_part_ends_and_begins_with_the_quantisers_of_its_tensors(xml: Path) -> None:
    made = part(xml, "y")
    assert np.abs(made / 0.01 - np.rint(made / 0.01)).max() < 1e-3
    assert (made.min(), made.max()) >= (0.0, 0.5)
    assert (np.load(fed(xml.with_name("part.xml"), 0, 0)) == IMAGE).all()
    given = np.array([-1, 0.004, 0.017, 9.0], np.float32).repeat(15).reshape(1, 3, 4, 5)
    expected = np.array([0, 0, 0.02, 2.55], np.float32).repeat(15).reshape(1, 3, 4, 5)
    np.testing.assert_allclose(part(xml, "z", y=given), expected, atol=1e-6)


def test_a_tensor_that_is_not_there_is_refused(xml: Path) -> None:
    with pytest.raises(ModelError, match="no tensor 'nowhere'"):
        part(xml, "nowhere")
