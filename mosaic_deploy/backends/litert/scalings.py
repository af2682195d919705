"""Scalings before and after an activation, of which onnx2tf loses the activation."""

from __future__ import annotations

from typing import Any

import numpy as np

from mosaic_deploy.graph.passes import Pass, Site


def _scale_once(site: Site) -> bool:
    """Two scalings around an activation as one in front of it.

        Mul(a) -> Relu -> Mul(b)           becomes    Mul(a * b) -> Relu
        Mul(a) -> Clip(low, high) -> Mul(b)    becomes    Mul(a * b) -> Clip(low * b, high * b)

    b is one positive number. onnx2tf fuses the activation into the first MUL, and then the two MULs into
    Mul(a * b), whatever activation is between.
    """
    found = (site.graph.producer(site.x, kind) for kind in ("Relu", "Clip"))
    act = next((made for made in found if made is not None), None)
    first = site.graph.producer(act.input[0], "Mul") if act is not None else None
    after = site.constant(1)
    if act is None or first is None or after is None or after.size != 1 or not (after > 0).all():
        return False
    if any(site.graph.only_consumer(node.output[0]) is None for node in (act, first)):
        return False
    bounds = {name: site.graph.constant(name) for name in act.input[1:] if name}
    before = [(name, site.graph.constant(name)) for name in reversed(first.input)]
    x = next((name for name, value in before if value is None), "")
    factor = next((value for _, value in before if value is not None), None)
    if factor is None or not x or any(bound is None for bound in bounds.values()):
        return False
    site.also_replaces(act, first)
    scaled = site.op("Mul", x, _times(site, factor, after))
    limits = [_times(site, bounds[name], after) if name else "" for name in act.input[1:]]
    return site.replace_with(site.op(act.op_type, scaled, *limits))


def _times(site: Site, value: Any, factor: Any) -> str:
    return site.const(np.asarray(value * factor.reshape(()), value.dtype))


SCALED_ONCE = Pass(
    name="scaled_once",
    summary="Mul, Relu or Clip, Mul -> Mul, Relu or Clip",
    anchors=("Mul",),
    rewrite=_scale_once,
)
