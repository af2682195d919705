"""pixel_shuffle: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.layout import PIXEL_SHUFFLE
from tests.graph.passes.agreement import agrees, image, leaves, ops

MODELS = [
    pytest.param(
        image(
            "a = Reshape(image, k) b = Transpose <perm = [0, 1, 4, 2, 5, 3]> (a) y = Reshape(b, e)",
            shape="1,8,6,8",
            k=[1, 2, 2, 2, 6, 8],
            e=[1, 2, 12, 16],
        ),
        id="torch",
    ),
    pytest.param(
        image(
            "a = Reshape(image, k) b = Transpose <perm = [0, 3, 4, 1, 5, 2]> (a) y = Reshape(b, e)",
            shape="1,8,6,8",
            k=[1, 2, 2, 2, 6, 8],
            e=[1, 2, 12, 16],
        ),
        id="depth-first",
    ),
    pytest.param(
        image(
            "a = Reshape(image, k) b = Transpose <perm = [0, 3, 5, 1, 2, 4]> (a) y = Reshape(b, e)",
            shape="1,8,6,8",
            k=[1, 8, 3, 2, 4, 2],
            e=[1, 32, 3, 4],
        ),
        id="space-to-depth",
    ),
    pytest.param(
        image(
            "a = Reshape(image, k) b = Transpose <perm = [0, 1, 3, 5, 2, 4]> (a) y = Reshape(b, e)",
            shape="1,8,6,8",
            k=[1, 8, 3, 2, 4, 2],
            e=[1, 32, 3, 4],
        ),
        id="unshuffle",
    ),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    applied = agrees(PIXEL_SHUFFLE, model)
    assert {"Transpose"}.isdisjoint(ops(applied.model))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(
            image(
                "a = Reshape(image, k) b = Transpose <perm = [0, 1, 4, 3, 5, 2]> (a) y = Reshape(b, e)",
                shape="1,8,6,8",
                k=[1, 2, 2, 2, 6, 8],
                e=[1, 2, 12, 16],
            ),
            id="other-order",
        ),
        pytest.param(
            image(
                "a = Reshape(image, k) b = Transpose <perm = [0, 1, 4, 2, 5, 3]> (a) y = Reshape(b, e)",
                shape="1,8,6,8",
                k=[1, 2, 2, 2, 6, 8],
                e=[1, 2, 16, 12],
            ),
            id="other-shape",
        ),
        pytest.param(
            image(
                "a = Reshape(image, k) b = Transpose <perm = [0, 1, 4, 2, 5, 3]> (a) y = Reshape(b, e)",
                shape="1,8,6,8",
                k=[1, 2, 4, 1, 6, 8],
                e=[1, 2, 24, 8],
            ),
            id="uneven-blocks",
        ),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(PIXEL_SHUFFLE, model)
