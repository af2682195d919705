"""Nodes of opsets 7 to 12 as opset 13 writes them, an operator per function."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mosaic_deploy.graph.reader.scope import Scope

if TYPE_CHECKING:
    import onnx

Made = Sequence["onnx.NodeProto"] | None
"""What stands in a node's place; None where opset 13 cannot say it."""


def _attributes(node: onnx.NodeProto) -> dict[str, onnx.AttributeProto]:
    return {attribute.name: attribute for attribute in node.attribute}


def _again(
    node: onnx.NodeProto, inputs: Sequence[str], *, op: str = "", drop: Sequence[str] = (), **more: object
) -> onnx.NodeProto:
    """The node with other inputs, without some attributes and with others."""
    import onnx

    made = type(node)()
    made.CopyFrom(node)
    made.op_type = op or node.op_type
    made.input[:] = inputs
    kept = [a for a in node.attribute if a.name not in {*drop, *more, "consumed_inputs"}]
    del made.attribute[:]
    made.attribute.extend([*kept, *(onnx.helper.make_attribute(k, v) for k, v in more.items())])
    return made


def _listed(*names: str) -> Callable[[onnx.NodeProto, Scope], Made]:
    """Attributes that are lists, as inputs behind those that there are."""

    def rule(node: onnx.NodeProto, scope: Scope) -> Made:
        stated = _attributes(node)
        if not stated.keys() & set(names):
            return [node]
        inputs = list(node.input[:1])
        for name in names:
            if name in stated:
                inputs.append(scope.const(node, name, np.asarray(stated[name].ints, np.int64)))
            else:
                inputs.append("")
        while not inputs[-1]:
            inputs.pop()
        return [_again(node, inputs, drop=names)]

    return rule


def _slice(node: onnx.NodeProto, scope: Scope) -> Made:
    return _listed("starts", "ends", "axes")(node, scope)


def _clip(node: onnx.NodeProto, scope: Scope) -> Made:
    stated = _attributes(node)
    bounds = [
        scope.const(node, name, np.asarray(stated[name].f, np.float32)) if name in stated else ""
        for name in ("min", "max")
    ]
    if not any(bounds):
        return [node]
    return [_again(node, [node.input[0], *bounds[: 2 if bounds[1] else 1]], drop=("min", "max"))]


def _pad(node: onnx.NodeProto, scope: Scope) -> Made:
    stated = _attributes(node)
    if "pads" not in stated:
        return [node]
    inputs = [node.input[0], scope.const(node, "pads", np.asarray(stated["pads"].ints, np.int64))]
    if "value" in stated and stated["value"].f:
        inputs.append(scope.const(node, "value", np.asarray(stated["value"].f, np.float32)))
    return [_again(node, inputs, drop=("pads", "value"))]


def _dropout(node: onnx.NodeProto, scope: Scope) -> Made:
    """At inference it hands its input on, whatever its ratio; nothing reads the mask then."""
    if scope.opset >= 12:
        return [node]
    made = _again(node, node.input, drop=("ratio",))
    made.output[:] = node.output[:1]
    return [made]


def _batch_norm(node: onnx.NodeProto, scope: Scope) -> Made:
    stated = _attributes(node)
    if "spatial" not in stated or stated["spatial"].i:
        return [_again(node, node.input, drop=("spatial",))]
    import onnx

    x, gamma, beta, mean, variance = node.input
    epsilon = stated["epsilon"].f if "epsilon" in stated else 1e-5
    small = scope.const(node, "epsilon", np.asarray(epsilon, np.float32))
    sub, add, root, normal, scaled = (
        scope.name(node, word) for word in ("sub", "variance", "deviation", "normal", "scaled")
    )
    parts = [
        ("Sub", [x, mean], sub),
        ("Add", [variance, small], add),
        ("Sqrt", [add], root),
        ("Div", [sub, root], normal),
        ("Mul", [normal, gamma], scaled),
        ("Add", [scaled, beta], str(node.output[0])),
    ]
    return [onnx.helper.make_node(op, ends, [out], name=out) for op, ends, out in parts]


