"""pad_border: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.pads import PAD_BORDER
from tests.graph.passes.agreement import agrees, image, leaves, ops

MODELS = [
    pytest.param(image('y = Pad <mode = "edge"> (image, p)', p=[0, 0, 1, 2, 0, 0, 3, 1]), id="edge"),
    pytest.param(image('y = Pad <mode = "reflect"> (image, p)', p=[0, 0, 2, 3, 0, 0, 1, 2]), id="reflect"),
    pytest.param(image('y = Pad <mode = "edge"> (image, p)', p=[0, 0, 0, 0, 0, 0, 0, 2]), id="one-axis"),
    pytest.param(image('y = Pad <mode = "edge"> (image, p, , a)', p=[1, 2, 0, 1], a=[2, -1]), id="axes"),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    applied = agrees(PAD_BORDER, model)
    assert {"Pad"}.isdisjoint(ops(applied.model))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image("y = Pad(image, p)", p=[0, 0, 1, 1, 0, 0, 1, 1]), id="constant"),
        pytest.param(image('y = Pad <mode = "edge"> (image, p)', p=[0, 0, -1, 1, 0, 0, 1, 1]), id="negative"),
        pytest.param(
            image(
                "c = Cast <to = 7> (image) r = ReduceMax <keepdims = 0> (c) o = Reshape(r, one) q = "
                'Concat <axis = 0> (z, o) y = Pad <mode = "edge"> (image, q)',
                one=[1],
                z=[0, 0, 1, 1, 0, 0, 1],
            ),
            id="computed",
        ),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(PAD_BORDER, model)
