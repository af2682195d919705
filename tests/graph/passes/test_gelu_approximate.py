"""gelu_approximate: same numbers, only where it may, and once."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from mosaic_deploy.graph.passes.gelu import GELU_APPROXIMATE
from tests.graph.passes.agreement import agrees, image, leaves, number, ops

MODELS = [
    pytest.param(image("y = Gelu(image)", opset=20), id="op"),
    pytest.param(
        image(
            "d = Div(image, r) e = Erf(d) a = Add(e, one) m = Mul(image, a) y = Mul(m, half)",
            r=number(2**0.5),
            one=np.ones((), np.float32),
            half=number(0.5),
        ),
        id="spelled-out",
    ),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    applied = agrees(GELU_APPROXIMATE, model)
    assert {"Gelu", "Erf"}.isdisjoint(ops(applied.model))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image('y = Gelu <approximate = "tanh"> (image)', opset=20), id="tanh"),
        pytest.param(image("y = Mul(image, image)"), id="product"),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(GELU_APPROXIMATE, model)
