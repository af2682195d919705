"""Resizes of some axes, written for all."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from mosaic_deploy.graph.normal.normalise import normalise
from tests.graph.normal.same import becomes, stays
from tests.graph.passes.agreement import image


@pytest.mark.parametrize(
    ("axes", "mode"),
    [("[2, 3]", "nearest"), ("[2, 3]", "linear"), ("[2, 3]", "cubic"), ("[3]", "nearest"), ("[3]", "linear")],
)
@pytest.mark.parametrize("by", ["sizes", "scales"])
def test_axes_are_written_out(axes: str, mode: str, by: str) -> None:
    count = axes.count(",") + 1
    asked = [9, 13][:count] if by == "sizes" else np.asarray([1.5, 2.25][:count], np.float32)
    inputs = "image, , , asked" if by == "sizes" else "image, , asked"
    made = becomes(image(f'y = Resize <mode = "{mode}", axes = {axes}> ({inputs})', asked=asked), "Resize")
    assert "axes" not in {a.name for a in made.graph.node[0].attribute}
    places = [place for place, name in enumerate(made.graph.node[0].input) if name]
    assert places == [0, 3 if by == "sizes" else 2]


def test_axes_in_another_order_and_from_the_end() -> None:
    """ONNX Runtime does not run these as they are."""
    form = 'mode = "linear", axes = [-1, 2]'
    made = normalise(image(f"y = Resize <{form}> (image, , asked)", asked=np.asarray([2, 1.5], np.float32)))
    scales = {tensor.name: tensor for tensor in made.graph.initializer}[made.graph.node[0].input[2]]
    assert onnx.numpy_helper.to_array(scales).tolist() == [1, 1, 1.5, 2]


def test_sides_that_follow_from_another_stay() -> None:
    form = 'axes = [2, 3], keep_aspect_ratio_policy = "not_larger"'
    stays(image(f'y = Resize <mode = "linear", {form}> (image, , , asked)', asked=[9, 13]))
