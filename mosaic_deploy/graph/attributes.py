"""Attributes of ONNX nodes as Python values, with the defaults that schemas state or leave to prose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Ends:
    """What is known of a node's inputs and outputs where attributes depend on it."""

    inputs: tuple[tuple[int, ...] | None, ...]
    """Shapes; None where an input is left out or its shape is not known."""
    given: tuple[bool, ...]
    """Whether each input is there."""
    outputs: tuple[tuple[int, ...] | None, ...]


def meant(
    op: str, defaults: Mapping[str, Attribute], stated: dict[str, Attribute], ends: Ends
) -> dict[str, Attribute]:
    """Attributes, with the default for those that change nothing where they are stated.

    Those without a default are left out instead.
    """
    idle = {
        name
        for name in _IDLE.get(op, frozenset()) & stated.keys()
        if _changes_nothing(op, name, stated, ends)
    }
    kept = {name: value for name, value in stated.items() if name not in idle}
    return kept | {name: defaults[name] for name in idle if name in defaults}


_IDLE: Mapping[str, frozenset[str]] = {
    "AveragePool": frozenset({"count_include_pad"}),
    "BatchNormalization": frozenset({"consumed_inputs", "is_test", "momentum"}),
    "Cast": frozenset({"round_mode", "saturate"}),
    "CastLike": frozenset({"round_mode", "saturate"}),
    "Dropout": frozenset({"consumed_inputs", "is_test", "ratio", "seed"}),
    "Gemm": frozenset({"beta"}),
    "MaxPool": frozenset({"storage_order"}),
    "Reshape": frozenset({"allowzero"}),
    "Resize": frozenset(
        {
            "antialias",
            "cubic_coeff_a",
            "exclude_outside",
            "extrapolation_value",
            "keep_aspect_ratio_policy",
            "nearest_mode",
        }
    ),
    **{
        f"Reduce{kind}": frozenset({"noop_with_empty_axes"})
        for kind in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")
    },
}
"""Attributes that change nothing at inference, or nothing under a condition."""
_EIGHT_BIT_FLOATS = range(17, 25)
"""ONNX's numbers of the types that a Cast may saturate or round to."""


def _changes_nothing(op: str, name: str, stated: Mapping[str, Attribute], ends: Ends) -> bool:
    match name:
        case "count_include_pad":
            pads = stated.get("pads")
            padded = (isinstance(pads, tuple) and any(pads)) or stated.get("auto_pad") not in (
                "NOTSET",
                "VALID",
            )
            return not padded and not stated.get("ceil_mode")
        case "momentum":
            return not stated.get("training_mode")
        case "ratio" | "seed":
            return not _gives(ends, 2)
        case "saturate" | "round_mode":
            return stated.get("to") not in _EIGHT_BIT_FLOATS if op == "Cast" else False
        case "beta":
            return not _gives(ends, 2)
        case "storage_order":
            return len(ends.outputs) < 2
        case "allowzero":
            return bool(ends.outputs) and (shape := ends.outputs[0]) is not None and 0 not in shape
        case "noop_with_empty_axes":
            axes = ends.inputs[1] if len(ends.inputs) > 1 else None
            return axes is not None and axes != (0,)
        case "antialias":
            return stated.get("mode") == "nearest"
        case "cubic_coeff_a" | "exclude_outside":
            return stated.get("mode") != "cubic"
        case "extrapolation_value":
            return stated.get("coordinate_transformation_mode") != "tf_crop_and_resize"
        case "keep_aspect_ratio_policy":
            return not _gives(ends, 3)
        case "nearest_mode":
            return stated.get("mode") != "nearest"
    return True


def _gives(ends: Ends, place: int) -> bool:
    return place < len(ends.given) and ends.given[place]


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
