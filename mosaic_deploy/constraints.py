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
_UNKNOWN_AXES = Breach("axes that are not stored", certain=False)


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


def _batch_is_kept(node: Node) -> Breach | None:
    before, after = _shape(node), node.outputs[0].shape
    if before is None or after is None:
        return _UNKNOWN
    return None if before[:1] == after[:1] else Breach(f"{list(before)} to {list(after)}")


def _parts_are_equal(node: Node) -> Breach | None:
    shapes = [tensor.shape for tensor in node.outputs]
    if None in shapes:
        return _UNKNOWN
    return None if len(set(shapes)) == 1 else Breach(f"parts {[list(shape or ()) for shape in shapes]}")


def _steps_are_positive(node: Node) -> Breach | None:
    return _stored_are_at_least(node, 4, 1)


def _pads_are_not_negative(node: Node) -> Breach | None:
    stated = _numbers(node, "pads")
    if stated:
        return Breach(f"pads {list(stated)}") if min(stated) < 0 else None
    return _stored_are_at_least(node, 1, 0)


def _indices_are_not_negative(node: Node) -> Breach | None:
    return _stored_are_at_least(node, 1, 0)


def _stored_are_at_least(node: Node, place: int, least: int) -> Breach | None:
    """Whether an input's stored numbers are that large; a missing input always is."""
    tensor = node.inputs[place] if len(node.inputs) > place else None
    if tensor is None:
        return None
    if tensor.value is None:
        return Breach(f"'{tensor.name}', whose values are not stored", certain=False)
    low = tensor.value.min(initial=least)
    return Breach(f"{low} in '{tensor.name}'") if low < least else None


def _indices_form_a_list(node: Node) -> Breach | None:
    indices = node.inputs[1] if len(node.inputs) > 1 else None
    if indices is None or indices.shape is None:
        return _UNKNOWN
    return None if indices.rank == 1 else Breach(f"indices of rank {indices.rank}")


def _scale_is_one_number(node: Node) -> Breach | None:
    scale = node.inputs[1] if len(node.inputs) > 1 else None
    if scale is None or scale.shape is None:
        return _UNKNOWN
    return None if math.prod(scale.shape) == 1 else Breach(f"{math.prod(scale.shape)} scales")


def _ranks_are_four_at_most(node: Node) -> Breach | None:
    for tensor in (*node.inputs, *node.outputs):
        if tensor is not None and tensor.rank > 4:
            return Breach(f"'{tensor.name}' has rank {tensor.rank}")
    return None


def _padding_is_counted(node: Node) -> Breach | None:
    pads = _numbers(node, "pads")
    same = str(node.attributes.get("auto_pad", "NOTSET")).startswith("SAME")
    if node.attributes.get("count_include_pad", 0) == 1 or not (any(pads) or same):
        return None
    return Breach(f"pads {list(pads)} that do not count" if any(pads) else "padding that does not count")


def _shape(node: Node) -> tuple[int, ...] | None:
    data: Tensor | None = node.inputs[0] if node.inputs else None
    return data.shape if data is not None else None


def _numbers(node: Node, name: str) -> tuple[int, ...]:
    value = node.attributes.get(name, ())
    return tuple(v for v in value if isinstance(v, int)) if isinstance(value, tuple) else ()


def _first_input_is_computed(node: Node) -> Breach | None:
    first = node.inputs[0] if node.inputs else None
    return Breach(f"'{first.name}' is a constant") if first is not None and first.constant else None


def _inputs_are_computed(node: Node) -> Breach | None:
    found = next((tensor for tensor in node.inputs if tensor is not None and tensor.constant), None)
    return Breach(f"'{found.name}' is a constant") if found else None


def _inputs_share_a_shape(node: Node) -> Breach | None:
    shapes = [tensor.shape for tensor in node.inputs if tensor is not None]
    known = [shape for shape in shapes if shape is not None]
    if len({*known}) > 1:
        return Breach(" and ".join(str(list(shape)) for shape in known))
    return None if len(known) == len(shapes) else _UNKNOWN


