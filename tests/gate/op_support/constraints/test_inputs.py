"""Constraints on which inputs and outputs there are, and which are constants."""

from __future__ import annotations

import pytest

from mosaic_deploy.graph.facts import Node
from tests.gate.op_support.constraints.judging import breach, doubt, holds, node

STORED = "<float[2] w = {1, 2}>"


def of_vector(body: str, *, op: str) -> Node:
    """A node of ``x``, two computed numbers, and ``w``, two stored ones."""
    return node(f"g (float[2] x) => (float[] y) {STORED} {{ y = {op}{body} }}", op=op)


def gemm(bias: str, *, stored: str = "", computed: str = "") -> Node:
    text = f"g (float[2,3] x, float[3,4] w{computed}) => (float[] y) <{stored}> {{ y = Gemm(x, w{bias}) }}"
    return node(text.replace("<>", ""), op="Gemm")


def test_parameters_are_constant() -> None:
    stored = "g (float[1,2,8,8] x) => (float[] y) <float low = {0}> { y = Clip(x, low) }"
    assert holds("parameters_are_constant", node(stored, op="Clip"))
    folded = """g (float[1,2,8,8] x) => (float[] y) { s = Shape(x) t = Identity(s) y = Reshape(x, t) }"""
    assert holds("parameters_are_constant", node(folded, op="Reshape"))
    found = node("g (float[1,2] x, float low) => (float[] y) { y = Clip(x, low) }", op="Clip")
    assert breach("parameters_are_constant", found) == "'low' is computed"


def test_first_input_is_computed() -> None:
    assert holds("first_input_is_computed", of_vector("(x, w)", op="Sub"))
    assert breach("first_input_is_computed", of_vector("(w, x)", op="Sub")) == "'w' is a constant"


def test_inputs_are_computed() -> None:
    assert holds("inputs_are_computed", of_vector("(x, x)", op="Sub"))
    assert breach("inputs_are_computed", of_vector("(x, w)", op="Sub")) == "'w' is a constant"


def test_inputs_are_two() -> None:
    assert holds("inputs_are_two", of_vector("(x, w)", op="Max"))
    assert breach("inputs_are_two", of_vector("(x)", op="Max")) == "1 inputs"
    assert breach("inputs_are_two", of_vector("(x, w, x)", op="Max")) == "3 inputs"
    no_minimum = "g (float[2] x, float high) => (float[] y) { y = Clip(x, , high) }"
    assert holds("inputs_are_two", node(no_minimum, op="Clip"))


def test_inputs_are_several() -> None:
    assert holds("inputs_are_several", of_vector("(x, w, x)", op="Max"))
    assert breach("inputs_are_several", of_vector("(x)", op="Max")) == "1 input"


def test_inputs_are_five_at_most() -> None:
    assert holds("inputs_are_five_at_most", of_vector("(x, x, x, x, x)", op="Max"))
    assert breach("inputs_are_five_at_most", of_vector("(x, x, x, x, x, x)", op="Max")) == "6 inputs"


def test_outputs_are_four_at_most() -> None:
    text = "g (float[10] x) => ({}) {{ {} = Split <num_outputs = {}> (x) }}"
    four, five = (
        node(text.format(", ".join(f"float[] {y}" for y in names), ", ".join(names), len(names)), op="Split")
        for names in ("abcd", "abcde")
    )
    assert holds("outputs_are_four_at_most", four)
    assert breach("outputs_are_four_at_most", five) == "5 outputs"


def test_only_first_output_is_asked_for() -> None:
    text = "g (float[1,2,8,8] x) => (float[] y{}) {{ y{} = MaxPool <kernel_shape = [2, 2]> (x) }}"
    assert holds("only_first_output_is_asked_for", node(text.format("", ""), op="MaxPool"))
    found = node(text.format(", int64[] i", ", i"), op="MaxPool")
    assert breach("only_first_output_is_asked_for", found) == "2 outputs"


def test_stored_matrix_is_no_batch() -> None:
    stored = "g (float[2,1,2] x) => (float[] y) <float[{}2] w = {{1, 2{}}}> {{ y = MatMul(x, w) }}"
    assert holds("stored_matrix_is_no_batch", node(stored.format("", ""), op="MatMul"))
    found = node(stored.format("1,2,", ", 3, 4"), op="MatMul")
    assert breach("stored_matrix_is_no_batch", found) == "'w' is stored and has rank 3"
    computed = "g (float[2,1,2] x, float[1,2,2] w) => (float[] y) { y = MatMul(x, w) }"
    assert holds("stored_matrix_is_no_batch", node(computed, op="MatMul"))


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        pytest.param("float[4] b = {1, 2, 3, 4}", "", id="row"),
        pytest.param("float[1] b = {1}", "'b' of [1]", id="one-number"),
        pytest.param("float[1,4] b = {1, 2, 3, 4}", "'b' of [1, 4]", id="matrix"),
    ],
)
def test_bias_is_a_row(stored: str, words: str) -> None:
    found = gemm(", b", stored=stored)
    if words:
        assert breach("bias_is_a_row", found) == words
    else:
        assert holds("bias_is_a_row", found)


def test_a_bias_may_be_left_out_but_not_computed() -> None:
    assert holds("bias_is_a_row", gemm(""))
    assert doubt("bias_is_a_row", gemm(", b", computed=", float[4] b")) == "'b' is no stored list"


def test_every_axis_has_pads() -> None:
    text = (
        "g (float[4,4] x) => (float[] y) <int64[{0}] p = {{{1}}}, int64[1] a = {{1}}> {{ y = Pad(x, p{2}) }}"
    )
    assert holds("every_axis_has_pads", node(text.format(4, "0, 0, 1, 1", ""), op="Pad"))
    assert breach("every_axis_has_pads", node(text.format(2, "0, 1", ", , a"), op="Pad")) == "axes in 'a'"


@pytest.mark.parametrize(
    ("data", "sides", "fine"),
    [
        pytest.param("1,2,2,2", "1,1,1,2", True, id="every-axis"),
        pytest.param("1,2,2,2", "2,1", True, id="no-row"),
        pytest.param("2,2,2", "2", True, id="rank-3"),
        pytest.param("1,2,2,2", "2", False, id="row"),
    ],
)
def test_stored_rows_have_every_axis(data: str, sides: str, fine: bool) -> None:
    text = f"g (float[{data}] x) => (float[] y) <float[{sides}] w = {{1, 2}}> {{ y = Add(x, w) }}"
    found = node(text, op="Add")
    if fine:
        assert holds("stored_rows_have_every_axis", found)
    else:
        assert breach("stored_rows_have_every_axis", found) == "'w' of [2] beside 4 dimensions"
