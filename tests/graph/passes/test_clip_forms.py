"""clip_forms: same numbers, only where it may, and once."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from mosaic_deploy.graph.passes.clips import CLIP_FORMS
from tests.graph.passes.agreement import agrees, image, leaves, number, ops, random

MODELS = [
    pytest.param(image("a = Max(image, l) y = Min(a, h)", l=number(-0.5), h=number(0.7)), id="min-max"),
    pytest.param(image("a = Min(h, image) y = Max(a, l)", l=number(-0.5), h=number(0.7)), id="max-min"),
    pytest.param(image("y = Max(image, z)", z=np.zeros((), np.float32)), id="relu"),
    pytest.param(image("y = Max(image, l)", l=number(-0.5)), id="low"),
    pytest.param(image("y = Min(image, l)", l=number(0.5)), id="high"),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    applied = agrees(CLIP_FORMS, model)
    assert {"Max", "Min"}.isdisjoint(ops(applied.model))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image("a = Abs(image) y = Max(image, a)"), id="two-tensors"),
        pytest.param(image("y = Max(image, s)", s=random(4, 1, 1)), id="per-channel"),
        pytest.param(image("y = Max(image, s, s)", s=random(1)), id="three"),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(CLIP_FORMS, model)
