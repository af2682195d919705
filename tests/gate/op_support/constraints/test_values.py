"""Constraints on numbers that the graph stores."""

from __future__ import annotations

import pytest

from mosaic_deploy.graph.facts import Node
from tests.gate.op_support.constraints.judging import breach, doubt, holds, node

STEPS = """g (float[4] x) => (float[] y)
    <int64[1] a = {3}, int64[1] b = {-9}, int64[1] c = {0}, int64[1] d = {%d}> { y = Slice(x, a, b, c, d) }"""
COMPUTED_STEPS = """g (float[4] x, int64[1] d) => (float[] y)
    <int64[1] a = {3}, int64[1] b = {-9}, int64[1] c = {0}> { y = Slice(x, a, b, c, d) }"""


def pad(pads: str, *, value: str = "") -> Node:
    """A Pad of a tensor whose sides are 4; the value is stored, or the graph's input ``v``."""
    rank = (pads.count(",") + 1) // 2
    stored = f", float v = {{{value}}}" if value not in ("", "v") else ""
    return node(
        f"""g (float[{",".join(["4"] * rank)}] x{", float v" if value == "v" else ""}) => (float[] y)
        <int64[{2 * rank}] p = {{{pads}}}{stored}> {{ y = Pad(x, p{", v" if value else ""}) }}""",
        op="Pad",
    )


def scaled(scale: float) -> Node:
    return node(
        f"""g (float[1,2,10,12] x) => (float[] y) <float[4] scales = {{1, 1, {scale}, {scale}}}> {{
            y = Resize <mode = "linear"> (x, , scales) }}""",
        op="Resize",
    )


def clip(inputs: str, *, stored: str) -> Node:
    return node(f"g (float[2] x) => (float[] y) <{stored}> {{ y = Clip(x, {inputs}) }}", op="Clip")


def clip_of_attributes(bounds: str) -> Node:
    return node(f"g (float[2] x) => (float[2] y) {{ y = Clip <{bounds}> (x) }}", op="Clip", opset=10)


def folded_clip() -> Node:
    """A Clip whose bound is a constant that is not stored as such."""
    text = "g (float[2] x) => (float[] y) <float s = {0}> { low = Neg(s) y = Clip(x, low) }"
    return node(text, op="Clip")


@pytest.mark.parametrize(
    ("pads", "fine"),
    [
        pytest.param("0,0,1,1,0,0,1,1", True, id="around"),
        pytest.param("0,0,0,0,0,0,0,1", True, id="right-only"),
        pytest.param("0,0,0,0,0,0,1,0", True, id="bottom-only"),
        pytest.param("0,0,0,1,0,0,1,1", True, id="left-too"),
        pytest.param("0,0,0,0,0,0,1,1", False, id="right-and-bottom"),
        pytest.param("0,0,1,0,0,0,1,1", False, id="no-left"),
        pytest.param("0,0,1,1", False, id="matrix"),
        pytest.param("0,0,0,0,0,0,0,0,1,1", True, id="rank-5"),
    ],
)
def test_long_rows_begin_with_padding(pads: str, fine: bool) -> None:
    if fine:
        assert holds("long_rows_begin_with_padding", pad(pads))
    else:
        assert breach("long_rows_begin_with_padding", pad(pads)).startswith("pads [")


def test_pads_are_not_negative() -> None:
    assert holds("pads_are_not_negative", pad("0,1"))
    assert breach("pads_are_not_negative", pad("0,-1")) == "-1 in 'p'"
    stated = "g (float[4] x) => (float[] y) { y = Pad <pads = [0, -2]> (x) }"
    assert breach("pads_are_not_negative", node(stated, op="Pad", opset=10)) == "pads [0, -2]"


def test_rows_are_not_padded() -> None:
    assert holds("rows_are_not_padded", pad("1,0,2,0"))
    assert breach("rows_are_not_padded", pad("0,0,0,1")) == "pads [0, 0, 0, 1]"
    assert breach("rows_are_not_padded", pad("0,2,0,0")) == "pads [0, 2, 0, 0]"
    stated = "g (float[4,4] x) => (float[] y) { y = Pad <pads = [0, 0, 0, 2]> (x) }"
    assert breach("rows_are_not_padded", node(stated, op="Pad", opset=10)) == "pads [0, 0, 0, 2]"
    computed = "g (float[4] x, int64[2] p) => (float[] y) { y = Pad(x, p) }"
    assert "not stored" in doubt("rows_are_not_padded", node(computed, op="Pad"))


def test_padding_is_zero() -> None:
    assert holds("padding_is_zero", pad("0,1"))
    assert holds("padding_is_zero", pad("0,1", value="0"))
    assert breach("padding_is_zero", pad("0,1", value="1.5")) == "padding with 1.5"
    assert breach("padding_is_zero", pad("0,1", value="v")) == "'v' is no stored number"
    stated = "g (float[4] x) => (float[] y) { y = Pad <pads = [0, 1], value = 2.0> (x) }"
    assert breach("padding_is_zero", node(stated, op="Pad", opset=10)) == "padding with 2.0"
    folded = """g (float[4] x) => (float[] y) <int64[2] p = {0, 1}, float s = {0}> {
        v = Neg(s) y = Pad(x, p, v) }"""
    assert doubt("padding_is_zero", node(folded, op="Pad")) == "'v' is no stored number"


