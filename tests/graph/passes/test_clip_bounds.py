"""clip_bounds: same numbers, only where it may, and once."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from mosaic_deploy.graph.passes.clips import CLIP_BOUNDS
from tests.graph.passes.agreement import agrees, image, leaves, number, ops

MODELS = [
    pytest.param(image("y = Clip(image, z)", z=np.zeros((), np.float32)), id="relu"),
    pytest.param(image("y = Clip(image, l, h)", l=number(-0.5), h=number(0.7)), id="both"),
    pytest.param(image("y = Clip(image, , h)", h=number(0.7)), id="high"),
    pytest.param(image("a = Clip(image) y = Abs(a)"), id="neither"),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    applied = agrees(CLIP_BOUNDS, model)
    assert {"Clip"}.isdisjoint(ops(applied.model))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image("h = ReduceMax <keepdims = 0> (image) y = Clip(image, , h)"), id="computed"),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(CLIP_BOUNDS, model)
