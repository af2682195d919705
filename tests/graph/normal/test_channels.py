"""Channels in another order before a convolution."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.graph.normal.same import becomes, stays
from tests.graph.passes.agreement import image, random

GATHER = "a = Gather <axis = 1> (image, mixed) "


@pytest.mark.parametrize("order", [[3, 0, 2, 1], [-1, 0, -2, 1]], ids=["counted", "from-the-end"])
def test_an_order_becomes_one_of_weights(order: list[int]) -> None:
    becomes(image(f"{GATHER} y = Conv (a, w)", mixed=order, w=random(5, 4, 3, 3)), "Conv")


def test_several_readers_with_one_weight() -> None:
    body = f"{GATHER} b = Conv (a, w) c = Conv <strides = [1, 1]> (a, v) d = Conv (image, w) e = Sub (b, c) "
    becomes(
        image(f"{body} y = Sub (e, d)", mixed=[1, 3, 0, 2], w=random(5, 4, 1, 1), v=random(5, 4, 1, 1)),
        "Conv", "Conv", "Conv", "Sub", "Sub",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("body", "order"),
    [
        pytest.param(f"{GATHER} y = Conv <group = 4> (a, g)", [3, 0, 2, 1], id="grouped"),
        pytest.param(f"{GATHER} b = Relu (a) y = Conv (b, w)", [3, 0, 2, 1], id="not-beside"),
        pytest.param(
            f"{GATHER} b = Conv (a, w) c = Conv (a, g2) y = Add (b, c)", [3, 0, 2, 1], id="a-group-too"
        ),
        pytest.param(f"{GATHER} y = Conv (a, w3)", [3, 0, 2], id="some"),
        pytest.param(f"{GATHER} y = Conv (a, w)", [3, 0, 2, 2], id="twice"),
        pytest.param("a = Gather <axis = 2> (image, rows) y = Conv (a, w)", [0], id="rows"),
    ],
)
def test_what_is_no_order_of_all_channels_stays(body: str, order: list[int]) -> None:
    weights: dict[str, Any] = {
        "w": random(5, 4, 1, 1), "g": random(4, 1, 1, 1), "g2": random(5, 4, 1, 1)[:, :2][[0, 1, 2, 3]],
        "w3": random(5, 3, 1, 1),
    }  # fmt: skip
    if "g2" in body:
        body = body.replace("Conv (a, g2)", "Conv <group = 2> (a, g2)").replace("(a, w)", "(a, w4)")
        weights["w4"] = random(4, 4, 1, 1)
    named: dict[str, Any] = {name: value for name, value in weights.items() if f", {name})" in body}
    lists = {"mixed": order} if "mixed" in body else {"rows": np.array([5, 4, 3, 2, 1, 0]).tolist()}
    stays(image(body, **named, **lists))
