"""resize_matmul: same numbers, only where it may, and once."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from mosaic_deploy.graph.passes.resize import RESIZE_MATMUL
from tests.graph.passes.agreement import agrees, image, leaves, ops

MODELS = [
    pytest.param(
        image(
            'y = Resize <mode = "linear", coordinate_transformation_mode = "half_pixel"> (image, , , s)',
            s=[1, 4, 11, 5],
        ),
        id="linear-half-pixel",
    ),
    pytest.param(
        image(
            'y = Resize <mode = "linear", coordinate_transformation_mode = "align_corners"> (image, , , s)',
            s=[1, 4, 13, 17],
        ),
        id="linear-align-corners",
    ),
    pytest.param(
        image(
            'y = Resize <mode = "linear", coordinate_transformation_mode = "asymmetric"> (image, , , s)',
            s=[1, 4, 12, 17],
        ),
        id="linear-asymmetric",
    ),
    pytest.param(
        image(
            'y = Resize <antialias = 1, mode = "linear", coordinate_transformation_mode = '
            '"half_pixel"> (image, , , s)',
            s=[1, 4, 3, 5],
        ),
        id="linear-half-pixel-antialias",
    ),
    pytest.param(
        image(
            'y = Resize <mode = "cubic", coordinate_transformation_mode = "half_pixel"> (image, , , s)',
            s=[1, 4, 13, 17],
        ),
        id="cubic-half-pixel",
    ),
    pytest.param(
        image(
            'y = Resize <exclude_outside = 1, mode = "cubic", coordinate_transformation_mode = '
            '"half_pixel"> (image, , , s)',
            s=[1, 4, 13, 17],
        ),
        id="cubic-half-pixel-exclude-outside",
    ),
    pytest.param(
        image(
            'y = Resize <cubic_coeff_a = -0.5, mode = "cubic", coordinate_transformation_mode = '
            '"align_corners"> (image, , , s)',
            s=[1, 4, 13, 4],
        ),
        id="cubic-align-corners-cubic-coeff-a",
    ),
    pytest.param(
        image(
            'y = Resize <nearest_mode = "ceil", mode = "nearest", coordinate_transformation_mode '
            '= "half_pixel"> (image, , , s)',
            s=[1, 4, 13, 17],
        ),
        id="nearest-half-pixel-nearest-mode",
    ),
    pytest.param(
        image(
            'y = Resize <nearest_mode = "floor", mode = "nearest", '
            'coordinate_transformation_mode = "align_corners"> (image, , , s)',
            s=[1, 4, 13, 4],
        ),
        id="nearest-align-corners-nearest-mode",
    ),
    pytest.param(image('y = Resize <mode = "linear"> (image, , , s)', s=[1, 4, 12, 8]), id="height-alone"),
    pytest.param(
        image('y = Resize <mode = "linear"> (image, , s)', s=np.array([1, 1, 1.7, 2.3], np.float32)),
        id="scales",
    ),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    applied = agrees(RESIZE_MATMUL, model)
    assert {"Resize"}.isdisjoint(ops(applied.model))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image('y = Resize <mode = "nearest"> (image, , , s)', s=[1, 8, 12, 16]), id="channels"),
        pytest.param(
            image(
                'y = Resize <mode = "linear", coordinate_transformation_mode = "tf_crop_and_resize"> '
                "(image, r, , s)",
                r=np.array([0, 0, 0, 0, 1, 1, 0.5, 0.5], np.float32),
                s=[1, 4, 12, 16],
            ),
            id="crop",
        ),
        pytest.param(
            image(
                "t = Cast <to = 7> (image) u = ReduceMax <keepdims = 0> (t) v = Reshape(u, one) w = "
                'Concat <axis = 0> (a, v, v) y = Resize <mode = "linear"> (image, , , w)',
                one=[1],
                a=[1, 4],
            ),
            id="computed-size",
        ),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(RESIZE_MATMUL, model)
