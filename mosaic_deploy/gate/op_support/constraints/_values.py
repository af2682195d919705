"""Numbers that the graph stores: pads, steps, indices, scales, bounds."""

from __future__ import annotations

import math
from collections.abc import Callable

from mosaic_deploy.gate.op_support.constraints._constraint import Breach, constraint
from mosaic_deploy.gate.op_support.constraints._reading import (
    given,
    numbers,
    output_shape,
    shape_of,
    stored_integers,
    stored_number,
)
from mosaic_deploy.graph.facts import Node


@constraint("A Pad that lengthens rows at their end, and another axis too, also pads the rows' beginning.")
def long_rows_begin_with_padding(node: Node) -> Breach | None:
    stored = given(node, 1)
    pads = stored.value if stored is not None else None
    if pads is None or pads.ndim != 1 or len(pads) % 2:
        return Breach("pads that are not stored", certain=False)
    rank = len(pads) // 2
    begins, ends = pads[:rank], pads[rank:]
    if rank in (2, 3, 4) and begins[-1] <= 0 and ends[-1] > 0 and any(e > 0 for e in ends[:-1]):
        return Breach(f"pads {[int(p) for p in pads]}")
    return None


@constraint("Nothing is cut off by negative pads.")
def pads_are_not_negative(node: Node) -> Breach | None:
    stated = numbers(node, "pads")
    if stated:
        return Breach(f"pads {list(stated)}") if min(stated) < 0 else None
    return _below(node, place=1, least=0)


@constraint("Rows keep their length: nothing is added before or behind the last axis.")
def rows_are_not_padded(node: Node) -> Breach | None:
    stored = given(node, 1)
    pads = numbers(node, "pads") or (stored_integers(stored) if stored is not None else ())
    axes = given(node, 3)
    if not pads or len(pads) % 2 or axes is not None:
        return Breach("pads that are not stored for every axis", certain=False)
    ends = pads[len(pads) // 2 - 1], pads[-1]
    return Breach(f"pads {list(pads)}") if any(ends) else None


@constraint("Pads with zeros: the third input is left out, or a stored 0.")
def padding_is_zero(node: Node) -> Breach | None:
    return _padding(node, lambda value: value == 0)


@constraint("Pads with a number that is not negative, and is stored or left out.")
def padding_is_not_negative(node: Node) -> Breach | None:
    return _padding(node, lambda value: value >= 0)


def _padding(node: Node, fine: Callable[[float], bool]) -> Breach | None:
    stated: object = node.attributes.get("value", 0.0)
    value = given(node, 2)
    if value is not None:
        stated = stored_number(value)
        if stated is None:
            return Breach(f"'{value.name}' is no stored number", certain=not value.constant)
    return None if isinstance(stated, int | float) and fine(stated) else Breach(f"padding with {stated}")


@constraint("No axis is sliced backwards.")
def steps_are_positive(node: Node) -> Breach | None:
    return _below(node, place=4, least=1)


@constraint("Every step is 1.")
def steps_are_one(node: Node) -> Breach | None:
    steps = given(node, 4)
    if steps is None:
        return None
    if steps.value is None:
        return Breach(f"'{steps.name}' is not stored", certain=False)
    return None if (steps.value == 1).all() else Breach(f"steps {list(stored_integers(steps))}")


@constraint("The indices are stored, and none counts from the end.")
def indices_are_not_negative(node: Node) -> Breach | None:
    return _below(node, place=1, least=0)


def _below(node: Node, *, place: int, least: int) -> Breach | None:
    """Find a stored number of an input that is too small; an input that is left out has none."""
    tensor = given(node, place)
    if tensor is None:
        return None
    if tensor.value is None:
        return Breach(f"'{tensor.name}', whose values are not stored", certain=False)
    low = tensor.value.min(initial=least)
    return Breach(f"{low} in '{tensor.name}'") if low < least else None


@constraint("The sides after are exactly those before times the scales, or sizes are given instead.")
def scales_are_exact(node: Node) -> Breach | None:
    before, after = shape_of(node), output_shape(node)
    stored = given(node, 1 if node.version == 10 else 2)
    if stored is None or stored.shape == (0,):
        return None  # sizes are given, which make their own scales
    if before is None or after is None or stored.value is None or stored.value.size != len(before):
        return Breach("scales that are not stored", certain=False)
    scales = [float(scale) for scale in stored.value.reshape(-1)]
    exact = len(before) == len(after) and all(
        math.isclose(b * scale, a, rel_tol=1e-5) for b, scale, a in zip(before, scales, after, strict=True)
    )
    words = [f"{scale:g}" for scale in scales]
    return None if exact else Breach(f"{list(before)} to {list(after)} by scales {words}")


@constraint("The bounds are stored: 0 and 6, or 0 and none.")
def bounds_are_those_of_relu(node: Node) -> Breach | None:
    ends = []
    for place, name in ((1, "min"), (2, "max")):
        stated: object = node.attributes.get(name)
        tensor = given(node, place)
        if tensor is not None:
            stated = stored_number(tensor)
            if stated is None:
                return Breach(f"'{tensor.name}' is computed", certain=not tensor.constant)
        ends.append(stated if isinstance(stated, float) and abs(stated) < 1e38 else None)
    return None if ends in ([0.0, None], [0.0, 6.0]) else Breach(f"bounds {ends[0]} and {ends[1]}")


@constraint("The bounds are not 0 and 1.")
def bounds_are_not_zero_and_one(node: Node) -> Breach | None:
    ends: list[object] = []
    for place, name in ((1, "min"), (2, "max")):
        tensor = given(node, place)
        end = node.attributes.get(name) if tensor is None else stored_number(tensor)
        if tensor is not None and end is None:
            return Breach(f"'{tensor.name}' is not stored", certain=False) if tensor.constant else None
        ends.append(end)
    return Breach("bounds 0 and 1") if ends == [0.0, 1.0] else None


@constraint("The exponent is stored, and is 2 or 3.")
def exponent_is_two_or_three(node: Node) -> Breach | None:
    exponent = given(node, 1)
    if exponent is None or not exponent.constant:
        return Breach("a computed exponent")
    if exponent.value is None:
        return Breach(f"'{exponent.name}' is not stored", certain=False)
    found = {float(number) for number in exponent.value.reshape(-1)}
    return None if found in ({2.0}, {3.0}) else Breach(f"exponents {sorted(found)[:4]}")
