"""dropout: same numbers, only where it may, and once."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from mosaic_deploy.graph.passes.activations import DROPOUT
from tests.graph.passes.agreement import agrees, image, leaves, number, ops

MODELS = [
    pytest.param(image("a = Relu(image) b = Dropout(a) y = Abs(b)"), 1, id="inside"),
    pytest.param(image("y = Dropout(image)"), 1, id="at-the-output"),
    pytest.param(image("a = Dropout(image) b = Dropout(a) y = Abs(b)"), 2, id="in-a-row"),
]


@pytest.mark.parametrize(("model", "changes"), MODELS)
def test_before_and_after_agree(model: onnx.ModelProto, changes: int) -> None:
    applied = agrees(DROPOUT, model, changes=changes)
    assert {"Dropout"}.isdisjoint(ops(applied.model))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image("a, m = Dropout(image) n = Cast <to = 1> (m) y = Add(a, n)"), id="mask-is-read"),
        pytest.param(
            image("y = Dropout(image, r, t)", r=number(0.5), t=np.ones((), np.bool_)), id="training"
        ),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(DROPOUT, model)
