"""How a Resize samples, in the words of a contract; what these cannot say is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mosaic_deploy.errors import ModelError
from mosaic_deploy.graph.attributes import read_attribute
from mosaic_deploy.graph.index import producer_of
from mosaic_deploy.specs.resample import Sampling

if TYPE_CHECKING:
    import onnx

_SAMPLINGS: dict[str, Sampling] = {
    "half_pixel": "half_pixel",
    "pytorch_half_pixel": "half_pixel",  # another thing only where one pixel is left
    "half_pixel_symmetric": "half_pixel",  # another thing only where no whole side comes out
    "align_corners": "align_corners",
    "asymmetric": "asymmetric",
}
_COORDINATES_OPSET = 11
"""The first in which a Resize says how it samples; before, it was always asymmetric."""


def sampling_of(model: onnx.ModelProto, node: onnx.NodeProto, axis: int) -> Sampling:
    """Say how a Resize or Upsample of scores, with the classes on ``axis``, samples.

    Raises ``ModelError`` where that is not linear over both sides, enlarging, by the ratio of whole sides.
    """
    stated = {entry.name: read_attribute(entry) for entry in node.attribute}
    mode = _text(stated.get("mode", "nearest"))
    if mode != "linear":
        raise ModelError(_stays(node, f"it is {mode}, and scores are resized bilinearly"))
    if stated.get("antialias", 0):
        raise ModelError(_stays(node, "it is antialiased"))
    if _text(stated.get("keep_aspect_ratio_policy", "stretch")) != "stretch":
        raise ModelError(_stays(node, "it keeps the ratio of the sides"))
    opset = max(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    old = node.op_type == "Upsample" or opset < _COORDINATES_OPSET
    way = "asymmetric" if old else _text(stated.get("coordinate_transformation_mode", "half_pixel"))
    if way not in _SAMPLINGS:
        raise ModelError(_stays(node, f"no contract states its coordinates ({way})"))
    _require_whole_sides(model.graph, node, axis, stated)
    return _SAMPLINGS[way]


def _require_whole_sides(
    graph: onnx.GraphProto, node: onnx.NodeProto, axis: int, stated: dict[str, Any]
) -> None:
    shapes = {value.name: _shape(value) for value in (*graph.value_info, *graph.input, *graph.output)}
    before, after = shapes.get(node.input[0], ()), shapes.get(node.output[0], ())
    if len(before) != 4 or len(after) != 4 or 0 in (*before, *after):
        raise ModelError(_stays(node, "its shapes are not known"))
    sides = [place for place in (1, 2, 3) if place != axis]
    if before[0] != after[0] or before[axis] != after[axis]:
        raise ModelError(_stays(node, "it resizes more than the two sides"))
    if any(before[side] > after[side] for side in sides):
        raise ModelError(_stays(node, "it shrinks"))
    scales = _scales(graph, node, stated)
    if scales is None:  # it is told the size, so the scale is the ratio of the sides
        return
    axes = stated.get("axes") or tuple(range(4))
    if len(scales) != len(axes):
        raise ModelError(_stays(node, "its scales are not known"))
    for place, scale in zip(axes, scales, strict=True):
        if abs(before[place] * scale - after[place]) > 1e-3:
            raise ModelError(_stays(node, f"{before[place]} by {scale:g} is no whole side"))


def _scales(graph: onnx.GraphProto, node: onnx.NodeProto, stated: dict[str, Any]) -> list[float] | None:
    """The factors; None where there are none, and none that is empty where they are not constant."""
    from onnx import numpy_helper

    if "scales" in stated:
        return [float(scale) for scale in stated["scales"]]
    place = 1 if len(node.input) == 2 else 2
    name = node.input[place] if len(node.input) > place else ""
    if not name:
        return None
    for tensor in graph.initializer:
        if tensor.name == name:
            return _listed(numpy_helper.to_array(tensor))
    maker = producer_of(graph, name)
    if maker is not None and maker.op_type == "Constant":
        value = next((entry.t for entry in maker.attribute if entry.name == "value"), None)
        if value is not None:
            return _listed(numpy_helper.to_array(value))
    return []


def _listed(values: Any) -> list[float] | None:
    return [float(value) for value in values.ravel()] or None


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _stays(node: onnx.NodeProto, why: str) -> str:
    return f"--output lowres is not possible: the last Resize '{node.name}' stays, since {why}; take logits"
