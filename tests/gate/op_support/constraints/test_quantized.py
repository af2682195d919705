"""Constraints on scales of quantised tensors, and on opsets."""

from __future__ import annotations

import pytest

from mosaic_deploy.graph.facts import Node
from tests.gate.op_support.constraints.judging import breach, doubt, holds, node


def relu(opset: int) -> Node:
    return node("g (float[1,2,3,3] x) => (float[1,2,3,3] y) { y = Relu(x) }", op="Relu", opset=opset)


def pool(kernel: int, *, side: int, scale: str) -> Node:
    """A pool between a scale of 0.5 and one that is stored, or computed if it is called ``t``."""
    computed, stored = (", float t", "") if scale == "t" else ("", f", float t = {{{scale}}}")
    return node(
        f"""g (uint8[1,2,{side},{side}] x{computed}) => (uint8[1,2,h,w] y)
        <float s = {{0.5}}, uint8 z = {{128}}{stored}> {{
            a = DequantizeLinear(x, s, z)
            b = AveragePool <kernel_shape = [{kernel}, {kernel}], strides = [{kernel}, {kernel}]> (a)
            y = QuantizeLinear(b, t, z) }}""",
        op="AveragePool",
    )


def test_opset_is_10_at_least() -> None:
    assert holds("opset_is_10_at_least", relu(10))
    assert breach("opset_is_10_at_least", relu(9)) == "opset 9"


def test_opset_is_13_at_least() -> None:
    assert holds("opset_is_13_at_least", relu(13))
    assert breach("opset_is_13_at_least", relu(12)) == "opset 12"


def test_opset_is_21_at_least() -> None:
    assert holds("opset_is_21_at_least", relu(21))
    assert breach("opset_is_21_at_least", relu(20)) == "opset 20"


def test_scale_is_one_number() -> None:
    text = "g (float[2,4] x) => (int8[] y) <float%s s = {%s}> { y = QuantizeLinear <axis = 0> (x, s) }"
    assert holds("scale_is_one_number", node(text % ("", "0.5"), op="QuantizeLinear"))
    assert breach("scale_is_one_number", node(text % ("[2]", "0.5, 1.0"), op="QuantizeLinear")) == "2 scales"


@pytest.mark.parametrize(
    ("kernel", "side", "scale", "fine"),
    [
        pytest.param(8, 16, 0.5, True, id="one-scale"),
        pytest.param(8, 16, 0.25, False, id="two-scales"),
        pytest.param(4, 12, 0.25, False, id="four-by-four"),
        pytest.param(2, 16, 0.25, True, id="small-window"),
        pytest.param(5, 15, 0.25, True, id="odd-window"),
        pytest.param(8, 8, 0.25, True, id="one-window"),
        pytest.param(8, 17, 0.25, True, id="rest-left-out"),
    ],
)
def test_halved_windows_share_a_scale(kernel: int, side: int, scale: float, fine: bool) -> None:
    found = pool(kernel, side=side, scale=str(scale))
    if fine:
        assert holds("halved_windows_share_a_scale", found)
    else:
        assert breach("halved_windows_share_a_scale", found) == f"scale 0.5 in, {scale:g} out"


def test_a_computed_scale_may_be_shared() -> None:
    assert doubt("halved_windows_share_a_scale", pool(8, side=16, scale="t")).startswith("scales that are no")