def test_padding_is_not_negative() -> None:
    assert holds("padding_is_not_negative", pad("0,1"))
    assert holds("padding_is_not_negative", pad("0,1", value="1.5"))
    assert breach("padding_is_not_negative", pad("0,1", value="-1.5")) == "padding with -1.5"
    assert breach("padding_is_not_negative", pad("0,1", value="v")) == "'v' is no stored number"


def test_steps_are_positive() -> None:
    assert holds("steps_are_positive", node(STEPS % 2, op="Slice"))
    assert breach("steps_are_positive", node(STEPS % -1, op="Slice")) == "-1 in 'd'"
    assert doubt("steps_are_positive", node(COMPUTED_STEPS, op="Slice")).startswith("'d', whose values")


def test_steps_are_one() -> None:
    assert holds("steps_are_one", node(STEPS % 1, op="Slice"))
    assert breach("steps_are_one", node(STEPS % 2, op="Slice")) == "steps [2]"
    assert doubt("steps_are_one", node(COMPUTED_STEPS, op="Slice")) == "'d' is not stored"
    short = "g (float[4] x) => (float[] y) <int64[1] a = {0}, int64[1] b = {2}> { y = Slice(x, a, b) }"
    assert holds("steps_are_one", node(short, op="Slice"))


def test_indices_are_not_negative() -> None:
    text = "g (float[4] x) => (float[] y) <int64[2] i = {0, %d}> { y = Gather(x, i) }"
    assert holds("indices_are_not_negative", node(text % 3, op="Gather"))
    assert breach("indices_are_not_negative", node(text % -1, op="Gather")) == "-1 in 'i'"
    computed = "g (float[4] x, int64[2] i) => (float[] y) { y = Gather(x, i) }"
    assert doubt("indices_are_not_negative", node(computed, op="Gather")).startswith("'i', whose values")


def test_scales_are_exact() -> None:
    assert holds("scales_are_exact", scaled(1.5))
    found = breach("scales_are_exact", scaled(0.6))
    assert found == "[1, 2, 10, 12] to [1, 2, 6, 7] by scales ['1', '1', '0.6', '0.6']"
    sized = """g (float[1,2,10,12] x) => (float[] y) <int64[4] sizes = {1, 2, 6, 7}> {
        y = Resize <mode = "linear"> (x, , , sizes) }"""
    assert holds("scales_are_exact", node(sized, op="Resize"))
    computed = "g (float[1,2,10,12] x, float[4] s) => (float[] y) { y = Resize(x, , s) }"
    assert doubt("scales_are_exact", node(computed, op="Resize")) == "scales that are not stored"


def test_bounds_are_those_of_relu() -> None:
    assert holds("bounds_are_those_of_relu", clip("low", stored="float low = {0}"))
    assert holds("bounds_are_those_of_relu", clip("low, high", stored="float low = {0}, float high = {6}"))
    assert (
        breach("bounds_are_those_of_relu", clip(", high", stored="float high = {6}")) == "bounds None and 6.0"
    )
    assert holds("bounds_are_those_of_relu", clip_of_attributes("min = 0.0"))
    assert breach("bounds_are_those_of_relu", clip_of_attributes("min = -1.0")) == "bounds -1.0 and None"
    computed = node("g (float[2] x, float low) => (float[] y) { y = Clip(x, low) }", op="Clip")
    assert breach("bounds_are_those_of_relu", computed) == "'low' is computed"
    assert doubt("bounds_are_those_of_relu", folded_clip()) == "'low' is computed"


def test_bounds_are_not_zero_and_one() -> None:
    name = "bounds_are_not_zero_and_one"
    assert holds(name, clip("low, high", stored="float low = {0}, float high = {6}"))
    assert holds(name, clip(", high", stored="float high = {1}"))
    assert breach(name, clip("low, high", stored="float low = {0}, float high = {1}")) == "bounds 0 and 1"
    assert breach(name, clip_of_attributes("min = 0.0, max = 1.0")) == "bounds 0 and 1"
    assert doubt(name, folded_clip()) == "'low' is not stored"


@pytest.mark.parametrize(
    ("exponent", "words"),
    [
        pytest.param("float e = {2}", "", id="square"),
        pytest.param("float[2] e = {3, 3}", "", id="cubes"),
        pytest.param("float e = {0.5}", "exponents [0.5]", id="root"),
        pytest.param("float[2] e = {2, 3}", "exponents [2.0, 3.0]", id="both"),
    ],
)
def test_exponent_is_two_or_three(exponent: str, words: str) -> None:
    found = node(f"g (float[2] x) => (float[] y) <{exponent}> {{ y = Pow(x, e) }}", op="Pow")
    if words:
        assert breach("exponent_is_two_or_three", found) == words
    else:
        assert holds("exponent_is_two_or_three", found)


def test_an_exponent_is_neither_computed_nor_folded() -> None:
    computed = node("g (float[2] x, float e) => (float[] y) { y = Pow(x, e) }", op="Pow")
    assert breach("exponent_is_two_or_three", computed) == "a computed exponent"
    folded = "g (float[2] x) => (float[] y) <float s = {-2}> { e = Neg(s) y = Pow(x, e) }"
    assert doubt("exponent_is_two_or_three", node(folded, op="Pow")) == "'e' is not stored"
