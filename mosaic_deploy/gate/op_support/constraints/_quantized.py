"""Scales of quantised tensors, and the opsets that can write them."""

from __future__ import annotations

import math

from mosaic_deploy.gate.op_support.constraints._constraint import UNKNOWN, Breach, constraint
from mosaic_deploy.gate.op_support.constraints._reading import given, numbers
from mosaic_deploy.graph.facts import Node


@constraint("The model's opset is 10 or later, which has DequantizeLinear.")
def opset_is_10_at_least(node: Node) -> Breach | None:
    return None if node.opset >= 10 else Breach(f"opset {node.opset}")


@constraint("The model's opset is 13 or later, whose DequantizeLinear takes a scale per channel.")
def opset_is_13_at_least(node: Node) -> Breach | None:
    return None if node.opset >= 13 else Breach(f"opset {node.opset}")


@constraint("The model's opset is 21 or later, whose own QuantizeLinear takes 16 bits.")
def opset_is_21_at_least(node: Node) -> Breach | None:
    return None if node.opset >= 21 else Breach(f"opset {node.opset}")


@constraint("There is one scale for the whole tensor.")
def scale_is_one_number(node: Node) -> Breach | None:
    scale = given(node, 1)
    if scale is None or scale.shape is None:
        return UNKNOWN
    return None if math.prod(scale.shape) == 1 else Breach(f"{math.prod(scale.shape)} scales")


@constraint(
    "A quantised average pool whose windows of even sides, 4 or more, tile the image has one scale and "
    "zero point for input and output."
)
def halved_windows_share_a_scale(node: Node) -> Breach | None:
    image, kernel = node.data, numbers(node, "kernel_shape")
    if image is None or image.grid is None or not node.outputs or node.outputs[0].grid is None:
        return None  # where nothing is quantised yet, recipes give a pool its input's scale
    if image.shape is None:
        return UNKNOWN
    tiles = kernel == numbers(node, "strides") and not any(numbers(node, "pads"))
    exact = all(
        k > 0 and side % k == 0 and side > k for side, k in zip(image.shape[2:], kernel, strict=False)
    )
    if not tiles or not exact or any(k < 4 or k % 2 for k in kernel):
        return None
    before, after = image.grid, node.outputs[0].grid
    if before.scale is None or after.scale is None:
        return Breach("scales that are no stored numbers", certain=False)
    same = math.isclose(before.scale, after.scale, rel_tol=1e-6) and before.zero_point == after.zero_point
    return None if same else Breach(f"scale {before.scale:.4g} in, {after.scale:.4g} out")
