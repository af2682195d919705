"""low_rank_transpose: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.transposes import LOW_RANK_TRANSPOSE
from tests.graph.passes.agreement import agrees, image, leaves

MODELS = [
    pytest.param(
        image(
            "a = Reshape(image, k) b = Transpose <perm = [0, 2, 1, 3, 4]> (a) y = Reshape(b, e)",
            shape="1,8,6,8",
            k=[1, 2, 4, 6, 8],
            e=[1, 8, 6, 8],
        ),
        id="channel-shuffle",
    ),
    pytest.param(
        image(
            "a = Reshape(image, k) b = Transpose <perm = [0, 2, 4, 3, 5, 1]> (a) y = Reshape(b, e)",
            shape="1,8,6,8",
            k=[1, 8, 3, 2, 4, 2],
            e=[12, 4, 8],
        ),
        id="windows",
    ),
    pytest.param(
        image("a = Reshape(image, k) y = Transpose <perm = [0, 2, 1, 3, 4]> (a)", k=[1, 2, 2, 6, 8]),
        id="alone",
    ),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    agrees(LOW_RANK_TRANSPOSE, model)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image("y = Transpose <perm = [0, 2, 3, 1]> (image)"), id="four"),
        pytest.param(
            image(
                "a = Reshape(image, k) y = Transpose <perm = [4, 3, 2, 1, 0]> (a)",
                shape="2,4,6,8",
                k=[2, 2, 2, 6, 8],
            ),
            id="no-neighbours",
        ),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(LOW_RANK_TRANSPOSE, model)
