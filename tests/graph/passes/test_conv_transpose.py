"""conv_transpose: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.convolutions import CONV_TRANSPOSE
from tests.graph.passes.agreement import agrees, image, leaves, ops, random

MODELS = [
    pytest.param(
        image("y = ConvTranspose <strides = [2, 2]> (image, w, b)", w=random(4, 3, 2, 2), b=random(3)),
        id="k2-s2",
    ),
    pytest.param(
        image(
            "y = ConvTranspose <strides = [2, 2], pads = [1, 1, 1, 1]> (image, w, b)",
            w=random(4, 3, 4, 4),
            b=random(3),
        ),
        id="k4-s2-p1",
    ),
    pytest.param(
        image(
            "y = ConvTranspose <strides = [2, 2], pads = [1, 1, 1, 1], output_padding = [1, 1]> "
            "(image, w, b)",
            w=random(4, 3, 3, 3),
            b=random(3),
        ),
        id="k3-s2-p1-o1",
    ),
    pytest.param(
        image("y = ConvTranspose <strides = [2, 2]> (image, w, b)", w=random(4, 3, 3, 3), b=random(3)),
        id="k3-s2",
    ),
    pytest.param(
        image("y = ConvTranspose <pads = [1, 1, 1, 1]> (image, w, b)", w=random(4, 3, 3, 3), b=random(3)),
        id="k3-s1",
    ),
    pytest.param(
        image(
            "y = ConvTranspose <strides = [3, 3], pads = [1, 0, 0, 1]> (image, w, b)",
            w=random(4, 3, 5, 3),
            b=random(3),
        ),
        id="k5x3-s3",
    ),
    pytest.param(
        image(
            "y = ConvTranspose <strides = [2, 2], pads = [1, 1, 1, 1], group = 2> (image, w, b)",
            w=random(4, 3, 4, 4),
            b=random(6),
        ),
        id="groups",
    ),
    pytest.param(
        image(
            "y = ConvTranspose <strides = [8, 8], pads = [4, 4, 4, 4]> (image, w, b)",
            w=random(4, 2, 16, 16),
            b=random(2),
        ),
        id="k16-s8-p4",
    ),
    pytest.param(
        image("y = ConvTranspose <strides = [2, 2]> (image, w)", w=random(4, 3, 2, 2)), id="no-bias"
    ),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    applied = agrees(CONV_TRANSPOSE, model)
    assert {"ConvTranspose"}.isdisjoint(ops(applied.model))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(
            image("y = ConvTranspose <strides = [2, 1]> (image, w)", w=random(4, 3, 2, 2)),
            id="uneven-strides",
        ),
        pytest.param(
            image("y = ConvTranspose <dilations = [2, 2]> (image, w)", w=random(4, 3, 3, 3)), id="dilated"
        ),
        pytest.param(
            image("v = Abs(w) y = ConvTranspose <strides = [2, 2]> (image, v)", w=random(4, 3, 2, 2)),
            id="computed-weights",
        ),
        pytest.param(
            image(
                "y = ConvTranspose <strides = [2, 2], output_shape = [12, 16]> (image, w)",
                w=random(4, 3, 3, 3),
            ),
            id="output-shape",
        ),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(CONV_TRANSPOSE, model)
