"""clip_relu6: same numbers, only where it may, and once."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from mosaic_deploy.graph.passes.clips import CLIP_RELU6
from tests.graph.passes.agreement import agrees, image, leaves, number, ops

KERNEL = np.random.default_rng(0).normal(size=(3, 4, 1, 1)).astype(np.float32)
BIAS = np.array([0.1, 0.2, -0.3], np.float32)
MODELS = [
    pytest.param(image("y = Clip(image, z, h)", h=number(1), z=number(0)), ["Mul", "Clip", "Mul"], id="one"),
    pytest.param(
        image("y = Clip(image, z, h)", h=number(0.3), z=number(0)), ["Mul", "Clip", "Mul"], id="odd"
    ),
    pytest.param(
        image(
            "a = Mul(image, s) b = Add(t, a) y = Clip(b, z, h)",
            h=number(1),
            s=number(0.2),
            t=number(0.5),
            z=number(0),
        ),
        ["Mul", "Add", "Clip", "Mul"],
        id="PaddlePaddle's gate",
    ),
    pytest.param(
        image("b = Add(image, t) y = Clip(b, z, h)", h=number(1), t=number(0.5), z=number(0)),
        ["Mul", "Add", "Clip", "Mul"],
        id="shifted",
    ),
    pytest.param(
        image("b = Add(image, t) c = Clip(b, z, h) y = Sub(b, c)", h=number(1), t=number(0.5), z=number(0)),
        ["Add", "Mul", "Clip", "Mul", "Sub"],
        id="the sum is read elsewhere",
    ),
    pytest.param(
        image("c = Conv(image, w, t) y = Clip(c, z, h)", h=number(1), t=BIAS, w=KERNEL, z=number(0)),
        ["Conv", "Clip", "Mul"],
        id="GhostNet's gate",
    ),
]


@pytest.mark.parametrize(("model", "expected"), MODELS)
def test_before_and_after_agree(model: onnx.ModelProto, expected: list[str]) -> None:
    applied = agrees(CLIP_RELU6, model)
    assert ops(applied.model) == expected


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image("y = Clip(image, z, h)", h=number(6), z=number(0)), id="a ReLU6"),
        pytest.param(image("y = Clip(image, z)", z=number(0)), id="a ReLU"),
        pytest.param(image("y = Clip(image, z, h)", h=number(np.inf), z=number(0)), id="infinite"),
        pytest.param(image("y = Clip(image, l, h)", l=number(-1), h=number(1)), id="from below 0"),
        pytest.param(
            image("h = ReduceMax <keepdims = 0> (image) y = Clip(image, z, h)", z=number(0)), id="computed"
        ),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(CLIP_RELU6, model)
