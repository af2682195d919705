"""What rules may ask of a node beyond types, ranks and attributes: named predicates, one sentence each.

A predicate returns None where it holds, else the breach: what was found. Where a shape or a value is not
known it cannot tell, and says so with ``certain=False``: then neither a rule that accepts nor one that
refuses applies.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mosaic_deploy.nodes import Node, Tensor


@dataclass(frozen=True, slots=True)
class Breach:
    """What was found instead."""

    found: str
    certain: bool = True
    """False where the graph does not tell whether the constraint holds."""


@dataclass(frozen=True, slots=True)
class Constraint:
    """A predicate with the sentence that errors and documentation print."""

    name: str
    sentence: str
    breach: Callable[[Node], Breach | None]


_UNKNOWN = Breach("an unknown shape", certain=False)


def _shapes_are_static(node: Node) -> Breach | None:
    for tensor in node.outputs:
        if tensor.shape is None:
            return Breach(f"'{tensor.name}' has a shape that only running tells")
    return None


def _rank_is_five_at_most(node: Node) -> Breach | None:
    for tensor in (*node.inputs, *node.outputs):
        if tensor is not None and tensor.rank > 5:
            return Breach(f"'{tensor.name}' has rank {tensor.rank}")
    return None


def _parameters_are_constant(node: Node) -> Breach | None:
    for tensor in node.inputs[1:]:
        if tensor is not None and not tensor.constant:
            return Breach(f"'{tensor.name}' is computed")
    return None


def _dilations_are_one(node: Node) -> Breach | None:
    dilations = _numbers(node, "dilations")
    return Breach(f"dilations {list(dilations)}") if any(d != 1 for d in dilations) else None


def _windows_are_whole(node: Node) -> Breach | None:
    if node.attributes.get("ceil_mode", 0) == 0:
        return None
    image, kernel = _shape(node), _numbers(node, "kernel_shape")
    if image is None:
        return _UNKNOWN
    sides, count = image[2:], len(kernel)
    strides = _numbers(node, "strides") or (1,) * count
    pads = _numbers(node, "pads") or (0,) * (2 * count)
    for i, side in enumerate(sides[:count]):
        if (side + pads[i] + pads[i + count] - kernel[i]) % strides[i]:
            return Breach(f"a side of {side} that windows of {kernel[i]} every {strides[i]} overshoot")
    return None


def _halved_windows_share_a_scale(node: Node) -> Breach | None:
    image, kernel = node.data, _numbers(node, "kernel_shape")
    if image is None or image.grid is None or not node.outputs or node.outputs[0].grid is None:
        return None  # where nothing is quantised yet, recipes give a pool its input's scale
    if image.shape is None:
        return _UNKNOWN
    tiles = kernel == _numbers(node, "strides") and not any(_numbers(node, "pads"))
    exact = all(side % k == 0 and side > k for side, k in zip(image.shape[2:], kernel, strict=False))
    if not tiles or not exact or any(k < 4 or k % 2 for k in kernel):
        return None
    before, after = image.grid, node.outputs[0].grid
    if before.scale is None or after.scale is None:
        return Breach("scales that are no stored numbers", certain=False)
    same = math.isclose(before.scale, after.scale, rel_tol=1e-6) and before.zero_point == after.zero_point
    return None if same else Breach(f"scale {before.scale:.4g} in, {after.scale:.4g} out")


def _sizes_grow_by_whole_factors(node: Node) -> Breach | None:
    before, after = _shape(node), node.outputs[0].shape
    if before is None or after is None:
        return _UNKNOWN
    if any(a % b if b else a for b, a in zip(before, after, strict=False)):
        return Breach(f"{list(before)} to {list(after)}")
    return None


def _only_height_and_width_change(node: Node) -> Breach | None:
    before, after = _shape(node), node.outputs[0].shape
    if before is None or after is None:
        return _UNKNOWN
    return None if before[:2] == after[:2] else Breach(f"{list(before)} to {list(after)}")


def _axis_is_last(node: Node) -> Breach | None:
    axis, shape = node.attributes.get("axis", -1), _shape(node)
    if shape is None and axis != -1:
        return _UNKNOWN
    last = len(shape or ()) - 1
    return None if axis in (-1, last) else Breach(f"axis {axis} of {last + 1}")


def _long_rows_begin_with_padding(node: Node) -> Breach | None:
    pads = node.inputs[1].value if len(node.inputs) > 1 and node.inputs[1] is not None else None
    if pads is None or pads.ndim != 1 or len(pads) % 2:
        return Breach("pads that are not stored", certain=False)
    rank = len(pads) // 2
    begins, ends = pads[:rank], pads[rank:]
    if rank in (2, 3, 4) and begins[-1] <= 0 and ends[-1] > 0 and any(e > 0 for e in ends[:-1]):
        return Breach(f"pads {[int(p) for p in pads]}")
    return None


def _opset_is_21_at_least(node: Node) -> Breach | None:
    return None if node.opset >= 21 else Breach(f"opset {node.opset}")


def _shape(node: Node) -> tuple[int, ...] | None:
    data: Tensor | None = node.inputs[0] if node.inputs else None
    return data.shape if data is not None else None


def _numbers(node: Node, name: str) -> tuple[int, ...]:
    value = node.attributes.get(name, ())
    return tuple(v for v in value if isinstance(v, int)) if isinstance(value, tuple) else ()


_ALL = (
    Constraint(
        "shapes_are_static",
        "Every shape is known before the network runs.",
        _shapes_are_static,
    ),
    Constraint(
        "rank_is_five_at_most",
        "Tensors have at most five dimensions.",
        _rank_is_five_at_most,
    ),
    Constraint(
        "parameters_are_constant",
        "Every input but the first is a constant.",
        _parameters_are_constant,
    ),
    Constraint(
        "dilations_are_one",
        "Kernels are not dilated.",
        _dilations_are_one,
    ),
    Constraint(
        "windows_are_whole",
        "With ceil_mode, no pooling window reaches beyond the padded image.",
        _windows_are_whole,
    ),
    Constraint(
        "halved_windows_share_a_scale",
        "A quantised average pool whose windows of even sides, 4 or more, tile the image has one scale and "
        "zero point for input and output.",
        _halved_windows_share_a_scale,
    ),
    Constraint(
        "sizes_grow_by_whole_factors",
        "Each side of the output is a whole multiple of the input's.",
        _sizes_grow_by_whole_factors,
    ),
    Constraint(
        "only_height_and_width_change",
        "Batch and channels keep their size.",
        _only_height_and_width_change,
    ),
    Constraint(
        "axis_is_last",
        "The operator works along the last axis only.",
        _axis_is_last,
    ),
    Constraint(
        "long_rows_begin_with_padding",
        "A Pad that lengthens rows at their end, and another axis too, also pads the rows' beginning.",
        _long_rows_begin_with_padding,
    ),
    Constraint(
        "opset_is_21_at_least",
        "The model's opset is 21 or later, whose own QuantizeLinear takes 16 bits.",
        _opset_is_21_at_least,
    ),
)

CONSTRAINTS: Mapping[str, Constraint] = {constraint.name: constraint for constraint in _ALL}
"""Every constraint by its name."""