def _inputs_share_a_rank(node: Node) -> Breach | None:
    shapes = [tensor.shape for tensor in node.inputs if tensor is not None]
    ranks = [len(shape) for shape in shapes if shape is not None]
    if len({*ranks}) > 1:
        return Breach("ranks " + " and ".join(map(str, ranks)))
    return None if len(ranks) == len(shapes) else _UNKNOWN


def _first_input_has_the_output_shape(node: Node) -> Breach | None:
    before, after = _shape(node), node.outputs[0].shape
    if before is None or after is None:
        return _UNKNOWN
    return None if before == after else Breach(f"{list(before)} to {list(after)}")


def _second_input_is_one_number(node: Node) -> Breach | None:
    second = node.inputs[1] if len(node.inputs) > 1 else None
    if second is None or second.shape is None:
        return _UNKNOWN
    return None if math.prod(second.shape) == 1 else Breach(f"a second input of shape {list(second.shape)}")


def _second_input_is_one_per_channel(node: Node) -> Breach | None:
    second, data = node.inputs[1] if len(node.inputs) > 1 else None, _shape(node)
    if second is None or second.shape is None or data is None:
        return _UNKNOWN
    full = (1,) * (len(data) - second.rank) + second.shape
    fits = len(full) == len(data) > 1 and full[1] == data[1] and math.prod(full) == full[1]
    return None if fits else Breach(f"{list(second.shape)} for data of shape {list(data)}")


def _inputs_are_two(node: Node) -> Breach | None:
    count = len([tensor for tensor in node.inputs if tensor is not None])
    return None if count == 2 else Breach(f"{count} inputs")


def _only_last_axis_is_reduced(node: Node) -> Breach | None:
    return _reduces(node, first=-1, last=-1)


def _only_channels_are_reduced(node: Node) -> Breach | None:
    return _reduces(node, first=1, last=1)


def _only_height_and_width_are_reduced(node: Node) -> Breach | None:
    return _reduces(node, first=2, last=-1)


def _batch_is_not_reduced(node: Node) -> Breach | None:
    axes, shape = _reduced(node), _shape(node)
    if axes is None or shape is None:
        return _UNKNOWN_AXES
    return Breach(f"axes {list(axes)}") if 0 in axes else None


def _reduces(node: Node, *, first: int, last: int) -> Breach | None:
    axes, shape = _reduced(node), _shape(node)
    if axes is None or shape is None:
        return _UNKNOWN_AXES
    rank = len(shape)
    wanted = (
        range(first % rank if first < 0 else first, (last % rank if last < 0 else last) + 1) if rank else ()
    )
    return None if axes == tuple(wanted) else Breach(f"axes {list(axes)} of {rank}")


def _reduced(node: Node) -> tuple[int, ...] | None:
    """Axes that a reduction works along, counted from the front; None where the graph does not tell."""
    shape = _shape(node)
    given = node.inputs[1] if len(node.inputs) > 1 else None
    if shape is None or (given is not None and given.value is None):
        return None
    stated = _numbers(node, "axes") if given is None else tuple(int(a) for a in _flat(given))
    if not stated and node.attributes.get("noop_with_empty_axes", 0):
        return ()
    return tuple(sorted(axis % max(len(shape), 1) for axis in stated)) or tuple(range(len(shape)))


def _axis_input_is_last(node: Node) -> Breach | None:
    given, shape = node.inputs[1] if len(node.inputs) > 1 else None, _shape(node)
    if given is None or given.value is None or shape is None or given.value.size != 1:
        return _UNKNOWN_AXES
    axis = int(_flat(given)[0])
    return None if axis in (-1, len(shape) - 1) else Breach(f"axis {axis} of {len(shape)}")


def _flat(tensor: Tensor) -> tuple[int, ...]:
    return () if tensor.value is None else tuple(int(number) for number in tensor.value.reshape(-1))


def _groups_are_channels(node: Node) -> Breach | None:
    image, group = _shape(node), node.attributes.get("group", 1)
    if image is None or len(image) < 2:
        return _UNKNOWN
    return None if group == image[1] else Breach(f"{group} groups of {image[1]} channels")


def _groups_hold_several_channels(node: Node) -> Breach | None:
    image, group = _shape(node), node.attributes.get("group", 1)
    if image is None or len(image) < 2 or not isinstance(group, int):
        return _UNKNOWN
    return None if image[1] > group else Breach(f"{group} groups of {image[1]} channels")


