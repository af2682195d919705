"""cancelled_transposes: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.layout import CANCELLED_TRANSPOSES
from tests.graph.passes.agreement import agrees, image, leaves

MODELS = [
    pytest.param(
        image(
            "a = Transpose <perm = [0, 2, 3, 1]> (image) b = Transpose <perm = [0, 3, 1, 2]> (a) y = Abs(b)"
        ),
        id="undone",
    ),
    pytest.param(
        image("a = Transpose <perm = [0, 2, 3, 1]> (image) y = Transpose <perm = [0, 2, 1, 3]> (a)"),
        id="merged",
    ),
    pytest.param(image("a = Transpose(image) y = Transpose(a)"), id="default"),
    pytest.param(
        image("a = Transpose(image) c = Transpose(a) b = Abs(a) d = Transpose(b) y = Add(c, d)"),
        id="first-is-read",
    ),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    agrees(CANCELLED_TRANSPOSES, model)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image("y = Transpose(image)"), id="one"),
        pytest.param(image("a = Transpose(image) b = Abs(a) y = Transpose(b)"), id="between"),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(CANCELLED_TRANSPOSES, model)
