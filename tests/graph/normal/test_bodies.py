"""If and Loop written out."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest

from mosaic_deploy.graph.normal.normalise import normalise
from tests.graph.normal.same import becomes, normal, stays
from tests.graph.passes.agreement import error, image, ops

BRANCHES = """
    y = If (c) <
        then_branch = t () => (float[] a) { a = Relu (image) },
        else_branch = e () => (float[] b) { n = Neg (image) b = Relu (n) }
    >
"""
LOOP = """
    z = Loop (turns, , image) <
        body = b (int64 i, bool going, float[1,4,6,8] v) => (bool on, float[1,4,6,8] w) {
        on = Identity (going) f = Cast <to = 1> (i) s = Add (v, f) w = Relu (s) } >
    y = Neg (z)
"""


@pytest.mark.parametrize(("condition", "wanted"), [(True, ["Relu"]), (False, ["Neg", "Relu"])])
def test_a_known_condition_leaves_one_branch(condition: bool, wanted: list[str]) -> None:
    becomes(image(BRANCHES, c=np.asarray(condition)), *wanted)


def test_a_loop_of_known_length_is_written_out() -> None:
    made = normal(image(LOOP, turns=np.asarray(3)))
    assert ops(made) == ["Relu", "Add", "Relu", "Add", "Relu", "Neg"]  # the first turn adds zero
    assert len({node.name for node in made.graph.node if node.name}) == 5


def test_a_long_loop_stays() -> None:
    stays(image(LOOP, turns=np.asarray(65)))


def test_a_loop_that_may_stop_stays() -> None:
    body = LOOP.replace("on = Identity (going)", "m = ReduceMax <keepdims = 0> (v) on = Cast <to = 9> (m)")
    stays(image(body, turns=np.asarray(3)))


AS_STRIDED = """
    g (float[1,4,1,1] image) => (float[1,4,1,1] y)
    <int64 turns = {4}, int64 zero = {0}, int64 one = {1}, int64[1] minus = {-1}, int64[1] single = {1},
     int64[4] shape = {1, 4, 1, 1}, int64[4] strides = {4, 1, 1, 1}, int64[1] rank = {4}>
    {
        empty = SequenceEmpty <dtype = 7> ()
        parts, at = Loop (turns, , empty, zero) <
            body = b (int64 i, bool going, seq(int64[n]) held, int64[m] sum)
                => (bool on, seq(int64[k]) more, int64[j] next) {
                on = Identity (going) first = Equal (i, zero)
                left = Sub (turns, i) place = Sub (left, one) axis = Reshape (place, minus)
                size = Gather <axis = 0> (shape, axis) after = Slice (shape, axis, rank)
                stride = Gather <axis = 0> (strides, axis) wide = Expand (sum, after)
                side = Squeeze (size) counted = Range (zero, side, one) steps = Mul (counted, stride)
                form = If (first) <
                    then_branch = t () => (int64[p] a) { a = Identity (size) },
                    else_branch = e () => (int64[q] c) {
                        ones = ConcatFromSequence <axis = 0> (held) f = Cast <to = 1> (size)
                        g = Cast <to = 1> (ones) h = Concat <axis = 0> (f, g) c = Cast <to = 7> (h) }
                >
                shaped = Reshape (steps, form) next = Add (wide, shaped)
                more = SequenceInsert (held, single) } >
        flat = Reshape (image, minus) picked = Gather (flat, at) y = Neg (picked)
    }
"""


def test_indices_that_a_loop_computes_are_a_reshape() -> None:
    """``as_strided`` as PyTorch's exporter writes it: a loop over dimensions, with sequences and branches."""
    model = onnx.parser.parse_model('<ir_version: 8, opset_import: ["" : 18]>' + AS_STRIDED)
    made = normalise(model)
    assert ops(made) == ["Neg"]
    assert error(model, made) == 0
