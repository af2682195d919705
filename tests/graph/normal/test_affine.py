"""Numbers per channel folded into convolutions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.graph.normal.same import becomes, stays
from tests.graph.passes.agreement import image, number, random

NORM = "BatchNormalization (%s, scale, shift, mean, variance)"


def norms(count: int, seed: int = 1) -> dict[str, Any]:
    return {
        "scale": random(count, seed=seed),
        "shift": random(count, seed=seed + 1),
        "mean": -np.abs(random(count, seed=seed + 2)),
        "variance": np.abs(random(count, seed=seed + 3)) + 1e-4,
    }


@pytest.mark.parametrize("bias", ["", ", b"])
def test_into_the_convolution_before(bias: str) -> None:
    body = f"a = Conv <pads = [1, 1, 1, 1]> (image, w{bias}) y = {NORM % 'a'}"
    more: dict[str, Any] = {"b": random(6, seed=9)} if bias else {}
    becomes(image(body, w=random(6, 4, 3, 3), **norms(6), **more), "Conv")


@pytest.mark.parametrize("group", [1, 2])
def test_into_the_transposed_convolution_before(group: int) -> None:
    body = f"a = ConvTranspose <strides = [2, 2], group = {group}> (image, w) y = {NORM % 'a'}"
    becomes(image(body, w=random(4, 6 // group, 2, 2), **norms(6)), "ConvTranspose")


@pytest.mark.parametrize("group", [1, 2, 4])
def test_into_the_convolution_behind(group: int) -> None:
    body = f"a = {NORM % 'image'} y = Conv <group = {group}> (a, w, b)"
    becomes(image(body, w=random(8, 4 // group, 3, 3), b=random(8, seed=9), **norms(4)), "Conv")


def test_padding_behind_keeps_them_apart() -> None:
    """Zeros that are padded are not moved by the normalisation."""
    body = f"a = {NORM % 'image'} y = Conv <pads = [1, 1, 1, 1]> (a, w)"
    becomes(image(body, w=random(8, 4, 3, 3), **norms(4)), "Conv", "Conv")


def test_alone_it_is_a_convolution_of_one_tap() -> None:
    made = becomes(
        image(f"a = Relu (image) b = {NORM % 'a'} y = Relu (b)", **norms(4)), "Relu", "Conv", "Relu"
    )
    assert {a.name: a.i for a in made.graph.node[1].attribute}["group"] == 4


def test_training_keeps_it() -> None:
    body = f"y, m, v = {NORM % 'image'}".replace(
        "BatchNormalization", "BatchNormalization <training_mode = 1>"
    )
    stays(image(body, **norms(4)))


@pytest.mark.parametrize("op", ["Mul", "Add"])
@pytest.mark.parametrize("shape", [(6, 1, 1), (1, 6, 1, 1), ()])
def test_numbers_per_channel(op: str, shape: tuple[int, ...]) -> None:
    becomes(
        image(f"a = Conv (image, w) y = {op} (c, a)", w=random(6, 4, 1, 1), c=random(*shape, seed=5)), "Conv"
    )


@pytest.mark.parametrize("shape", [(8,), (6, 8), (1, 6, 6, 8), (2, 1, 1, 1)])
def test_numbers_of_other_axes_stay(shape: tuple[int, ...]) -> None:
    stays(image("a = Conv (image, w) y = Mul (a, c)", w=random(6, 4, 1, 1), c=random(*shape, seed=5)))


def test_a_convolution_that_others_read_stays() -> None:
    stays(image("a = Conv (image, w) b = Mul (a, c) y = Add (a, b)", w=random(6, 4, 1, 1), c=number(2)))


def test_weights_that_are_computed_stay() -> None:
    body = "w = GlobalAveragePool (image) a = Conv (image, w) y = Mul (a, c)"
    stays(image(body, c=number(2)))
