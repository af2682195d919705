"""Opsets 7 to 12 raised to 13: the raised graph computes the same as the old one on ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mosaic_deploy.errors import ModelError
from mosaic_deploy.graph.normal.normalise import normalise
from mosaic_deploy.graph.reader.older import opset_of
from mosaic_deploy.graph.reader.read import read_model

SHAPE = (1, 3, 4, 6)
Nodes = list[onnx.NodeProto]


def floats(*values: float) -> NDArray[np.float32]:
    return np.asarray(values, np.float32)


def held(**arrays: Any) -> list[onnx.TensorProto]:
    """Initialisers by name."""
    return [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()]


def model_of(nodes: Nodes, opset: int, *tensors: onnx.TensorProto, listed: bool = True) -> onnx.ModelProto:
    """A model of an image ``x`` and an output ``y`` of no stated shape, in the manner of old exporters."""
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)
    constants = [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in tensors]
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", [image, *(constants if listed else [])], [y], list(tensors))
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=3 if listed else 8
    )


def outputs(model: onnx.ModelProto) -> NDArray[np.float32]:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).normal(0, 3, SHAPE).astype(np.float32)
    result: NDArray[np.float32] = session.run(None, {"x": image})[0]
    return result


def read(model: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    place = folder / "model.onnx"
    place.write_bytes(model.SerializeToString())
    return read_model(place)


def node(op: str, *inputs: str, **attributes: Any) -> Nodes:
    return [helper.make_node(op, ["x", *inputs], ["y"], name="n", **attributes)]


CASES = [
    pytest.param(9, node("Clip", min=0.0, max=2.0), [], id="clip"),
    pytest.param(7, node("Clip", min=-1.0), [], id="clip-min"),
    pytest.param(10, node("Clip", max=1.5), [], id="clip-max"),
    pytest.param(9, node("Clip"), [], id="clip-without-bounds"),
    pytest.param(9, node("Slice", starts=[1, -3], ends=[2, 9], axes=[1, 3]), [], id="slice"),
    pytest.param(7, node("Slice", starts=[0, 1], ends=[1, 2]), [], id="slice-without-axes"),
    pytest.param(7, node("Pad", pads=[0, 0, 1, 2, 0, 0, 3, 0], mode="reflect"), [], id="pad-reflect"),
    pytest.param(10, node("Pad", pads=[0, 0, 1, 2, 0, 0, 3, 0], value=-2.5), [], id="pad-value"),
    pytest.param(9, node("Softmax", axis=1), [], id="softmax-of-all-behind"),
    pytest.param(9, node("Softmax"), [], id="softmax-default"),
    pytest.param(12, node("LogSoftmax", axis=-2), [], id="log-softmax-negative"),
    pytest.param(12, node("Softmax", axis=3), [], id="softmax-last"),
    pytest.param(11, node("Hardmax", axis=2), [], id="hardmax"),
    pytest.param(8, node("Dropout", ratio=0.9), [], id="dropout"),
    pytest.param(10, node("ReduceSum", axes=[1, -1], keepdims=0), [], id="reduce-sum"),
    pytest.param(12, node("ReduceSum"), [], id="reduce-sum-all"),
    pytest.param(9, node("ReduceMean", axes=[2, 3]), [], id="reduce-mean"),
    pytest.param(9, node("Upsample", "s", mode="nearest"), held(s=floats(1, 1, 2, 3)), id="upsample-9"),
    pytest.param(9, node("Upsample", "s", mode="linear"), held(s=floats(1, 1, 2, 2)), id="upsample-linear"),
    pytest.param(7, node("Upsample", scales=[1.0, 1.0, 2.0, 1.5], mode="nearest"), [], id="upsample-7"),
    pytest.param(8, node("Upsample", scales=[1.0, 1.0, 2.0, 2.0], mode="linear"), [], id="upsample-8-linear"),
    pytest.param(10, node("Resize", "s", mode="nearest"), held(s=floats(1, 1, 1.5, 0.5)), id="resize-10"),
    pytest.param(10, node("Resize", "s", mode="linear"), held(s=floats(1, 1, 2, 3)), id="resize-10-linear"),
    pytest.param(
        11,
        node("Resize", "r", "s", "z", mode="linear", coordinate_transformation_mode="align_corners"),
        held(r=np.zeros(0, np.float32), s=np.zeros(0, np.float32), z=np.asarray([1, 3, 9, 7])),
        id="resize-11-sizes",
    ),
    pytest.param(
        11,
        node("Resize", "r", "s", mode="cubic", cubic_coeff_a=-0.5),
        held(r=np.zeros(0, np.float32), s=floats(1, 1, 2, 2)),
        id="resize-11-scales",
    ),
    *(
        pytest.param(
            11,
            node(
                "Resize", "r", "s", mode="nearest", nearest_mode=rounding,
                coordinate_transformation_mode="tf_half_pixel_for_nn",
            ),
            held(r=np.zeros(0, np.float32), s=floats(1, 1, *scales)),
            id=f"resize-tf-half-pixel-{rounding}-{scales[0]}",
        )
        for rounding in ("floor", "round_prefer_floor")
        for scales in ((2.0, 3.0), (0.5, 1.5))
    ),
    pytest.param(
        9,
        [
            helper.make_node("Split", ["x"], ["a", "b"], name="n", axis=3, split=[2, 4]),
            helper.make_node("Concat", ["b", "a"], ["y"], axis=3),
        ],
        [],
        id="split",
    ),
    pytest.param(
        11,
        [
            helper.make_node("Split", ["x"], ["a", "b"], name="n", axis=-1),
            helper.make_node("Sub", ["b", "a"], ["y"]),
        ],
        [],
        id="split-in-equal-parts",
    ),
    pytest.param(
        9,
        [
            helper.make_node("Unsqueeze", ["x"], ["a"], name="u", axes=[0, 3]),
            helper.make_node("Squeeze", ["a"], ["y"], name="s", axes=[1]),
        ],
        [],
        id="squeeze",
    ),
    pytest.param(7, node("BatchNormalization", *"gbmv"), held(
        g=floats(1, 2, 3), b=floats(0, 1, 0), m=floats(1, 0, 2), v=floats(1, 4, 2)
    ), id="batch-norm"),
    pytest.param(9, [
        helper.make_node("TopK", ["x"], ["y", "i"], name="n", k=2, axis=-1),
    ], [], id="top-k"),
    pytest.param(9, [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Slice", ["shape"], ["sides"], starts=[2], ends=[4]),
        helper.make_node("Cast", ["sides"], ["f"], to=1),
        helper.make_node("Concat", ["ones", "twice"], ["s"], axis=0),
        helper.make_node("Upsample", ["x", "s"], ["y"], mode="nearest"),
    ], held(ones=floats(1, 1), twice=floats(2, 2)), id="dynamic-upsample"),
    pytest.param(9, [
        helper.make_node("If", ["c"], ["y"], name="n",
            then_branch=helper.make_graph([helper.make_node("Clip", ["x"], ["t"], min=0.0)], "t", [],
                [helper.make_tensor_value_info("t", 1, SHAPE)]),
            else_branch=helper.make_graph([helper.make_node("Softmax", ["x"], ["e"], axis=1)], "e", [],
                [helper.make_tensor_value_info("e", 1, SHAPE)])),
    ], held(c=np.asarray(False)), id="in-a-branch"),
]  # fmt: skip


@pytest.mark.parametrize(("opset", "nodes", "tensors"), CASES)
def test_raised_graphs_compute_the_same(
    tmp_path: Path, opset: int, nodes: Nodes, tensors: list[onnx.TensorProto]
) -> None:
    old = model_of(nodes, opset, *tensors)
    made = read(old, tmp_path)
    assert opset_of(made) == 13
    assert [value.name for value in made.graph.input] == ["x"]
    plain = normalise(made)
    assert opset_of(plain) == 18
    for model in (made, plain):
        np.testing.assert_allclose(outputs(model), outputs(old), rtol=1e-5, atol=1e-6)


def test_normalisation_of_each_pixel(tmp_path: Path) -> None:
    """``spatial = 0``, which ONNX Runtime no longer runs."""
    rng = np.random.default_rng(1)
    gamma, beta, mean = (rng.normal(size=SHAPE[1:]).astype(np.float32) for _ in range(3))
    variance = rng.uniform(0.5, 2, SHAPE[1:]).astype(np.float32)
    tensors = held(g=gamma, b=beta, m=mean, v=variance)
    made = read(model_of(node("BatchNormalization", *"gbmv", spatial=0), 7, *tensors), tmp_path)
    image = np.random.default_rng(0).normal(0, 3, SHAPE).astype(np.float32)
    wanted = (image - mean) / np.sqrt(variance + 1e-5) * gamma + beta
    np.testing.assert_allclose(outputs(made), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("opset", "nodes"),
    [
        pytest.param(
            11,
            node("Resize", "r", "s", mode="linear", coordinate_transformation_mode="tf_half_pixel_for_nn"),
            id="linear-tf-half-pixel",
        ),
        pytest.param(
            11,
            node(
                "Resize", "r", "s", nearest_mode="ceil", coordinate_transformation_mode="tf_half_pixel_for_nn"
            ),
            id="ceil-of-tf-half-pixel",
        ),
    ],
)
def test_what_opset_13_cannot_say_is_refused(tmp_path: Path, opset: int, nodes: Nodes) -> None:
    tensors = held(r=np.zeros(0, np.float32), s=floats(1, 1, 2, 2))
    with pytest.raises(ModelError, match=r"node 'n' \(Resize\) of opset 11 cannot be written in opset 13"):
        read(model_of(nodes, opset, *tensors), tmp_path)


def test_newer_models_keep_their_opset(tmp_path: Path) -> None:
    made = read(model_of(node("Relu"), 17, listed=False), tmp_path)
    assert opset_of(made) == 17
