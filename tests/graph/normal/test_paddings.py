"""Paddings of windows in numbers, and Pads that windows take over."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from tests.graph.normal.same import becomes, normal, stays
from tests.graph.passes.agreement import image, number, ops, random, run


def pads_of(model: onnx.ModelProto) -> list[int]:
    return [list(a.ints) for node in model.graph.node for a in node.attribute if a.name == "pads"][-1]


@pytest.mark.parametrize("auto", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("op", ["Conv", "MaxPool", "AveragePool"])
@pytest.mark.parametrize("stride", [1, 2])
def test_automatic_padding_is_written_in_numbers(op: str, auto: str, stride: int) -> None:
    weights, window = (", w", "") if op == "Conv" else ("", ", kernel_shape = [3, 4]")
    body = f'y = {op} <auto_pad = "{auto}", strides = [{stride}, {stride}]{window}> (image{weights})'
    held: dict[str, Any] = {"w": random(2, 4, 3, 4)} if weights else {}
    made = becomes(image(body, shape="1,4,7,9", **held), op)
    names = [a.name for a in made.graph.node[0].attribute]
    assert "pads" in names
    assert "auto_pad" not in names


def test_zeros_before_a_convolution_are_its_own_padding() -> None:
    body = "a = Pad (image, pads) y = Conv <pads = [1, 0, 1, 0]> (a, w)"
    made = becomes(image(body, pads=[0, 0, 1, 2, 0, 0, 0, 3], w=random(2, 4, 3, 3)), "Conv")
    assert [list(a.ints) for a in made.graph.node[0].attribute if a.name == "pads"] == [[2, 2, 1, 3]]


@pytest.mark.parametrize(
    "pad",
    [
        "Pad (image, pads, one)",
        'Pad <mode = "reflect"> (image, pads)',
        "Pad (image, channels)",
        "Pad (image, crops)",
    ],
)
def test_other_paddings_stay(pad: str) -> None:
    inside = 6 if "channels" in pad else 4
    stays(
        image(
            f"a = {pad} y = Conv (a, w)", one=number(1), pads=[0, 0, 1, 1, 0, 0, 1, 1],
            channels=[0, 1, 0, 0, 0, 1, 0, 0], crops=[0, 0, -1, 0, 0, 0, 0, 0], w=random(2, inside, 3, 3),
        )
    )  # fmt: skip


@pytest.mark.parametrize("auto", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize(
    ("window", "strides", "more"),
    [
        pytest.param((3, 3), (2, 2), "", id="odd"),
        pytest.param((5, 2), (2, 3), "", id="each-axis-its-own"),
        pytest.param((4, 3), (2, 2), ", output_shape = [12, 15], output_padding = [1, 1]", id="both"),
        pytest.param((3, 3), (2, 2), ", output_shape = [11, 14]", id="output-shape"),
        pytest.param((3, 3), (2, 2), ", dilations = [2, 2]", id="dilated"),
        pytest.param((2, 2), (2, 2), ", output_shape = [13, 17]", id="more-than-the-windows-give"),
    ],
)
def test_automatic_padding_of_transposed_convolutions(
    auto: str, window: tuple[int, int], strides: tuple[int, int], more: str
) -> None:
    body = f'y = ConvTranspose <auto_pad = "{auto}", strides = [{strides[0]}, {strides[1]}]{more}> (image, w)'
    made = becomes(image(body, w=random(4, 2, *window)), "ConvTranspose")
    names = {a.name for a in made.graph.node[0].attribute}
    assert "pads" in names
    assert not {"auto_pad", "output_shape"} & names


def test_a_stated_output_without_automatic_padding() -> None:
    body = "y = ConvTranspose <output_shape = [12, 15], strides = [2, 2]> (image, w)"
    made = becomes(image(body, w=random(4, 2, 3, 3)), "ConvTranspose")
    assert "output_shape" not in {a.name for a in made.graph.node[0].attribute}


LOWEST = float(np.finfo(np.float32).min)


@pytest.mark.parametrize(
    ("front", "value"),
    [
        pytest.param("Identity (image)", LOWEST, id="lowest"),
        pytest.param("Identity (image)", -np.inf, id="minus-infinity"),
        pytest.param("Identity (image)", -65504.0, id="lowest-of-float16"),
        pytest.param("Relu (image)", 0.0, id="zeros-behind-relu"),
        pytest.param("Sigmoid (image)", -0.5, id="below-sigmoid"),
        pytest.param("Clip (image, one)", 1.0, id="at-the-bound-of-a-clip"),
    ],
)
def test_pads_that_no_maximum_sees_are_the_pools_own(front: str, value: float) -> None:
    body = f"a = {front} b = Pad (a, pads, v) y = MaxPool <kernel_shape = [3, 3], strides = [2, 2]> (b)"
    model = image(body, pads=[0, 0, 1, 1, 0, 0, 1, 2], v=number(value), one=number(1))
    made = normal(model, tolerance=0.0)
    assert "Pad" not in ops(made)
    assert pads_of(made) == [1, 1, 1, 2]
    for before, after in zip(run(model), run(made), strict=True):
        assert np.array_equal(before[0], after[0])


def test_pads_of_some_axes_are_taken_too() -> None:
    body = "a = Pad (image, pads, v, axes) y = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (a)"
    model = image(body, pads=[1, 0, 0, 1], axes=[-1, 2], v=number(-np.inf))
    assert pads_of(becomes(model, "MaxPool")) == [1, 2, 2, 1]


def test_a_pad_that_two_read_goes_where_both_take_it() -> None:
    body = """a = Pad (image, pads, v) b = MaxPool <kernel_shape = [3, 3]> (a)
              c = MaxPool <kernel_shape = [3, 3]> (a) d = Relu (c) y = Add (b, d)"""
    made = normal(image(body, pads=[0, 0, 1, 1, 0, 0, 1, 1], v=number(-np.inf)))
    assert "Pad" not in ops(made)


@pytest.mark.parametrize(
    ("pad", "pool"),
    [
        pytest.param("Pad (image, pads, nine)", "kernel_shape = [3, 3]", id="a-number-that-may-win"),
        pytest.param("Pad (image, pads)", "kernel_shape = [3, 3]", id="zeros-before-signed-numbers"),
        pytest.param(
            "Pad (image, pads, low)", "kernel_shape = [2, 2], ceil_mode = 1, strides = [2, 2]", id="ceil"
        ),
        pytest.param("Pad (image, pads, low)", "kernel_shape = [1, 1]", id="windows-of-padding-alone"),
        pytest.param("Pad (image, pads, low)", "kernel_shape = [3, 3], dilations = [2, 2]", id="dilated"),
        pytest.param("Pad (image, channels, low)", "kernel_shape = [3, 3]", id="channels"),
        pytest.param('Pad <mode = "edge"> (image, pads)', "kernel_shape = [3, 3]", id="copies"),
    ],
)
def test_other_pads_before_a_pool_stay(pad: str, pool: str) -> None:
    body = f"a = {pad} y = MaxPool <{pool}> (a)"
    stays(
        image(
            body, pads=[0, 0, 1, 1, 0, 0, 1, 1], channels=[0, 1, 1, 1, 0, 1, 1, 1], low=number(LOWEST),
            nine=number(-1e9),
        )
    )  # fmt: skip


def test_the_places_of_the_maxima_keep_their_pad() -> None:
    body = """a = Pad (image, pads, v) b, c = MaxPool <kernel_shape = [3, 3]> (a) f = Cast <to = 1> (c)
              y = Add (b, f)"""
    stays(image(body, pads=[0, 0, 1, 1, 0, 0, 1, 1], v=number(LOWEST)))
