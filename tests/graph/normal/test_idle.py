"""Nodes that change nothing, and chains that one node says."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from tests.graph.normal.same import becomes, normal, stays
from tests.graph.passes.agreement import image, number, random

IDLE = {
    "identity": "a = Identity (image) y = Relu (a)",
    "dropout": "a = Dropout (image) y = Relu (a)",
    "cast": "a = Cast <to = 1> (image) y = Relu (a)",
    "reshape": "a = Reshape (image, same) y = Relu (a)",
    "expand": "a = Expand (image, same) y = Relu (a)",
    "slice": "a = Slice (image, zeros, sides, axes) y = Relu (a)",
    "pad": "a = Pad (image, none) y = Relu (a)",
    "transpose": "a = Transpose <perm = [0, 1, 2, 3]> (image) y = Relu (a)",
    "clip": "a = Clip (image) y = Relu (a)",
    "concat": "a = Concat <axis = 1> (image) y = Relu (a)",
    "resize": 'a = Resize <mode = "linear"> (image, , , same) y = Relu (a)',
    "plus nothing": "a = Add (image, zero) y = Relu (a)",
    "times one": "a = Mul (unit, image) y = Relu (a)",
    "in order": "a = Gather <axis = 1> (image, order) y = Relu (a)",
    "at the end": "a = Relu (image) y = Identity (a)",
    "two moves": "a = Transpose <perm = [0, 2, 3, 1]> (image) b = Transpose <perm = [0, 3, 1, 2]> (a) "
    "y = Relu (b)",
}
NUMBERS: dict[str, Any] = {
    "same": [1, 4, 6, 8], "zeros": [0, 0], "sides": [6, 8], "axes": [2, 3], "none": [0] * 8,
    "order": [0, 1, 2, 3], "zero": number(0), "unit": number(1),
}  # fmt: skip


@pytest.mark.parametrize("body", IDLE.values(), ids=IDLE)
def test_idle_nodes_go(body: str) -> None:
    becomes(image(body, **NUMBERS), "Relu")


BUSY = {
    "a mask that is read": "a, m = Dropout (image) f = Cast <to = 1> (m) y = Add (a, f)",
    "another type": "a = Cast <to = 10> (image) y = Cast <to = 1> (a)",
    "backwards": "a = Slice (image, last, before, two, back) y = Relu (a)",
    "out of order": "a = Gather <axis = 1> (image, mixed) y = Relu (a)",
    "another grid": 'a = Resize <mode = "nearest", coordinate_transformation_mode = "tf_half_pixel_for_nn"> '
    "(image, , , same) y = Relu (a)",
    "minus itself": "a = Sub (zero, image) y = Relu (a)",
    "one over": "a = Div (unit, image) y = Relu (a)",
    "broadcast": "a = Add (row, image) y = Relu (a)",
}


@pytest.mark.parametrize("body", BUSY.values(), ids=BUSY)
def test_busy_nodes_stay(body: str) -> None:
    stays(
        image(
            body, **NUMBERS, last=[-1], before=[-100], two=[2], back=[-1], mixed=[1, 0, 2, 3],
            row=random(3, 1, 1, 1, 1),
        )
    )  # fmt: skip


@pytest.mark.parametrize(("body", "left"), [
    ("e = Slice (image, end, far, two) y = Concat <axis = -2> (e, up, image)", ["Relu", "Concat"]),
    ("e = Slice (image, end, far, two) y = Concat <axis = 2> (e, up)", ["Relu"]),
])  # fmt: skip
def test_what_holds_nothing_joins_nothing(body: str, left: list[str]) -> None:
    becomes(image(f"up = Relu (image) {body}", end=[6], far=[99], two=[2]), *left)


def test_only_the_last_shape_counts() -> None:
    body = "a = Reshape (image, flat) b = Unsqueeze (a, zero) y = Reshape (b, back)"
    made = becomes(image(body, flat=[4, 48], zero=[0], back=[1, 4, 8, 6]), "Reshape")
    assert made.graph.node[0].input[0] == "image"


def test_a_reshape_that_others_read_stays() -> None:
    body = "a = Reshape (image, flat) b = Reshape (a, back) s = ReduceSum <keepdims = 0> (a) y = Add (b, s)"
    stays(image(body, flat=[4, 48], back=[1, 4, 8, 6]))


def test_arithmetic_repeats_by_itself() -> None:
    longest = "a = ReduceMax <keepdims = 1> (image, channels) b = Expand (a, same)"
    becomes(image(f"{longest} y = Div (image, b)", same=[1, 4, 6, 8], channels=[1]), "ReduceMax", "Div")


@pytest.mark.parametrize(
    "body", ["y = Mul (b, b)", "y = Add (a, b)", "y = Relu (b)", "c = Mul (image, b) y = Add (c, b)"]
)
def test_what_else_needs_it_repeated_keeps_it(body: str) -> None:
    smallest = "a = ReduceMax <keepdims = 1> (image, channels) b = Expand (a, same)"
    kept = normal(image(f"{smallest} {body}", same=[1, 4, 6, 8], channels=[1]))
    assert ("Expand" in [node.op_type for node in kept.graph.node]) == ("image, b" not in body)


def test_two_transposes_are_one() -> None:
    body = "a = Transpose <perm = [0, 2, 3, 1]> (image) y = Transpose <perm = [0, 2, 1, 3]> (a)"
    becomes(image(body), "Transpose")


def test_outputs_and_dead_ends() -> None:
    """An output of the graph keeps its name, and what leads nowhere goes."""
    body = "dead = Neg (image) a = Relu (image) b = Identity (a) y = Identity (b)"
    made = becomes(image(body), "Relu")
    assert made.graph.node[0].output[0] == "y"


def test_what_leads_nowhere_goes_where_nothing_else_is_to_be_done() -> None:
    becomes(image("dead = Neg (image) gone = Exp (dead) y = Relu (image)"), "Relu")


def test_an_image_handed_through_is_an_identity() -> None:
    model = image("y = Identity (image)")
    assert normal(model) is model
    assert isinstance(model, onnx.ModelProto)


def test_names_of_what_stays_are_kept() -> None:
    model = image("a = Identity (image) b = Relu (a) y = Sigmoid (b)")
    for node, name in zip(model.graph.node, ("first", "second", "third"), strict=True):
        node.name = name
    assert [node.name for node in normal(model).graph.node] == ["second", "third"]
    assert np.array_equal([len(model.graph.node)], [3])