def _upsample(node: onnx.NodeProto, scope: Scope) -> Made:
    stated = _attributes(node)
    if len(node.input) > 1:
        scales = str(node.input[1])
    else:
        scales = scope.const(node, "scales", np.asarray(stated["scales"].floats, np.float32))
    return [_resampled(node, ["", scales])]


def _resampled(node: onnx.NodeProto, inputs: Sequence[str]) -> onnx.NodeProto:
    """A Resize on the grid that Upsample, and Resize of opset 10, have."""
    stated = _attributes(node)
    mode = stated["mode"].s.decode("utf-8", "replace") if "mode" in stated else "nearest"
    form: dict[str, object] = {"mode": "linear" if mode in ("linear", "bilinear") else mode}
    form["coordinate_transformation_mode"] = "asymmetric"
    if form["mode"] == "nearest":
        form["nearest_mode"] = "floor"
    return _again(node, [node.input[0], *inputs], op="Resize", drop=("scales",), **form)


def _resize(node: onnx.NodeProto, scope: Scope) -> Made:
    if scope.opset < 11:
        return [_resampled(node, ["", node.input[1]])]
    inputs = [name if not scope.empty(name) else "" for name in node.input]
    if len(inputs) > 3 and inputs[3]:
        inputs[2] = ""
    stated = _attributes(node)
    frame = stated["coordinate_transformation_mode"].s if "coordinate_transformation_mode" in stated else b""
    if frame != b"tf_half_pixel_for_nn":
        if frame != b"tf_crop_and_resize":
            inputs[1:2] = [""]
        return [_again(node, inputs)]
    # Half a pixel further than half_pixel, which another rounding makes good.
    roundings = {b"floor": "round_prefer_ceil", b"round_prefer_floor": "ceil"}
    rounding = roundings.get(stated["nearest_mode"].s if "nearest_mode" in stated else b"round_prefer_floor")
    if rounding is None or ("mode" in stated and stated["mode"].s != b"nearest"):
        return None
    form = {"coordinate_transformation_mode": "half_pixel", "nearest_mode": rounding}
    return [_again(node, inputs, **form)]


def _top_k(node: onnx.NodeProto, scope: Scope) -> Made:
    stated = _attributes(node)
    if "k" not in stated:
        return [node]
    count = scope.const(node, "k", np.asarray([stated["k"].i], np.int64))
    return [_again(node, [node.input[0], count], drop=("k",))]


def _scatter(node: onnx.NodeProto, _scope: Scope) -> Made:
    return [_again(node, node.input, op="ScatterElements")]


def _softmax(node: onnx.NodeProto, scope: Scope) -> Made:
    """Along its axis alone, where nothing lies behind it; else on a table of two dimensions."""
    import onnx

    stated = _attributes(node)
    axis = int(stated["axis"].i) if "axis" in stated else 1
    shape = scope.shape(node.input[0])
    known = shape is not None and -len(shape) <= axis < len(shape)
    if shape is not None and known and math.prod(shape[axis % len(shape) + 1 :]) == 1:
        return [_again(node, node.input, axis=axis)]
    table, shares, sizes = (scope.name(node, word) for word in ("table", "shares", "sizes"))
    soft = _again(node, [table], axis=-1)
    soft.output[:] = [shares]
    make = onnx.helper.make_node
    return [
        make("Shape", [node.input[0]], [sizes], name=sizes),
        make("Flatten", [node.input[0]], [table], name=table, axis=axis),
        soft,
        make("Reshape", [shares, sizes], list(node.output), name=f"{shares}/reshape"),
    ]


def _scan(node: onnx.NodeProto, scope: Scope) -> Made:
    return [node] if scope.opset > 8 else None


RULES: Mapping[str, Callable[[onnx.NodeProto, Scope], Made]] = {
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "Dropout": _dropout,
    **dict.fromkeys(("Hardmax", "LogSoftmax", "Softmax"), _softmax),
    "Pad": _pad,
    "ReduceSum": _listed("axes"),
    "Resize": _resize,
    "Scan": _scan,
    "Scatter": _scatter,
    "Slice": _slice,
    "Split": _listed("split"),
    **dict.fromkeys(("Squeeze", "Unsqueeze"), _listed("axes")),
    "TopK": _top_k,
    "Upsample": _upsample,
}
