"""Constants computed."""

from __future__ import annotations

import time

import numpy as np
import onnx
import pytest

from mosaic_deploy.graph.normal.normalise import normalise
from tests.graph.normal.same import becomes, stays
from tests.graph.passes.agreement import image, number, ops, random

SHAPES = """
    s = Shape (image) c = Gather (s, one) r = Unsqueeze (c, zeros)
    all = Concat <axis = 0> (ones, r, minus) y = Reshape (image, all)
"""
SAME_PADDING = """
    s = Shape (image) sides = Slice (s, two, four) f = Cast <to = 1> (sides)
    q = Div (f, stride) cells = Ceil (q) last = Sub (cells, unit) reach = Mul (last, stride)
    need = Add (reach, kernel) over = Sub (need, f) positive = Max (over, nothing)
    half = Div (positive, halves)
    low = Floor (half) high = Sub (positive, low) lows = Cast <to = 7> (low) highs = Cast <to = 7> (high)
    pads = Concat <axis = 0> (none, lows, none, highs) padded = Pad (image, pads)
    y = Conv <strides = [2, 2]> (padded, w)
"""


def test_shape_chains_become_lists() -> None:
    model = image(SHAPES, one=np.asarray(1), zeros=[0], ones=[1], minus=[-1])
    made = becomes(model, "Reshape")
    assert made.graph.node[0].input[0] == "image"


def test_padding_of_tensorflow_s_style_same_ends_in_the_convolution() -> None:
    model = image(
        SAME_PADDING,
        two=[2], four=[4], none=[0, 0], stride=number(2), unit=number(1), kernel=number(3),
        nothing=number(0), halves=number(2), w=random(5, 4, 3, 3),
    )  # fmt: skip
    made = becomes(model, "Conv")
    (pads,) = (list(a.ints) for a in made.graph.node[0].attribute if a.name == "pads")
    assert pads == [0, 0, 1, 1]  # 6x8 in strides of 2 with a window of 3


def test_constants_behind_constants() -> None:
    body = "a = Constant <value = float {2.0}> () b = Sqrt (a) c = Mul (b, w) y = Mul (image, c)"
    made = becomes(image(body, w=random(4, 6, 8)), "Mul")
    assert made.graph.node[0].input[0] == "image"


def test_a_resized_constant_is_the_one_that_onnx_runtime_makes() -> None:
    """Positions of a transformer brought to another size, as PyTorch writes it."""
    body = """
        big = Resize <mode = "cubic", coordinate_transformation_mode = "half_pixel", antialias = 1,
            cubic_coeff_a = -0.5> (w, , , sizes)
        y = Add (image, big)
    """
    becomes(image(body, w=random(1, 4, 5, 5), sizes=[1, 4, 6, 8]), "Add")


def test_weights_in_integers_keep_their_grid() -> None:
    body = "w = DequantizeLinear (q, scale, zero) y = Mul (image, w)"
    q = np.arange(8, dtype=np.int8)
    plain = normalise(image(body, q=q, scale=number(0.1), zero=np.asarray(0, np.int8)))
    (mul,) = plain.graph.node
    arrays = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in plain.graph.initializer}
    weights = arrays[mul.input[1]]
    assert np.array_equal(np.rint(weights / np.float32(0.1)), q)
    assert np.abs(weights - q * np.float32(0.1)).max() < 1e-6


def test_random_numbers_are_not_constants() -> None:
    stays(image("r = RandomNormal <shape = [1, 4, 6, 8]> () y = Add (image, r)"))


def test_what_the_kernels_refuse_is_left_to_the_runtime() -> None:
    stays(image("a = Gather <axis = 0> (w, beyond) y = Add (image, a)", w=random(4), beyond=np.asarray(9)))


@pytest.mark.parametrize("start", [1, 1024])
def test_a_chain_that_doubles_fills_no_memory(start: int) -> None:
    """Forty doublings are a terabyte: what passes the limit stays a node."""
    chain = " ".join(f"c{i + 1} = Concat <axis = 0> (c{i}, c{i})" for i in range(40))
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 18]> g (float[1,4,6,8] image) => (float[1,4,6,8] y) '
        f"{{ {chain} s = ReduceMax <keepdims = 0> (c40) y = Add (image, s) }}"
    )
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(start, np.float32), "c0"))
    begun = time.process_time()
    made = normalise(model)
    assert sum(np.prod(tensor.dims) for tensor in made.graph.initializer) <= 1 << 23
    assert "Concat" in ops(made)
    assert time.process_time() - begun < 30  # a bound on the work, generous: it takes a second