def _pads_are_symmetric(node: Node) -> Breach | None:
    pads = _numbers(node, "pads")
    half = len(pads) // 2
    return None if pads[:half] == pads[half:] else Breach(f"pads {list(pads)}")


def _sizes_shrink_by_whole_factors(node: Node) -> Breach | None:
    before, after = _shape(node), node.outputs[0].shape
    if before is None or after is None:
        return _UNKNOWN
    if any(b % a if a else b for b, a in zip(before, after, strict=False)):
        return Breach(f"{list(before)} to {list(after)}")
    return None


def _scales_are_exact(node: Node) -> Breach | None:
    before, after = _shape(node), node.outputs[0].shape
    place = 1 if node.version == 10 else 2
    given = node.inputs[place] if len(node.inputs) > place else None
    if given is None or given.shape == (0,):
        return None  # sizes are given, which make their own scales
    if before is None or after is None or given.value is None or given.value.size != len(before):
        return Breach("scales that are not stored", certain=False)
    scales = [float(scale) for scale in given.value.reshape(-1)]
    exact = all(
        math.isclose(b * scale, a, rel_tol=1e-5) for b, scale, a in zip(before, scales, after, strict=True)
    )
    return (
        None if exact else Breach(f"{list(before)} to {list(after)} by scales {[f'{x:g}' for x in scales]}")
    )


def _batches_are_equal(node: Node) -> Breach | None:
    shapes = [tensor.shape for tensor in node.inputs[:2] if tensor is not None]
    left, right = (*shapes, None, None)[:2]
    if left is None or right is None:
        return _UNKNOWN
    return None if left[:-2] == right[:-2] else Breach(f"{list(left)} times {list(right)}")


def _bounds_are_those_of_relu(node: Node) -> Breach | None:
    ends = []
    for place, name in ((1, "min"), (2, "max")):
        stated: object = node.attributes.get(name)
        tensor = node.inputs[place] if len(node.inputs) > place else None
        if tensor is not None:
            if tensor.value is None or tensor.value.size != 1:
                return Breach(f"'{tensor.name}' is computed", certain=not tensor.constant)
            stated = float(tensor.value.reshape(())[()])
        ends.append(stated if isinstance(stated, float) and abs(stated) < 1e38 else None)
    return None if ends in ([0.0, None], [0.0, 6.0]) else Breach(f"bounds {ends[0]} and {ends[1]}")


def _opset_is_10_at_least(node: Node) -> Breach | None:
    return None if node.opset >= 10 else Breach(f"opset {node.opset}")


def _opset_is_13_at_least(node: Node) -> Breach | None:
    return None if node.opset >= 13 else Breach(f"opset {node.opset}")


def _second_input_is_a_matrix(node: Node) -> Breach | None:
    second = node.inputs[1] if len(node.inputs) > 1 else None
    if second is None or second.shape is None:
        return _UNKNOWN
    return None if second.rank == 2 else Breach(f"'{second.name}' has rank {second.rank}")


def _stored_matrix_is_no_batch(node: Node) -> Breach | None:
    second = node.inputs[1] if len(node.inputs) > 1 else None
    if second is None or not second.constant:
        return None
    return Breach(f"'{second.name}' is stored and has rank {second.rank}") if second.rank > 2 else None


def _bias_is_a_row(node: Node) -> Breach | None:
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if bias is None:
        return None
    columns = (node.outputs[0].shape or (None,))[-1:]
    if not bias.constant or bias.shape is None or columns == (None,):
        return Breach(f"'{bias.name}' is no stored list", certain=False)
    return None if bias.shape == columns else Breach(f"'{bias.name}' of {list(bias.shape)}")


def _padding_is_zero(node: Node) -> Breach | None:
    stated: object = node.attributes.get("value", 0.0)
    value = node.inputs[2] if len(node.inputs) > 2 else None
    if value is not None:
        if value.value is None or value.value.size != 1:
            return Breach(f"'{value.name}' is no stored number", certain=not value.constant)
        stated = float(value.value.reshape(())[()])
    return None if stated == 0.0 else Breach(f"padding with {stated}")


