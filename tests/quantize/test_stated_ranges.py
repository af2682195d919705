"""Ranges that a build is given are those of the grids in its graph, whatever the images say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from mosaic_deploy.backends.ort.quantize import quantize
from mosaic_deploy.errors import ModelError
from mosaic_deploy.specs.recipe import QuantRecipe
from mosaic_deploy.specs.registry import load_spec
from tests.backends.qnn.test_backend import HEIGHT, WIDTH, network


def quiet(_share: float, _text: str) -> None:
    pass


@pytest.fixture
def request_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    onnx.save(network("lowres"), tmp_path / "net.onnx")
    image = np.random.default_rng(1).normal(size=(1, 3, HEIGHT, WIDTH)).astype(np.float32)
    np.save(tmp_path / "image.npy", image)
    return {
        "onnx": str(tmp_path / "net.onnx"),
        "out": str(tmp_path / "out.onnx"),
        "calibration": [str(tmp_path / "image.npy")],
        "recipe": load_spec(QuantRecipe, "w8a8").model_dump(mode="json", by_alias=True),
        "pixels": None,
        "threads": 1,
        "ranges": {},
    }


_OUTPUT = "_QuantizeLinear_Input"
"""What the quantiser adds to the name of a graph's output."""
_WITHIN = ("AveragePool", "MaxPool", "Resize", "Split", "Slice", "Reshape", "Transpose")
"""What gives no value beyond its input's keeps the grid of that."""


def steps(path: str) -> dict[str, float]:
    """The step of the grid of each tensor that the graph itself quantises."""
    graph = onnx.load(path).graph
    values = {held.name: onnx.numpy_helper.to_array(held) for held in graph.initializer}
    pairs = [node.input for node in graph.node if node.op_type == "QuantizeLinear"]
    return {name.removesuffix(_OUTPUT): float(values[scale]) for name, scale, *_ in pairs}


def test_every_grid_is_made_of_the_range_that_was_stated(request_: dict[str, Any]) -> None:
    quantize(request_, quiet)
    stated = {name: (-1.0 - index, 2.0 + index) for index, name in enumerate(steps(request_["out"]))}
    facts = quantize({**request_, "ranges": stated}, quiet)
    found = steps(request_["out"])
    wanted = {name: pytest.approx((high - low) / 255) for name, (low, high) in stated.items()}
    made = {out: node.op_type for node in onnx.load(request_["onnx"]).graph.node for out in node.output}
    computed = [name for name in stated if made.get(name) not in _WITHIN]
    assert len(computed) >= 4
    assert {name: found[name] for name in computed} == {name: wanted[name] for name in computed}
    assert all(step in wanted.values() for step in found.values())
    assert facts["ranges"]["given"] == len(stated)


def test_a_tensor_without_a_stated_range_is_calibrated(request_: dict[str, Any]) -> None:
    quantize(request_, quiet)
    calibrated = steps(request_["out"])
    one = next(iter(calibrated))
    quantize({**request_, "ranges": {one: (-50.0, 50.0)}}, quiet)
    found = steps(request_["out"])
    assert found.pop(one) == pytest.approx(100 / 255)
    assert found == {name: step for name, step in calibrated.items() if name in found}


def test_ranges_of_no_tensor_of_the_graph_are_refused(request_: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="has none of the tensors that ranges are given for"):
        quantize({**request_, "ranges": {"elsewhere": (0.0, 1.0)}}, quiet)
