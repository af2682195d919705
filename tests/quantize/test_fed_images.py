"""Images reach a graph with pairs as they reach the network that it was made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mosaic_deploy.graph.execute import Session
from mosaic_deploy.quantize.cpu_style import CPU_STYLE
from mosaic_deploy.quantize.fed_images import FedImages
from mosaic_deploy.quantize.qdq import pairs_inserted
from mosaic_deploy.specs.recipe import QuantRecipe
from mosaic_deploy.specs.registry import load_spec

SIDE = 8


def network() -> onnx.ModelProto:
    """Raw pixels (NCHW) -> Cast -> Sub 128 -> Mul 1/128 -> Conv -> scores."""
    weights = {
        "mean": np.float32(128), "factor": np.float32(1 / 128),
        "w": np.random.default_rng(0).normal(size=(2, 3, 1, 1)).astype(np.float32),
    }  # fmt: skip
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Sub", ["floats", "mean"], ["centred"], "sub"),
        helper.make_node("Mul", ["centred", "factor"], ["normal"], "mul"),
        helper.make_node("Conv", ["normal", "w"], ["scores"], "conv"),
    ]
    graph = helper.make_graph(
        nodes,
        "raw",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 2, SIDE, SIDE])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("wanted", ["NCHW", "NHWC"])
def test_a_normalisation_that_went_into_the_grid_is_done_to_the_image(
    wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    onnx.save(network(), "net.onnx")
    image = np.random.default_rng(1).integers(0, 256, (1, 3, SIDE, SIDE)).astype(np.uint8)
    np.save("image.npy", image if wanted == "NCHW" else np.moveaxis(image, 1, -1))
    request = {
        "onnx": "net.onnx",
        "calibration": ["image.npy"],
        "recipe": load_spec(QuantRecipe, "w8a8").model_dump(mode="json", by_alias=True),
        "pixels": None,
        "threads": 1,
        "layout": "NCHW",
        "wanted": wanted,
    }
    made = pairs_inserted(CPU_STYLE, request, lambda _share, _text: None)
    assert made.pixels == [128.0, 128.0]
    found = []
    for graph, fed in (
        (onnx.load("net.onnx"), FedImages.of(request)),
        (made.model, FedImages.of(request, made)),
    ):
        session = Session(graph)
        port = session.inputs[0]
        found.append(session.run({port.name: fed.read("image.npy", port)})[0])
    assert np.abs(found[0] - found[1]).max() < 0.05 * np.ptp(found[0])
