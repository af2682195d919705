"""Clips in the forms that targets take."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mosaic_deploy.graph.index import GraphIndex
from mosaic_deploy.graph.passes._pass import Pass
from mosaic_deploy.graph.passes._site import Site

if TYPE_CHECKING:
    import onnx

_LARGEST = 3.4e38
"""From which on a bound is none."""


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
    if not site.floating or bottom > top:
        return False
    if bottom == 0 and top >= _LARGEST:
        return site.replace_with(site.op("Relu", site.x))
    y = site.op("Max", site.x, site.number(bottom)) if bottom > -_LARGEST else site.x
    y = site.op("Min", y, site.number(top)) if top < _LARGEST else y
    return site.replace_with(y)


CLIP_BOUNDS = Pass(
    name="clip_bounds",
    summary="Clip -> Relu, or Max and Min",
    anchors=("Clip",),
    bit_exact=True,
    rewrite=_clip_bounds,
)


_SIX = 6.0


def _clip_relu6(site: Site) -> bool:
    """A Clip from 0 to another bound, such as GhostNet's gate, as a ReLU6.

        Clip(x, 0, b)            becomes    Clip(x * 6/b, 0, 6) * b/6
        Clip(x * s + t, 0, b)    becomes    Clip(x * 6s/b + 6t/b, 0, 6) * b/6
        Clip(Conv(x, w, t), 0, b)    becomes    Clip(Conv(x, 6w/b, 6t/b), 0, 6) * b/6

    The Clip from 0 to 6 is a ReLU6, which targets run that have no other.
    """
    low, high = site.constant(1), site.constant(2)
    if low is None or high is None or not site.floating or low.size != 1 or high.size != 1:
        return False
    top = float(high.reshape(()))
    if low.any() or top == _SIX or not 0 < top < _LARGEST:
        return False
    scale = _SIX / top
    gate = site.op("Clip", _scaled(site, scale), site.number(0), site.number(_SIX))
    return site.replace_with(site.op("Mul", gate, site.number(1 / scale)))


def _scaled(site: Site, scale: float) -> str:
    """The Clip's input times a number, which goes into the constants of what is in front of it."""
    scaled = _scaled_conv(site, scale)
    if scaled is not None:
        return scaled
    add = site.graph.producer(site.x, "Add")
    shift = _bound(add, site.graph) if add is not None and _only(site, add) else None
    if add is None or shift is None:
        return site.op("Mul", site.x, site.number(scale))
    mul = site.graph.producer(shift[0], "Mul")
    slope = _bound(mul, site.graph) if mul is not None and _only(site, mul) else None
    x, factor = slope or (shift[0], 1.0)
    site.also_replaces(add, *([mul] if mul is not None and slope is not None else []))
    return site.op("Add", site.op("Mul", x, site.number(factor * scale)), site.number(shift[1] * scale))


def _scaled_conv(site: Site, scale: float) -> str | None:
    """A convolution in front of the Clip with the number in its weights; None where there is none."""
    conv = site.graph.producer(site.x, "Conv")
    if conv is None or not _only(site, conv):
        return None
    kernels = [site.graph.constant(name) for name in conv.input[1:] if name]
    if any(kernel is None for kernel in kernels):
        return None
    site.also_replaces(conv)
    scaled = [site.const((kernel * scale).astype(kernel.dtype)) for kernel in kernels if kernel is not None]
    name = site.op("Conv", conv.input[0], *scaled)
    site.made[-1].attribute.extend(conv.attribute)
    return name


def _only(site: Site, node: onnx.NodeProto) -> bool:
    return site.graph.only_consumer(node.output[0]) is not None


CLIP_RELU6 = Pass(
    name="clip_relu6",
    summary="Clip from 0 to b -> Clip(x * 6/b, 0, 6) * b/6",
    anchors=("Clip",),
    requires=("hardsigmoid",),
    rewrite=_clip_relu6,
)
