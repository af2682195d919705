"""Opsets raised to one form of each operator."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from tests.graph.normal.same import becomes, normal, stays
from tests.graph.passes.agreement import image, random


def opset(model: onnx.ModelProto) -> int:
    return int(next(entry.version for entry in model.opset_import if not entry.domain))


@pytest.mark.parametrize("before", [13, 15, 17])
@pytest.mark.parametrize("op", ["ReduceMean", "ReduceMax", "ReduceL2"])
def test_axes_become_an_input(op: str, before: int) -> None:
    made = becomes(image(f"y = {op} <axes = [2, 3], keepdims = 0> (image)", opset=before), op)
    assert opset(made) == 18
    assert len(made.graph.node[0].input) == 2
    assert all(attribute.name != "axes" for attribute in made.graph.node[0].attribute)


def test_a_split_states_its_parts() -> None:
    made = normal(image("a, b = Split <axis = 1> (image) y = Add (a, b)", opset=17))
    assert {a.name: a.i for a in made.graph.node[0].attribute} == {"axis": 1, "num_outputs": 2}


@pytest.mark.parametrize(
    "body",
    [
        'y = Resize <mode = "linear"> (image, , , sizes)',
        "y = Pad (image, pads)",
        "a = HardSwish (image) y = Softmax <axis = 1> (a)",
        "s = Shape (image) y = Reshape (image, s)",
        "y = PRelu (image, slope)",
    ],
)
@pytest.mark.parametrize("before", [14, 17])
def test_what_means_the_same_is_raised_as_it_is(body: str, before: int) -> None:
    more: dict[str, Any] = {
        "sizes": [1, 4, 12, 16],
        "pads": [0, 0, 1, 1, 0, 0, 1, 1],
        "slope": random(4, 1, 1),
    }
    assert opset(normal(image(body, opset=before, **more))) == 18


@pytest.mark.parametrize("before", [11, 12, 18, 20])
def test_other_opsets_stay(before: int) -> None:
    stays(image("y = Relu (image)", opset=before))


def test_an_operator_whose_default_changed_says_what_it_did_before() -> None:
    body = "y = RoiAlign <output_height = 2, output_width = 2> (image, rois, batch)"
    model = image(
        body, opset=13, rois=np.asarray([[0, 0, 4, 4]], np.float32), batch=[0], out="float[] y",
    )  # fmt: skip
    made = normal(model)
    assert opset(made) == 18
    assert made.graph.node[0].attribute[-1].s == b"output_half_pixel"
