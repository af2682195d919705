"""The axes that an operator works along."""

from __future__ import annotations

from collections.abc import Callable

from mosaic_deploy.gate.op_support.constraints._constraint import UNKNOWN, Breach, constraint
from mosaic_deploy.gate.op_support.constraints._reading import given, numbers, shape_of, stored_integers
from mosaic_deploy.graph.facts import Node

_UNKNOWN_AXES = Breach("axes that are not stored", certain=False)


@constraint("The operator works along the last axis only.")
def axis_is_last(node: Node) -> Breach | None:
    axis, shape = node.attributes.get("axis", -1), shape_of(node)
    if shape is None and axis != -1:
        return UNKNOWN
    last = len(shape or ()) - 1
    return None if axis in (-1, last) else Breach(f"axis {axis} of {last + 1}")


@constraint("The axis that the operator works along is longer than 1.")
def axis_has_several_numbers(node: Node) -> Breach | None:
    axis, shape = node.attributes.get("axis", -1), shape_of(node)
    if shape is None or not isinstance(axis, int):
        return UNKNOWN
    if not -len(shape) <= axis < len(shape):
        return Breach(f"axis {axis} of {len(shape)}") if shape else None
    return Breach(f"axis {axis} of {list(shape)}") if shape[axis] < 2 else None


@constraint("The axis that the second input names is a stored one, the last.")
def axis_input_is_last(node: Node) -> Breach | None:
    named, shape = given(node, 1), shape_of(node)
    if named is None or named.value is None or shape is None or named.value.size != 1:
        return _UNKNOWN_AXES
    axis = stored_integers(named)[0]
    return None if axis in (-1, len(shape) - 1) else Breach(f"axis {axis} of {len(shape)}")


@constraint("The last axis is reduced, and no other.")
def only_last_axis_is_reduced(node: Node) -> Breach | None:
    return _reduces_other_than(node, lambda rank: range(rank - 1, rank))


@constraint("The channels are reduced, and no other axis.")
def only_channels_are_reduced(node: Node) -> Breach | None:
    return _reduces_other_than(node, lambda _: range(1, 2))


@constraint("All axes behind the channels are reduced, and no others.")
def only_height_and_width_are_reduced(node: Node) -> Breach | None:
    return _reduces_other_than(node, lambda rank: range(2, rank))


@constraint("The first axis is not reduced.")
def batch_is_not_reduced(node: Node) -> Breach | None:
    axes = _reduced(node)
    if axes is None:
        return _UNKNOWN_AXES
    return Breach(f"axes {list(axes)}") if 0 in axes else None


def _reduces_other_than(node: Node, wanted: Callable[[int], range]) -> Breach | None:
    """Compare the axes that are reduced with those wanted of a rank; a single number has none."""
    axes, shape = _reduced(node), shape_of(node)
    if axes is None or shape is None:
        return _UNKNOWN_AXES
    rank = len(shape)
    same = axes == (tuple(wanted(rank)) if rank else ())
    return None if same else Breach(f"axes {list(axes)} of {rank}")


def _reduced(node: Node) -> tuple[int, ...] | None:
    """Axes that a reduction works along, counted from the front; None where the graph does not tell."""
    shape, named = shape_of(node), given(node, 1)
    if shape is None or (named is not None and named.value is None):
        return None
    stated = numbers(node, "axes") if named is None else stored_integers(named)
    if not stated and node.attributes.get("noop_with_empty_axes", 0):
        return ()
    return tuple(sorted(axis % max(len(shape), 1) for axis in stated)) or tuple(range(len(shape)))
