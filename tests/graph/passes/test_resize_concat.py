"""resize_concat: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.resize import RESIZE_CONCAT
from tests.graph.passes.agreement import agrees, image, leaves, ops

MODELS = [
    pytest.param(
        image(
            'y = Resize <mode = "nearest", coordinate_transformation_mode = "asymmetric", '
            'nearest_mode = "floor"> (image, , , s)',
            s=[1, 4, 12, 16],
        ),
        id="twice",
    ),
    pytest.param(
        image(
            'y = Resize <mode = "nearest", coordinate_transformation_mode = "half_pixel", '
            'nearest_mode = "round_prefer_floor"> (image, , , s)',
            s=[1, 4, 18, 24],
        ),
        id="thrice",
    ),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    applied = agrees(RESIZE_CONCAT, model)
    assert {"Resize"}.isdisjoint(ops(applied.model))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(
            image(
                'y = Resize <mode = "nearest", coordinate_transformation_mode = "asymmetric", '
                'nearest_mode = "floor"> (image, , , s)',
                s=[1, 4, 12, 24],
            ),
            id="uneven",
        ),
        pytest.param(
            image(
                'y = Resize <mode = "nearest", coordinate_transformation_mode = "asymmetric", '
                'nearest_mode = "floor"> (image, , , s)',
                s=[1, 4, 48, 64],
            ),
            id="eight",
        ),
        pytest.param(
            image(
                'y = Resize <mode = "nearest", coordinate_transformation_mode = "half_pixel", '
                'nearest_mode = "ceil"> (image, , , s)',
                s=[1, 4, 12, 16],
            ),
            id="others",
        ),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(RESIZE_CONCAT, model)
