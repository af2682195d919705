"""pad_merged: same numbers, only where it may, and once."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from mosaic_deploy.graph.passes.pads import PAD_MERGED
from tests.graph.passes.agreement import agrees, image, leaves, ops, random

MODELS = [
    pytest.param(
        image(
            "a = Pad(image, p) y = Conv <strides = [2, 2]> (a, w)",
            p=[0, 0, 0, 0, 0, 0, 1, 1],
            w=random(4, 4, 3, 3),
        ),
        id="plain",
    ),
    pytest.param(
        image(
            "a = Pad(image, p) y = Conv <pads = [1, 1, 1, 1], kernel_shape = [3, 3]> (a, w)",
            p=[0, 0, 2, 1, 0, 0, 1, 1],
            w=random(4, 4, 3, 3),
        ),
        id="more",
    ),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    applied = agrees(PAD_MERGED, model)
    assert {"Pad"}.isdisjoint(ops(applied.model))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(
            image(
                "a = Pad(image, p, v) y = Conv(a, w)",
                p=[0, 0, 0, 0, 0, 0, 1, 1],
                v=np.ones((), np.float32),
                w=random(4, 4, 3, 3),
            ),
            id="value",
        ),
        pytest.param(
            image("a = Pad(image, p) y = Conv(a, w)", p=[0, 1, 0, 0, 0, 0, 1, 1], w=random(4, 5, 3, 3)),
            id="channels",
        ),
        pytest.param(
            image(
                'a = Pad <mode = "edge"> (image, p) y = Conv(a, w)',
                p=[0, 0, 0, 0, 0, 0, 1, 1],
                w=random(4, 4, 3, 3),
            ),
            id="edge",
        ),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(PAD_MERGED, model)
