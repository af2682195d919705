"""gather_conv: same numbers, only where it may, and once."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from mosaic_deploy.graph.passes.channels import GATHER_CONV
from tests.graph.passes.agreement import agrees, image, leaves, ops


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image("y = Gather <axis = 1> (image, i)", i=[2, 0, 3, 1]), id="permutation"),
        pytest.param(image("y = Gather <axis = 1> (image, i)", i=[2, -1]), id="some"),
        pytest.param(image("y = Gather <axis = -3> (image, i)", i=[1, 1, 0, 3, 2]), id="one-twice"),
        pytest.param(image("y = Gather <axis = 1> (image, i)", shape="2,4,3,5", i=[3, 2, 1, 0]), id="images"),
    ],
)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    assert ops(agrees(GATHER_CONV, model).model) == ["Conv"]


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image("y = Gather <axis = 2> (image, i)", i=[2, 0, 3, 1]), id="rows"),
        pytest.param(image("y = Gather <axis = 1> (image, i)", i=np.array(2)), id="without-the-axis"),
        pytest.param(
            image("c = Cast <to = 6> (image) g = Gather <axis = 1> (c, i) y = Cast <to = 1> (g)", i=[1, 0]),
            id="integers",
        ),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(GATHER_CONV, model)
