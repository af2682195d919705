"""Attributes of ONNX nodes as Python values, with the defaults that schemas state or leave to prose."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from mosaic_deploy.graph.reader import onnx_package

if TYPE_CHECKING:
    import onnx

Attribute = int | float | str | tuple[int, ...] | tuple[float, ...] | tuple[str, ...]
"""A node's attribute; tensors, graphs and whatever else there is appear as ``"?"``."""

_WINDOWS: Mapping[str, tuple[str, ...]] = {
    "Conv": ("dilations", "pads", "strides"),
    "ConvTranspose": ("dilations", "output_padding", "pads", "strides"),
    "DeformConv": ("dilations", "pads", "strides"),
    "AveragePool": ("dilations", "pads", "strides"),
    "LpPool": ("dilations", "pads", "strides"),
    "MaxPool": ("dilations", "pads", "strides"),
}
"""Operators that slide windows over images, and their attributes that may be left out."""


def implied(op: str, rank: int) -> dict[str, Attribute]:
    """Defaults of windows, which ONNX's schemas leave to prose: no padding, and steps of one.

    ``rank`` is that of the image; where it is not known, there are none.
    """
    names = _WINDOWS.get(op, ())
    if not names or rank < 3:
        return {}
    sides = rank - 2
    none: dict[str, Attribute] = {"pads": (0,) * (2 * sides), "output_padding": (0,) * sides}
    return {name: none.get(name, (1,) * sides) for name in names}


def meant(op: str, defaults: Mapping[str, Attribute], stated: dict[str, Attribute]) -> dict[str, Attribute]:
    """Attributes, with the default for those that change nothing where they are stated."""
    idle: tuple[str, ...] = ()
    if op == "AveragePool":
        pads = stated.get("pads")
        padded = (isinstance(pads, tuple) and any(pads)) or stated.get("auto_pad") not in ("NOTSET", "VALID")
        idle = () if padded or stated.get("ceil_mode") else ("count_include_pad",)
    elif op == "Resize":
        mode, frame = stated.get("mode"), stated.get("coordinate_transformation_mode")
        idle = (
            *(("nearest_mode",) if mode != "nearest" else ()),
            *(("cubic_coeff_a", "exclude_outside") if mode != "cubic" else ()),
            *(("extrapolation_value",) if frame != "tf_crop_and_resize" else ()),
        )
    return stated | {name: defaults[name] for name in idle if name in stated and name in defaults}


@cache
def schema_of(op: str, domain: str, opset: int) -> tuple[int, dict[str, Attribute]]:
    """Return the operator's since-version and its attributes' defaults; the opset itself if unknown."""
    onnx_package.require()
    import onnx

    try:
        schema = onnx.defs.get_schema(op, opset, domain)
    except onnx.defs.SchemaError:
        return opset, {}
    defaults = {
        n: read_attribute(a.default_value) for n, a in schema.attributes.items() if a.default_value.type
    }
    return schema.since_version, defaults


def read_attribute(proto: onnx.AttributeProto) -> Attribute:
    """Return an attribute as a Python value."""
    kind = proto.type
    if kind == 1:
        return float(proto.f)
    if kind == 2:
        return int(proto.i)
    if kind == 3:
        return _text(proto.s)
    if kind == 6:
        return tuple(proto.floats)
    if kind == 7:
        return tuple(proto.ints)
    if kind == 8:
        return tuple(_text(s) for s in proto.strings)
    return "?"


def _text(raw: bytes) -> str:
    text = raw.decode("utf-8", "replace")
    return text if text.isprintable() else ascii(text)
