"""Convolutions side by side whose sum is one."""

from __future__ import annotations

from typing import Any

import pytest

from mosaic_deploy.graph.normal.normalise import normalise
from tests.graph.normal.same import becomes, stays
from tests.graph.normal.test_affine import NORM, norms
from tests.graph.passes.agreement import image, number, random

SMALL, LARGE = "Conv (image, v)", "Conv <pads = [1, 1, 1, 1]> (image, w, b)"


def test_a_small_kernel_lies_within_the_large_one() -> None:
    body = f"c = {SMALL} d = {LARGE} y = Add (c, d)"
    becomes(image(body, v=random(6, 4, 1, 1), w=random(6, 4, 3, 3, seed=1), b=random(6)), "Conv")


@pytest.mark.parametrize("group", [1, 2, 4])
def test_a_lone_normalisation_joins_any_groups(group: int) -> None:
    """The identity branch of RepVGG and MobileOne."""
    body = f"c = {NORM % 'image'} d = Conv <pads = [1, 1, 1, 1], group = {group}> (image, w) y = Add (d, c)"
    becomes(image(body, w=random(4, 4 // group, 3, 3), **norms(4)), "Conv")


def test_many_branches_are_one() -> None:
    body = f"""
        a = {LARGE} n = BatchNormalization (a, scale, shift, mean, variance) c = {SMALL} e = {LARGE}
        f = Add (n, c) s = Add (f, e) y = Relu (s)
    """
    weights: dict[str, Any] = {"v": random(6, 4, 1, 1), "w": random(6, 4, 3, 3, seed=1), "b": random(6)}
    becomes(image(body, **weights, **norms(6)), "Conv", "Relu")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Conv (image, v)", "Conv <strides = [1, 1], dilations = [2, 2], pads = [2, 2, 2, 2]> (image, w)"),
        ("Conv (image, v)", "Conv <pads = [2, 1, 0, 1]> (other, w)"),
        ("Conv (image, u)", "Conv <pads = [1, 1, 1, 1]> (image, w)"),
    ],
)
def test_branches_that_look_at_other_pixels_stay(first: str, second: str) -> None:
    """Gaps between the taps, another image, another number of channels."""
    body = f"other = Relu (image) c = {first} d = {second} e = Relu (other) y = Add (c, d)"
    arrays: dict[str, Any] = {
        "v": random(6, 4, 1, 1),
        "u": random(1, 4, 1, 1),
        "w": random(6, 4, 3, 3, seed=1),
    }
    made = normalise(image(body, **arrays))
    assert [node.op_type for node in made.graph.node].count("Conv") == 2


def test_a_branch_that_others_read_stays() -> None:
    body = f"c = {SMALL} d = {LARGE} e = Add (c, d) y = Div (e, c)"
    stays(image(body, v=random(6, 4, 1, 1), w=random(6, 4, 3, 3, seed=1), b=random(6)))


def test_twice_the_same_is_no_pair() -> None:
    stays(image("c = Conv (image, v) r = Relu (c) y = Add (r, r)", v=random(6, 4, 1, 1), k=number(2)))
