"""resize_half_pixel: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.resize import RESIZE_HALF_PIXEL
from tests.graph.passes.agreement import agrees, image, leaves

MODELS = [
    pytest.param(
        image(
            'y = Resize <mode = "linear", coordinate_transformation_mode = '
            '"half_pixel_symmetric"> (image, , , s)',
            opset=19,
            s=[1, 4, 12, 16],
        ),
        id="symmetric",
    ),
    pytest.param(
        image(
            'y = Resize <mode = "cubic", coordinate_transformation_mode = "pytorch_half_pixel"> '
            "(image, , , s)",
            s=[1, 4, 9, 16],
        ),
        id="pytorch",
    ),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    agrees(RESIZE_HALF_PIXEL, model)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image('y = Resize <mode = "linear"> (image, , , s)', s=[1, 4, 12, 16]), id="itself"),
        pytest.param(
            image(
                'y = Resize <mode = "linear", coordinate_transformation_mode = "align_corners"> '
                "(image, , , s)",
                s=[1, 4, 12, 16],
            ),
            id="corners",
        ),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(RESIZE_HALF_PIXEL, model)