def _every_axis_has_pads(node: Node) -> Breach | None:
    axes = node.inputs[3] if len(node.inputs) > 3 else None
    return Breach(f"axes in '{axes.name}'") if axes is not None else None


def _exponent_is_two_or_three(node: Node) -> Breach | None:
    exponent = node.inputs[1] if len(node.inputs) > 1 else None
    if exponent is None or not exponent.constant:
        return Breach("a computed exponent")
    if exponent.value is None:
        return Breach(f"'{exponent.name}' is not stored", certain=False)
    found = {float(number) for number in exponent.value.reshape(-1)}
    return None if found in ({2.0}, {3.0}) else Breach(f"exponents {sorted(found)[:4]}")


def _no_image_is_reshaped(node: Node) -> Breach | None:
    before, after = _shape(node), node.outputs[0].shape
    if before is None or after is None:
        return _UNKNOWN
    return Breach(f"{list(before)} to {list(after)}") if 4 in (len(before), len(after)) else None


def _steps_are_one(node: Node) -> Breach | None:
    steps = node.inputs[4] if len(node.inputs) > 4 else None
    if steps is None:
        return None
    if steps.value is None:
        return Breach(f"'{steps.name}' is not stored", certain=False)
    return (
        None
        if (steps.value == 1).all()
        else Breach(f"steps {[int(step) for step in steps.value.reshape(-1)]}")
    )


def _output_is_one_row(node: Node) -> Breach | None:
    shape = node.outputs[0].shape
    if shape is None:
        return _UNKNOWN
    return None if sum(side > 1 for side in shape) <= 1 else Breach(f"an output of {list(shape)}")


def _output_has_16000_numbers_at_most(node: Node) -> Breach | None:
    shape = node.outputs[0].shape
    if shape is None:
        return _UNKNOWN
    count = math.prod(shape)
    return None if count <= 16_000 else Breach(f"an output of {count} numbers")


def _padding_is_that_of_tflite(node: Node) -> Breach | None:
    pads = _numbers(node, "pads")
    if not any(pads) or node.attributes.get("auto_pad", "NOTSET") != "NOTSET":
        return None
    same = _same_pads(node)
    if same is None:
        return _UNKNOWN
    return None if pads == same else Breach(f"pads {list(pads)}, where TFLite pads {list(same)}")


def _windows_are_not_padded(node: Node) -> Breach | None:
    automatic = node.attributes.get("auto_pad", "NOTSET")
    pads = _numbers(node, "pads") if automatic == "NOTSET" else ()
    if str(automatic).startswith("SAME"):
        same = _same_pads(node)
        if same is None:
            return _UNKNOWN
        pads = same
    return Breach(f"pads {list(pads)}") if any(pads) else None


