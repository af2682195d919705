"""resize_low_rank: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.resize import RESIZE_LOW_RANK
from tests.graph.passes.agreement import agrees, image, leaves

MODELS = [
    pytest.param(
        image(
            'a = Reshape(image, k) y = Resize <mode = "linear"> (a, , , s)',
            k=[1, 2, 2, 6, 8],
            s=[1, 2, 2, 12, 13],
        ),
        id="linear",
    ),
    pytest.param(
        image(
            'a = Reshape(image, k) y = Resize <mode = "nearest", coordinate_transformation_mode '
            '= "asymmetric", nearest_mode = "floor"> (a, , , s)',
            k=[1, 2, 2, 6, 8],
            s=[1, 2, 2, 12, 16],
        ),
        id="nearest",
    ),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    agrees(RESIZE_LOW_RANK, model)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image('y = Resize <mode = "linear"> (image, , , s)', s=[1, 4, 12, 16]), id="four"),
        pytest.param(
            image(
                'a = Reshape(image, k) y = Resize <mode = "nearest"> (a, , , s)',
                k=[1, 2, 2, 6, 8],
                s=[1, 2, 4, 12, 16],
            ),
            id="depth",
        ),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(RESIZE_LOW_RANK, model)
