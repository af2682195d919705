"""Every second pixel four times, joined."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from tests.graph.normal.same import becomes, stays
from tests.graph.passes.agreement import image, random

ROWS_FIRST = ((0, 0), (0, 1), (1, 0), (1, 1))
YOLO = ((0, 0), (1, 0), (0, 1), (1, 1))
LISTS: dict[str, Any] = {
    "both": [2, 3], "steps": [2, 2], "step": [2], "rows": [2], "columns": [3], "far": [10**9] * 2,
    "away": [10**9], "zero": [0], "one": [1], "exact": [6, 8],
}  # fmt: skip


def parts(places: tuple[tuple[int, int], ...], *, ends: str = "far") -> tuple[str, dict[str, Any]]:
    """The slices, and the constants that they name."""
    lines = [f"p{n} = Slice (image, s{n}, {ends}, both, steps)" for n in range(len(places))]
    names = ", ".join(f"p{n}" for n in range(len(places)))
    starts = {f"s{n}": list(place) for n, place in enumerate(places)}
    return f"{' '.join(lines)} j = Concat <axis = 1> ({names}) ", starts


def graph(body: str, **more: Any) -> onnx.ModelProto:
    held = {**LISTS, **more}
    named = {
        name: value
        for name, value in held.items()
        if any(f"{e}{name}{f}" in body for e in " (" for f in ",)")
    }
    return image(body, **named)


@pytest.mark.parametrize("ends", ["far", "exact"])
def test_rows_first_is_one_operator(ends: str) -> None:
    body, starts = parts(ROWS_FIRST, ends=ends)
    becomes(graph(f"{body} y = Relu (j)", **starts), "SpaceToDepth", "Relu")


def test_another_order_goes_into_the_weights() -> None:
    body, starts = parts(YOLO)
    becomes(graph(f"{body} y = Conv (j, w)", w=random(5, 16, 3, 3), **starts), "SpaceToDepth", "Conv")


def test_one_axis_after_the_other() -> None:
    """As PyTorch exports x[..., ::2, 1::2]."""
    lines = []
    for n, (row, column) in enumerate(YOLO):
        r, c = ("zero", "one")[row], ("zero", "one")[column]
        lines.append(
            f"r{n} = Slice (image, {r}, away, rows, step) p{n} = Slice (r{n}, {c}, away, columns, step)"
        )
    body = f"{' '.join(lines)} j = Concat <axis = 1> (p0, p1, p2, p3) y = Conv (j, w)"
    becomes(graph(body, w=random(5, 16, 1, 1)), "SpaceToDepth", "Conv")


@pytest.mark.parametrize(
    ("places", "tail", "ends"),
    [
        pytest.param(YOLO, "y = Relu (j)", "far", id="another-order-and-no-convolution"),
        pytest.param(((0, 0), (0, 1), (1, 0), (1, 0)), "y = Relu (j)", "far", id="a-part-twice"),
        pytest.param(((0, 0), (0, 1)), "y = Relu (j)", "far", id="two-parts"),
        pytest.param(ROWS_FIRST, "y = Relu (j)", "short", id="not-to-the-end"),
    ],
)
def test_what_is_no_space_to_depth_stays(places: tuple[tuple[int, int], ...], tail: str, ends: str) -> None:
    body, starts = parts(places, ends=ends)
    stays(graph(f"{body} {tail}", **starts, short=[4, 8]))


def test_it_is_bit_for_bit_the_same() -> None:
    body, starts = parts(ROWS_FIRST)
    made = becomes(graph(f"{body} y = Identity (j)", **starts), "SpaceToDepth")
    assert np.prod([d.dim_value for d in made.graph.output[0].type.tensor_type.shape.dim]) == 4 * 6 * 8
