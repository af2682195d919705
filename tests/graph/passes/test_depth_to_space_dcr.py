"""depth_to_space_dcr: same numbers, only where it may, and once."""

from __future__ import annotations

from typing import Any

import onnx
import pytest

from mosaic_deploy.graph.passes.layout import DEPTH_TO_SPACE_DCR
from tests.graph.passes.agreement import agrees, image, leaves, ops, random

SHUFFLE = 'DepthToSpace <blocksize = 2, mode = "CRD">'
WEIGHTS: dict[str, Any] = {"w": random(12, 4, 3, 3), "b": random(12), "grouped": random(12, 2, 3, 3)}
MODELS = [
    pytest.param(f"a = Conv <pads = [1, 1, 1, 1]> (image, w, b) y = {SHUFFLE} (a)", 1, id="convolution"),
    pytest.param(f"a = Conv (image, w) y = {SHUFFLE} (a)", 1, id="without a bias"),
    pytest.param(f"a = Conv <group = 2> (image, grouped) y = {SHUFFLE} (a)", 2, id="in groups"),
    pytest.param(
        f"a = Conv (image, w) c = {SHUFFLE} (a) d = ReduceMax (a) y = Add (c, d)", 2, id="read twice"
    ),
    pytest.param(f"a = Relu (image) y = {SHUFFLE} (a)", 1, id="no convolution"),
]


@pytest.mark.parametrize(("body", "convolutions"), MODELS)
def test_before_and_after_agree(body: str, convolutions: int) -> None:
    made = agrees(DEPTH_TO_SPACE_DCR, image(body, **WEIGHTS)).model
    assert ops(made).count("Conv") == convolutions
    (shuffle,) = [node for node in made.graph.node if node.op_type == "DepthToSpace"]
    assert {a.name: onnx.helper.get_attribute_value(a) for a in shuffle.attribute}["mode"] == b"DCR"


def test_what_has_that_order_stays() -> None:
    leaves(DEPTH_TO_SPACE_DCR, image("y = DepthToSpace <blocksize = 2> (image)"))
