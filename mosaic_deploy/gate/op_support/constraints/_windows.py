"""Kernels and pooling windows: how far apart they lie, how they are padded, how channels are grouped."""

from __future__ import annotations

from mosaic_deploy.gate.op_support.constraints._constraint import UNKNOWN, Breach, constraint
from mosaic_deploy.gate.op_support.constraints._reading import numbers, output_shape, shape_of
from mosaic_deploy.graph.facts import Node


@constraint("Kernels are not dilated.")
def dilations_are_one(node: Node) -> Breach | None:
    dilations = numbers(node, "dilations")
    return Breach(f"dilations {list(dilations)}") if any(d != 1 for d in dilations) else None


@constraint("No stride is longer than the window's side.")
def strides_are_within_windows(node: Node) -> Breach | None:
    kernel, strides = numbers(node, "kernel_shape"), numbers(node, "strides")
    if any(stride > side for side, stride in zip(kernel, strides, strict=False)):
        return Breach(f"strides {list(strides)} of windows {list(kernel)}")
    return None


@constraint("With ceil_mode, no pooling window reaches beyond the padded image.")
def windows_are_whole(node: Node) -> Breach | None:
    if node.attributes.get("ceil_mode", 0) == 0:
        return None
    image, kernel = shape_of(node), numbers(node, "kernel_shape")
    if image is None:
        return UNKNOWN
    sides, count = image[2:], len(kernel)
    strides = numbers(node, "strides") or (1,) * count
    pads = numbers(node, "pads") or (0,) * (2 * count)
    if len(strides) != count or len(pads) != 2 * count or 0 in strides:
        return Breach("strides or pads of another number than sides", certain=False)
    for i, side in enumerate(sides[:count]):
        if (side + pads[i] + pads[i + count] - kernel[i]) % strides[i]:
            return Breach(f"a side of {side} that windows of {kernel[i]} every {strides[i]} overshoot")
    return None


@constraint("An average pool that pads counts its padding (count_include_pad 1).")
def padding_is_counted(node: Node) -> Breach | None:
    pads = numbers(node, "pads")
    same = str(node.attributes.get("auto_pad", "NOTSET")).startswith("SAME")
    if node.attributes.get("count_include_pad", 0) == 1 or not (any(pads) or same):
        return None
    return Breach(f"pads {list(pads)} that do not count" if any(pads) else "padding that does not count")


@constraint("The image is padded as much at its end as at its beginning.")
def pads_are_symmetric(node: Node) -> Breach | None:
    pads = numbers(node, "pads")
    half = len(pads) // 2
    return None if pads[:half] == pads[half:] else Breach(f"pads {list(pads)}")


@constraint("The image is padded not at all, or as TFLite's SAME pads it: evenly, an odd pixel at its end.")
def padding_is_that_of_tflite(node: Node) -> Breach | None:
    pads = numbers(node, "pads")
    if not any(pads) or node.attributes.get("auto_pad", "NOTSET") != "NOTSET":
        return None
    same = _same_pads(node)
    if same is None:
        return UNKNOWN
    return None if pads == same else Breach(f"pads {list(pads)}, where TFLite pads {list(same)}")


@constraint("No window reaches over the image's edge.")
def windows_are_not_padded(node: Node) -> Breach | None:
    automatic = node.attributes.get("auto_pad", "NOTSET")
    pads = numbers(node, "pads") if automatic == "NOTSET" else ()
    if str(automatic).startswith("SAME"):
        same = _same_pads(node)
        if same is None:
            return UNKNOWN
        pads = same
    return Breach(f"pads {list(pads)}") if any(pads) else None


def _same_pads(node: Node) -> tuple[int, ...] | None:
    """What ``SAME_UPPER`` means: the pads that give ceil(side / stride) windows, an odd one at the end."""
    image, kernel = shape_of(node), numbers(node, "kernel_shape")
    if image is None or not kernel:
        return None
    strides = numbers(node, "strides") or (1,) * len(kernel)
    dilations = numbers(node, "dilations") or (1,) * len(kernel)
    totals = [
        max((-(-side // stride) - 1) * stride + (size - 1) * step + 1 - side, 0)
        for side, size, stride, step in zip(image[2:], kernel, strides, dilations, strict=False)
    ]
    return (*(total // 2 for total in totals), *(total - total // 2 for total in totals))


@constraint("Each input channel is a group of its own.")
def groups_are_channels(node: Node) -> Breach | None:
    image, group = shape_of(node), node.attributes.get("group", 1)
    if image is None or len(image) < 2:
        return UNKNOWN
    return None if group == image[1] else Breach(f"{group} groups of {image[1]} channels")


@constraint("Each group has two input channels or more.")
def groups_hold_several_channels(node: Node) -> Breach | None:
    image, group = shape_of(node), node.attributes.get("group", 1)
    if image is None or len(image) < 2 or not isinstance(group, int):
        return UNKNOWN
    return None if image[1] > group else Breach(f"{group} groups of {image[1]} channels")


@constraint("Each group gives one output channel.")
def groups_give_one_channel(node: Node) -> Breach | None:
    output = output_shape(node)
    group = node.attributes.get("group", 1)
    if output is None or len(output) < 2:
        return UNKNOWN
    return None if output[1] == group else Breach(f"{output[1]} output channels of {group} groups")
