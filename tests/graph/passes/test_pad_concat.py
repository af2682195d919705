"""pad_concat: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.pads import PAD_CONCAT
from tests.graph.passes.agreement import agrees, image, leaves, number, ops

MODELS = [
    pytest.param(image("y = Pad(image, p)", p=[0, 0, 1, 2, 0, 0, 3, 1]), id="zeros"),
    pytest.param(image("y = Pad(image, p, v)", p=[0, 0, 0, 0, 0, 0, 3, 1], v=number(2.5)), id="value"),
    pytest.param(image("y = Pad(image, p)", p=[0, 2, 0, 0, 0, 1, 0, 0]), id="channels"),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    applied = agrees(PAD_CONCAT, model)
    assert {"Pad"}.isdisjoint(ops(applied.model))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image('y = Pad <mode = "edge"> (image, p)', p=[0, 0, 1, 1, 0, 0, 1, 1]), id="edge"),
        pytest.param(image("y = Pad(image, p)", p=[0, 0, 0, 0, 0, 0, 0, 0]), id="nothing"),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(PAD_CONCAT, model)