def _same_pads(node: Node) -> tuple[int, ...] | None:
    """What ``SAME_UPPER`` means: the pads that give ceil(side / stride) windows, an odd one at the end."""
    image, kernel = _shape(node), _numbers(node, "kernel_shape")
    if image is None or not kernel:
        return None
    strides = _numbers(node, "strides") or (1,) * len(kernel)
    dilations = _numbers(node, "dilations") or (1,) * len(kernel)
    totals = [
        max((-(-side // stride) - 1) * stride + (size - 1) * step + 1 - side, 0)
        for side, size, stride, step in zip(image[2:], kernel, strides, dilations, strict=False)
    ]
    return (*(total // 2 for total in totals), *(total - total // 2 for total in totals))


def _strides_are_within_windows(node: Node) -> Breach | None:
    kernel, strides = _numbers(node, "kernel_shape"), _numbers(node, "strides")
    if any(stride > side for side, stride in zip(kernel, strides, strict=False)):
        return Breach(f"strides {list(strides)} of windows {list(kernel)}")
    return None


def _inputs_are_matrices(node: Node) -> Breach | None:
    for tensor in node.inputs:
        if tensor is not None and tensor.shape is None:
            return _UNKNOWN
        if tensor is not None and tensor.rank < 2:
            return Breach(f"'{tensor.name}' has rank {tensor.rank}")
    return None


def _bounds_are_not_zero_and_one(node: Node) -> Breach | None:
    ends: list[object] = []
    for place, name in ((1, "min"), (2, "max")):
        tensor = node.inputs[place] if len(node.inputs) > place else None
        if tensor is None:
            ends.append(node.attributes.get(name))
        elif tensor.value is None or tensor.value.size != 1:
            return Breach(f"'{tensor.name}' is not stored", certain=False) if tensor.constant else None
        else:
            ends.append(float(tensor.value.reshape(())[()]))
    return Breach("bounds 0 and 1") if ends == [0.0, 1.0] else None


def _axis_has_several_numbers(node: Node) -> Breach | None:
    axis, shape = node.attributes.get("axis", -1), _shape(node)
    if shape is None or not isinstance(axis, int):
        return _UNKNOWN
    return Breach(f"axis {axis} of {list(shape)}") if shape and shape[axis] < 2 else None


def _only_first_output_is_asked_for(node: Node) -> Breach | None:
    return None if len(node.outputs) == 1 else Breach(f"{len(node.outputs)} outputs")


def _channels_and_length_differ(node: Node) -> Breach | None:
    shape = _shape(node)
    if shape is None:
        return _UNKNOWN
    return Breach(f"{shape[1]} of each") if len(shape) == 3 and shape[1] == shape[2] else None


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
    Constraint(
        "batch_is_kept",
        "The output's first axis is as long as the input's.",
        _batch_is_kept,
    ),
    Constraint(
        "parts_are_equal",
        "Every output has the same shape.",
        _parts_are_equal,
    ),
    Constraint(
        "steps_are_positive",
        "No axis is sliced backwards.",
        _steps_are_positive,
    ),
    Constraint(
        "pads_are_not_negative",
        "Nothing is cut off by negative pads.",
        _pads_are_not_negative,
    ),
    Constraint(
        "indices_are_not_negative",
        "The indices are stored, and none counts from the end.",
        _indices_are_not_negative,
    ),
    Constraint(
        "indices_form_a_list",
        "The indices have one dimension.",
        _indices_form_a_list,
    ),
    Constraint(
        "scale_is_one_number",
        "There is one scale for the whole tensor.",
        _scale_is_one_number,
    ),
    Constraint(
        "ranks_are_four_at_most",
        "Tensors have at most four dimensions.",
        _ranks_are_four_at_most,
    ),
    Constraint(
        "first_input_is_computed",
        "The first input is no constant.",
        _first_input_is_computed,
    ),
    Constraint(
        "inputs_are_computed",
        "No input is a constant.",
        _inputs_are_computed,
    ),
    Constraint(
        "inputs_share_a_shape",
        "All inputs have the same shape.",
        _inputs_share_a_shape,
    ),
    Constraint(
        "inputs_share_a_rank",
        "All inputs have the same number of dimensions.",
        _inputs_share_a_rank,
    ),
    Constraint(
        "first_input_has_the_output_shape",
        "The first input has the shape of the output: only others are broadcast.",
        _first_input_has_the_output_shape,
    ),
    Constraint(
        "second_input_is_one_number",
        "The second input holds one number.",
        _second_input_is_one_number,
    ),
    Constraint(
        "second_input_is_one_per_channel",
        "The second input holds one number per channel of the first.",
        _second_input_is_one_per_channel,
    ),
    Constraint(
        "inputs_are_two",
        "The operator has two inputs.",
        _inputs_are_two,
    ),
    Constraint(
        "only_last_axis_is_reduced",
        "The last axis is reduced, and no other.",
        _only_last_axis_is_reduced,
    ),
    Constraint(
        "only_channels_are_reduced",
        "The channels are reduced, and no other axis.",
        _only_channels_are_reduced,
    ),
    Constraint(
        "only_height_and_width_are_reduced",
        "All axes behind the channels are reduced, and no others.",
        _only_height_and_width_are_reduced,
    ),
    Constraint(
        "batch_is_not_reduced",
        "The first axis is not reduced.",
        _batch_is_not_reduced,
    ),
    Constraint(
        "axis_input_is_last",
        "The axis that the second input names is a stored one, the last.",
        _axis_input_is_last,
    ),
    Constraint(
        "groups_are_channels",
        "Each input channel is a group of its own.",
        _groups_are_channels,
    ),
    Constraint(
        "groups_hold_several_channels",
        "Each group has two input channels or more.",
        _groups_hold_several_channels,
    ),
    Constraint(
        "pads_are_symmetric",
        "The image is padded as much at its end as at its beginning.",
        _pads_are_symmetric,
    ),
    Constraint(
        "sizes_shrink_by_whole_factors",
        "Each side of the input is a whole multiple of the output's.",
        _sizes_shrink_by_whole_factors,
    ),
    Constraint(
        "scales_are_exact",
        "The sides after are exactly those before times the scales, or sizes are given instead.",
        _scales_are_exact,
    ),
    Constraint(
        "batches_are_equal",
        "Both matrices have the same sides but for the last two.",
        _batches_are_equal,
    ),
    Constraint(
        "bounds_are_those_of_relu",
        "The bounds are stored: 0 and 6, or 0 and none.",
        _bounds_are_those_of_relu,
    ),
    Constraint(
        "opset_is_10_at_least",
        "The model's opset is 10 or later, which has DequantizeLinear.",
        _opset_is_10_at_least,
    ),
    Constraint(
        "opset_is_13_at_least",
        "The model's opset is 13 or later, whose DequantizeLinear takes a scale per channel.",
        _opset_is_13_at_least,
    ),
    Constraint(
        "second_input_is_a_matrix",
        "The second input has two dimensions.",
        _second_input_is_a_matrix,
    ),
    Constraint(
        "stored_matrix_is_no_batch",
        "A second input that is stored has two dimensions at most.",
        _stored_matrix_is_no_batch,
    ),
    Constraint(
        "bias_is_a_row",
        "The third input is left out, or a stored list with one number per column of the output.",
        _bias_is_a_row,
    ),
    Constraint(
        "padding_is_zero",
        "Pads with zeros: the third input is left out, or a stored 0.",
        _padding_is_zero,
    ),
    Constraint(
        "every_axis_has_pads",
        "Every axis has its pads: the fourth input is left out.",
        _every_axis_has_pads,
    ),
    Constraint(
        "exponent_is_two_or_three",
        "The exponent is stored, and is 2 or 3.",
        _exponent_is_two_or_three,
    ),
    Constraint(
        "no_image_is_reshaped",
        "Neither input nor output has four dimensions.",
        _no_image_is_reshaped,
    ),
    Constraint(
        "steps_are_one",
        "Every step is 1.",
        _steps_are_one,
    ),
    Constraint(
        "padding_is_counted",
        "An average pool that pads counts its padding (count_include_pad 1).",
        _padding_is_counted,
    ),
    Constraint(
        "output_is_one_row",
        "All sides of the output but one are 1.",
        _output_is_one_row,
    ),
    Constraint(
        "output_has_16000_numbers_at_most",
        "The output has at most 16,000 numbers.",
        _output_has_16000_numbers_at_most,
    ),
    Constraint(
        "padding_is_that_of_tflite",
        "The image is padded not at all, or as TFLite's SAME pads it: evenly, an odd pixel at its end.",
        _padding_is_that_of_tflite,
    ),
    Constraint(
        "windows_are_not_padded",
        "No window reaches over the image's edge.",
        _windows_are_not_padded,
    ),
    Constraint(
        "strides_are_within_windows",
        "No stride is longer than the window's side.",
        _strides_are_within_windows,
    ),
    Constraint(
        "inputs_are_matrices",
        "Every input has two dimensions or more.",
        _inputs_are_matrices,
    ),
    Constraint(
        "bounds_are_not_zero_and_one",
        "The bounds are not 0 and 1.",
        _bounds_are_not_zero_and_one,
    ),
    Constraint(
        "axis_has_several_numbers",
        "The axis that the operator works along is longer than 1.",
        _axis_has_several_numbers,
    ),
    Constraint(
        "only_first_output_is_asked_for",
        "Only the first output is asked for.",
        _only_first_output_is_asked_for,
    ),
    Constraint(
        "channels_and_length_differ",
        "Of three dimensions, the second and third are not as long as each other.",
        _channels_and_length_differ,
    ),
)

CONSTRAINTS: Mapping[str, Constraint] = {constraint.name: constraint for constraint in _ALL}
"""Every constraint by its name."""
