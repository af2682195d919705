"""gather_shuffle: same numbers, only where it may, and once."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from mosaic_deploy.graph.passes.channels import GATHER_SHUFFLE
from tests.graph.passes.agreement import agrees, image, leaves, ops


def shuffled(groups: int, each: int, *, shape: str = "", axis: int = 1) -> onnx.ModelProto:
    order = np.arange(groups * each).reshape(groups, each).T.reshape(-1)
    return image(
        f"y = Gather <axis = {axis}> (image, i)", shape=shape or f"1,{groups * each},6,8", i=order.tolist()
    )


@pytest.mark.parametrize(
    ("model", "rank"),
    [
        pytest.param(shuffled(2, 8), 4, id="two-groups"),
        pytest.param(shuffled(4, 3), 4, id="four-groups"),
        pytest.param(shuffled(2, 58), 4, id="shufflenet"),
        pytest.param(shuffled(3, 4, axis=-3), 4, id="negative-axis"),
        pytest.param(shuffled(3, 4, shape="2,12,6,8"), 5, id="two-images"),
    ],
)
def test_before_and_after_agree(model: onnx.ModelProto, rank: int) -> None:
    applied = agrees(GATHER_SHUFFLE, model)
    assert ops(applied.model) == ["Reshape", "Transpose", "Reshape"]
    turned = applied.model.graph.node[1]
    assert len(turned.attribute[0].ints) == rank


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image("y = Gather <axis = 1> (image, i)", i=[0, 3, 1, 2]), id="another-order"),
        pytest.param(image("y = Gather <axis = 1> (image, i)", i=[0, 1, 2, 3]), id="no-shuffle"),
        pytest.param(image("y = Gather <axis = 1> (image, i)", i=[0, 2]), id="some"),
        pytest.param(image("y = Gather <axis = 1> (image, i)", i=[0, 2, 1, 3, 0, 2]), id="twice"),
        pytest.param(shuffled(2, 3, shape="1,3,6,8", axis=2), id="rows"),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(GATHER_SHUFFLE, model)
