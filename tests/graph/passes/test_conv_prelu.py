"""conv_prelu: same numbers, only where it may, and once."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from mosaic_deploy.graph.passes.conv_prelu import CONV_PRELU
from tests.graph.passes.agreement import agrees, image, leaves, ops, random


def behind(conv: str, slope: object, *, out: int = 5) -> onnx.ModelProto:
    return image(f"c = {conv} y = PRelu (c, s)", w=random(out, 4, 3, 3), b=random(out, seed=1), s=slope)


ABOVE = np.abs(random(5, 1, 1, seed=2))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(behind("Conv (image, w, b)", ABOVE), id="channels"),
        pytest.param(behind("Conv (image, w)", ABOVE.reshape(1, 5, 1, 1)), id="without-bias"),
        pytest.param(
            behind("Conv <strides = [2, 2], pads = [1, 1, 1, 1]> (image, w, b)", ABOVE[:1, 0]), id="one"
        ),
    ],
)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    made = agrees(CONV_PRELU, model).model
    assert sorted(ops(made)) == ["Conv", "Conv", "Relu", "Relu", "Sub"]


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(behind("Conv (image, w, b)", -ABOVE), id="slopes-below-0"),
        pytest.param(behind("Conv (image, w, b)", np.abs(random(4, 6))), id="a-slope-per-pixel"),
        pytest.param(image("y = PRelu (image, s)", s=ABOVE[:4]), id="no-convolution"),
        pytest.param(
            image("c = Conv (image, w) d = PRelu (c, s) y = Add (c, d)", w=random(5, 4, 1, 1), s=ABOVE),
            id="read-by-others",
        ),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(CONV_PRELU, model)
