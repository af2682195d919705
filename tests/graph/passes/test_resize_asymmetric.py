"""resize_asymmetric: same numbers, only where it may, and once."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from mosaic_deploy.graph.passes.resize import RESIZE_ASYMMETRIC
from tests.graph.passes.agreement import agrees, image, leaves

MODELS = [
    pytest.param(
        image(
            'y = Resize <mode = "nearest", coordinate_transformation_mode = "half_pixel", '
            'nearest_mode = "round_prefer_floor"> (image, , , s)',
            s=[1, 4, 12, 24],
        ),
        id="half-pixel",
    ),
    pytest.param(
        image(
            'y = Resize <mode = "nearest", coordinate_transformation_mode = '
            '"pytorch_half_pixel", nearest_mode = "round_prefer_ceil"> (image, , , s)',
            s=[1, 4, 12, 24],
        ),
        id="pytorch",
    ),
    pytest.param(
        image('y = Resize <mode = "nearest"> (image, , s)', s=np.array([1, 1, 2, 3], np.float32)), id="scales"
    ),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    agrees(RESIZE_ASYMMETRIC, model)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(
            image(
                'y = Resize <mode = "nearest", coordinate_transformation_mode = "asymmetric", '
                'nearest_mode = "floor"> (image, , , s)',
                s=[1, 4, 12, 16],
            ),
            id="plain",
        ),
        pytest.param(
            image(
                'y = Resize <mode = "nearest", coordinate_transformation_mode = "half_pixel", '
                'nearest_mode = "ceil"> (image, , , s)',
                s=[1, 4, 12, 16],
            ),
            id="others",
        ),
        pytest.param(
            image(
                'y = Resize <mode = "nearest", coordinate_transformation_mode = "align_corners", '
                'nearest_mode = "round_prefer_floor"> (image, , , s)',
                s=[1, 4, 7, 11],
            ),
            id="uneven",
        ),
        pytest.param(image('y = Resize <mode = "linear"> (image, , , s)', s=[1, 4, 12, 16]), id="linear"),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(RESIZE_ASYMMETRIC, model)
