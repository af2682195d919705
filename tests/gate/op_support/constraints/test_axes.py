"""Constraints on the axes that an operator works along."""

from __future__ import annotations

import pytest

from mosaic_deploy.graph.facts import Node
from tests.gate.op_support.constraints.judging import breach, doubt, holds, node

UNTOLD = "axes that are not stored"


def softmax(sides: str, *, axis: int) -> Node:
    text = f"g (float[{sides}] x) => (float[] y) {{ y = Softmax <axis = {axis}> (x) }}"
    return node(text, op="Softmax")


def mean(*axes: int, sides: str = "1,4,6,8") -> Node:
    """A mean along stored axes; along all where none is given."""
    stored = f"<int64[{len(axes)}] a = {{{', '.join(map(str, axes))}}}>" if axes else ""
    text = f"g (float[{sides}] x) => (float[] y) {stored} {{ y = ReduceMean(x{', a' if axes else ''}) }}"
    return node(text, op="ReduceMean")


def mean_of_computed_axes() -> Node:
    text = "g (float[1,4,6,8] x, int64[1] a) => (float[] y) { y = ReduceMean(x, a) }"
    return node(text, op="ReduceMean")


@pytest.mark.parametrize(
    ("axis", "fine"),
    [
        pytest.param(-1, True, id="counted-back"),
        pytest.param(2, True, id="last"),
        pytest.param(1, False, id="middle"),
    ],
)
def test_axis_is_last(axis: int, fine: bool) -> None:
    found = softmax("1,4,6", axis=axis)
    if fine:
        assert holds("axis_is_last", found)
    else:
        assert breach("axis_is_last", found) == "axis 1 of 3"


def test_an_axis_of_an_unknown_rank_may_be_last() -> None:
    assert holds("axis_is_last", softmax("n,4,6", axis=-1))
    assert doubt("axis_is_last", softmax("n,4,6", axis=2)) == "an unknown shape"


def test_axis_has_several_numbers() -> None:
    assert holds("axis_has_several_numbers", softmax("1,4", axis=-1))
    assert breach("axis_has_several_numbers", softmax("1,4", axis=0)) == "axis 0 of [1, 4]"
    assert doubt("axis_has_several_numbers", softmax("n,4", axis=0)) == "an unknown shape"


def test_axis_input_is_last() -> None:
    text = "g (float[1,4,6] x) => (float[] y) <int64 a = {%d}> { y = CumSum(x, a) }"
    assert holds("axis_input_is_last", node(text % -1, op="CumSum"))
    assert holds("axis_input_is_last", node(text % 2, op="CumSum"))
    assert breach("axis_input_is_last", node(text % 1, op="CumSum")) == "axis 1 of 3"
    computed = "g (float[1,4,6] x, int64 a) => (float[] y) { y = CumSum(x, a) }"
    assert doubt("axis_input_is_last", node(computed, op="CumSum")) == UNTOLD


def test_only_last_axis_is_reduced() -> None:
    assert holds("only_last_axis_is_reduced", mean(-1))
    assert holds("only_last_axis_is_reduced", mean(3))
    assert breach("only_last_axis_is_reduced", mean(2, 3)) == "axes [2, 3] of 4"
    assert breach("only_last_axis_is_reduced", mean(sides="4,6")) == "axes [0, 1] of 2"
    assert doubt("only_last_axis_is_reduced", mean_of_computed_axes()) == UNTOLD


def test_only_channels_are_reduced() -> None:
    assert holds("only_channels_are_reduced", mean(1))
    assert holds("only_channels_are_reduced", mean(-3))
    assert breach("only_channels_are_reduced", mean(1, 2)) == "axes [1, 2] of 4"
    assert doubt("only_channels_are_reduced", mean(1, sides="n,4,6,8")) == UNTOLD


def test_only_height_and_width_are_reduced() -> None:
    assert holds("only_height_and_width_are_reduced", mean(2, 3))
    assert holds("only_height_and_width_are_reduced", mean(-1, -2))
    assert breach("only_height_and_width_are_reduced", mean(3)) == "axes [3] of 4"
    assert doubt("only_height_and_width_are_reduced", mean_of_computed_axes()) == UNTOLD


def test_batch_is_not_reduced() -> None:
    assert holds("batch_is_not_reduced", mean(1, 2, 3))
    assert breach("batch_is_not_reduced", mean(0, 2)) == "axes [0, 2]"
    assert breach("batch_is_not_reduced", mean()) == "axes [0, 1, 2, 3]"
    assert doubt("batch_is_not_reduced", mean_of_computed_axes()) == UNTOLD


def test_axes_may_be_an_attribute_or_none_at_all() -> None:
    stated = "g (float[1,4,6,8] x) => (float[] y) { y = ReduceMean <axes = [2, -1]> (x) }"
    found = node(stated, op="ReduceMean", opset=13)
    assert holds("only_height_and_width_are_reduced", found)
    assert breach("only_channels_are_reduced", found) == "axes [2, 3] of 4"
    none = "g (float[1,4,6,8] x) => (float[] y) { y = ReduceMean <noop_with_empty_axes = 1> (x) }"
    assert holds("batch_is_not_reduced", node(none, op="ReduceMean"))
