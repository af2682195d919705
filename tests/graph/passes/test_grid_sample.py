"""grid_sample: same numbers, only where it may, and once."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from mosaic_deploy.graph.passes.grid_sample import GRID_SAMPLE
from tests.graph.passes.agreement import agrees, image, leaves, ops, random

_ROWS, _COLUMNS = np.meshgrid(np.linspace(-1, 1, 12), np.linspace(-1, 1, 10), indexing="ij")
STRAIGHT = np.stack([_COLUMNS, _ROWS], axis=-1)[None].astype(np.float32)
GRID = STRAIGHT * 1.1 + random(1, 12, 10, 2) * 0.1

MODELS = [
    pytest.param(
        image(
            'y = GridSample <mode = "linear", padding_mode = "zeros", align_corners = 0> (image, g)',
            opset=20,
            g=GRID,
        ),
        id="plain",
    ),
    pytest.param(
        image(
            'y = GridSample <mode = "linear", padding_mode = "zeros", align_corners = 1> (image, g)',
            opset=20,
            g=GRID,
        ),
        id="corners",
    ),
    pytest.param(
        image(
            'y = GridSample <mode = "linear", padding_mode = "border", align_corners = 0> (image, g)',
            opset=20,
            g=GRID,
        ),
        id="border",
    ),
    pytest.param(
        image(
            'y = GridSample <mode = "nearest", padding_mode = "zeros", align_corners = 1> (image, g)',
            opset=20,
            g=GRID,
        ),
        id="nearest",
    ),
    pytest.param(
        image(
            'y = GridSample <mode = "linear", padding_mode = "border", align_corners = 1> (image, g)',
            opset=20,
            g=STRAIGHT,
        ),
        id="resize",
    ),
    pytest.param(
        image(
            'y = GridSample <mode = "linear", padding_mode = "zeros", align_corners = 0> (image, g)',
            opset=20,
            g=STRAIGHT * 1.3,
        ),
        id="straight-zeros",
    ),
    pytest.param(image("y = GridSample(image, g)", opset=16, g=GRID), id="opset-16"),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    applied = agrees(GRID_SAMPLE, model)
    assert {"GridSample"}.isdisjoint(ops(applied.model))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(
            image(
                'y = GridSample <mode = "cubic", padding_mode = "zeros", align_corners = 0> (image, g)',
                opset=20,
                g=GRID,
            ),
            id="cubic",
        ),
        pytest.param(
            image(
                'y = GridSample <mode = "linear", padding_mode = "reflection", align_corners = 0> (image, g)',
                opset=20,
                g=GRID,
            ),
            id="reflection",
        ),
        pytest.param(
            image("t = Tanh(image) g = Reshape(t, k) y = GridSample(image, g)", opset=20, k=[1, 12, 8, 2]),
            id="computed",
        ),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(GRID_SAMPLE, model)
