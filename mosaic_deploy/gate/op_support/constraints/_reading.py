"""What predicates read off a node."""

from __future__ import annotations

from mosaic_deploy.graph.facts import Node, Tensor


def given(node: Node, place: int) -> Tensor | None:
    """Return the input at a place, counted from 0; None where it is left out."""
    return node.inputs[place] if len(node.inputs) > place else None


def shape_of(node: Node) -> tuple[int, ...] | None:
    """Return the first input's shape; None where it is not known."""
    first = given(node, 0)
    return first.shape if first is not None else None


def output_shape(node: Node) -> tuple[int, ...] | None:
    """Return the first output's shape; None where it is not known, or there is no output."""
    return node.outputs[0].shape if node.outputs else None


def numbers(node: Node, name: str) -> tuple[int, ...]:
    """Return an attribute that is a list of integers; empty where the node has no such."""
    value = node.attributes.get(name, ())
    return tuple(v for v in value if isinstance(v, int)) if isinstance(value, tuple) else ()


def stored_number(tensor: Tensor) -> float | None:
    """Return a tensor's one number; None where it is not stored or not one."""
    if tensor.value is None or tensor.value.size != 1:
        return None
    return float(tensor.value.reshape(())[()])


def stored_integers(tensor: Tensor) -> tuple[int, ...]:
    """Return a tensor's numbers as integers; empty where they are not stored."""
    return () if tensor.value is None else tuple(int(number) for number in tensor.value.reshape(-1))
