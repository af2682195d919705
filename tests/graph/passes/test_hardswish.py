"""hardswish: same numbers, only where it may, and once."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from mosaic_deploy.graph.passes.activations import HARDSWISH
from tests.graph.passes.agreement import agrees, image, leaves, number, ops

MODELS = [
    pytest.param(image("y = HardSwish(image)"), id="alone"),
    pytest.param(image("a = HardSwish(image) b = Mul(a, image) y = Relu(b)"), id="quantile-later"),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    applied = agrees(HARDSWISH, model)
    assert {"HardSwish"}.isdisjoint(ops(applied.model))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image("y = acme.HardSwish(image)", out="float[1,4,6,8] y"), id="other-domain"),
        pytest.param(
            image(
                "q = QuantizeLinear(image, s, z) a = DequantizeLinear(q, s, z) h = HardSwish(a) r = "
                "QuantizeLinear(h, s, z) y = DequantizeLinear(r, s, z)",
                s=number(0.5),
                z=np.zeros((), np.uint8),
            ),
            id="quantised",
        ),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(HARDSWISH, model)
