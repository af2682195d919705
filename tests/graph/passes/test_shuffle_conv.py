"""shuffle_conv: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.channels import SHUFFLE_CONV
from tests.graph.passes.agreement import agrees, image, leaves, ops

FIVE = "[0,2,1,3,4]"
TRIO = "a = Reshape (image, parts) b = Transpose <perm = {perm}> (a) y = Reshape (b, whole)"


def shuffle(parts: list[int], perm: str, *, shape: str = "1,6,4,5") -> onnx.ModelProto:
    whole = [int(side) for side in shape.split(",")]
    return image(TRIO.format(perm=perm), shape=shape, parts=parts, whole=whole)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(shuffle([1, 2, 3, 4, 5], "[0,2,1,3,4]"), id="shufflenet"),
        pytest.param(shuffle([1, 3, 2, 20], "[0,2,1,3]"), id="sides-as-one"),
        pytest.param(shuffle([2, 3, 4, 5], "[1,0,2,3]"), id="one-image-without-its-dimension"),
        pytest.param(shuffle([2, 2, 3, 4, 5], "[0,2,1,3,4]", shape="2,6,4,5"), id="images"),
        pytest.param(shuffle([1, -1, 3, 4, 5], "[0,2,1,3,4]"), id="a-side-left-open"),
    ],
)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    assert ops(agrees(SHUFFLE_CONV, model).model) == ["Conv"]


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(shuffle([1, 2, 3, 4, 5], "[0,1,2,4,3]"), id="rows-and-columns"),
        pytest.param(shuffle([1, 2, 3, 4, 5], "[0,2,1,4,3]"), id="both"),
        pytest.param(shuffle([1, 6, 2, 2, 5], "[0,2,1,3,4]"), id="rows-before-channels"),
        pytest.param(shuffle([3, 2, 2, 4, 5], "[0,2,1,3,4]", shape="2,6,4,5"), id="not-by-image"),
        pytest.param(
            image(TRIO.format(perm=FIVE), shape="1,6,4,5", parts=[1, 2, 3, 4, 5], whole=[1, 3, 8, 5]),
            id="another-image",
        ),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(SHUFFLE_CONV, model)
