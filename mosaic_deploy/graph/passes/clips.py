"""Clips in the forms that targets take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mosaic_deploy.graph.index import GraphIndex
from mosaic_deploy.graph.passes._pass import Pass
from mosaic_deploy.graph.passes._site import Site

if TYPE_CHECKING:
    import onnx
import math


def _clip_forms(site: Site) -> bool:
    """Min and Max with constants as a Clip.

    Min(Max(x, a), b)    becomes    Clip(x, a, b)
    Max(x, 0)            becomes    Relu(x)
    Max(x, a)            becomes    Clip(x, a)
    """
    bound = _bound(site.node, site.graph)
    if bound is None or not site.floating:
        return False
    x, value = bound
    is_max = site.node.op_type == "Max"
    reader = site.graph.only_consumer(site.node.output[0])
    opposite = reader is not None and {reader.op_type, site.node.op_type} == {"Max", "Min"}
    if reader is not None and opposite and _bound(reader, site.graph) is not None:
        return False  # it has its turn there
    inner = site.graph.producer(x, "Min" if is_max else "Max")
    other = _bound(inner, site.graph) if inner is not None else None
    if inner is not None and other is not None and (other[1] >= value if is_max else other[1] <= value):
        site.also_replaces(inner)
        low, high = (value, other[1]) if is_max else (other[1], value)
        return site.replace_with(site.op("Clip", other[0], site.number(low), site.number(high)))
    if is_max:
        return site.replace_with(site.op("Relu", x) if value == 0 else site.op("Clip", x, site.number(value)))
    return site.replace_with(site.op("Clip", x, "", site.number(value)))


def _bound(node: onnx.NodeProto, graph: GraphIndex) -> tuple[str, float] | None:
    """Split the two inputs into a tensor and a constant of one number."""
    if len(node.input) != 2:
        return None
    for x, name in (tuple(node.input), tuple(reversed(node.input))):
        value = graph.constant(name)
        if value is not None and value.size == 1 and graph.constant(x) is None:
            same = graph.shape(x) is not None and value.ndim <= len(graph.shape(x) or ())
            return (x, float(value.reshape(()))) if same else None
    return None


CLIP_FORMS = Pass(
    name="clip_forms",
    summary="Min, Max with constants -> Clip or Relu",
    anchors=("Max", "Min"),
    bit_exact=True,
    rewrite=_clip_forms,
)


def _clip_bounds(site: Site) -> bool:
    """A Clip in its shortest form, and as Min and Max where there is no Clip.

    Clip(x, 0, nothing)    becomes    Relu(x)
    Clip(x, a, b)          becomes    Min(Max(x, a), b)
    """
    low, high = (site.constant(i) if site.input(i) else None for i in (1, 2))
    if (site.input(1) and low is None) or (site.input(2) and high is None):
        return False
    if any(bound is not None and bound.size != 1 for bound in (low, high)):
        return False
    bottom = -math.inf if low is None else float(low.reshape(()))
    top = math.inf if high is None else float(high.reshape(()))
    largest = 3.4e38
    if not site.floating or bottom > top:
        return False
    if bottom == 0 and top >= largest:
        return site.replace_with(site.op("Relu", site.x))
    y = site.op("Max", site.x, site.number(bottom)) if bottom > -largest else site.x
    y = site.op("Min", y, site.number(top)) if top < largest else y
    return site.replace_with(y)


CLIP_BOUNDS = Pass(
    name="clip_bounds",
    summary="Clip -> Relu, or Max and Min",
    anchors=("Clip",),
    bit_exact=True,
    rewrite=_clip_bounds,
)
