"""gather_slices: same numbers, only where it may, and once."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from mosaic_deploy.graph.passes.slicing import GATHER_SLICES
from tests.graph.passes.agreement import agrees, image, leaves, ops

MODELS = [
    pytest.param(image("y = Gather <axis = 1> (image, i)", i=np.array(2)), id="one"),
    pytest.param(image("y = Gather <axis = -1> (image, i)", i=np.array(-1)), id="negative"),
    pytest.param(image("y = Gather <axis = 1> (image, i)", i=[1, 2, 3]), id="run"),
    pytest.param(image("y = Gather <axis = 1> (image, i)", i=[3, 0, 1]), id="shuffled"),
    pytest.param(image("y = Gather <axis = 3> (image, i)", i=np.array([[0, 1], [5, 2]])), id="matrix"),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    applied = agrees(GATHER_SLICES, model)
    assert {"Gather"}.isdisjoint(ops(applied.model))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(
            image(
                "f = Floor(z) i = Cast <to = 7> (f) a = ArgMax <axis = 3, keepdims = 0> (image) b = "
                "Reshape(a, k) c = Slice(b, q, w) d = Clip(c, l, h) y = Gather <axis = 1> (image, d)",
                z=np.zeros(1, np.float32),
                k=[24],
                q=[0],
                w=[2],
                l=np.array(0),
                h=np.array(3),
            ),
            id="computed",
        ),
        pytest.param(
            image("y = Gather <axis = 2> (image, i)", shape="1,4,40,8", i=np.arange(0, 40, 2)), id="many"
        ),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(GATHER_SLICES, model)
