"""An ONNX graph as facts about its nodes: types, shapes, constants and attributes with their defaults.

Everything the op check asks is answered here once, so that rules and constraints are plain comparisons.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

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
_SMALL = 4096  # elements up to which a constant's values are kept
_FRAME = re.compile(r'File "([^"]+)", line (\d+)')


@dataclass(frozen=True, slots=True)
class QuantParams:
    """The integers behind a quantised tensor: real = scale * (integer - zero point)."""

    dtype: str
    scale: float | None
    """None where it is not one stored number (per channel, or computed)."""
    zero_point: int | None


@dataclass(frozen=True, slots=True)
class Tensor:
    """What is known of one tensor before anything runs."""

    name: str
    dtype: str
    """numpy's name (``float32``, ``uint8``, ``bool``), ``bfloat16`` and the like, or empty if unknown."""
    shape: tuple[int, ...] | None
    """None where a dimension is not known before the network runs."""
    constant: bool
    """Whether a compiler that folds constants knows its values."""
    value: NDArray[Any] | None = None
    """The values of a small constant that is stored as such."""
    grid: QuantParams | None = None
    """Where ``DequantizeLinear`` makes it or ``QuantizeLinear`` reads it: the integers it stands for."""

    @property
    def rank(self) -> int:
        """Number of dimensions; 0 where they are unknown."""
        return len(self.shape or ())


@dataclass(frozen=True, slots=True)
class Node:
    """One node, as a compiler sees it."""

    name: str
    """Its own name, or its first output's where it has none."""
    op: str
    domain: str
    """Empty for ONNX's own operators."""
    version: int
    """The opset version in which the operator got its present meaning; the opset's own in other domains."""
    attributes: Mapping[str, Attribute]
    """As stated, else the operator's defaults."""
    defaults: Mapping[str, Attribute]
    """The operator's defaults alone."""
    inputs: tuple[Tensor | None, ...]
    """None where an optional input is left out."""
    outputs: tuple[Tensor, ...]
    opset: int
    """The model's opset of the node's domain."""
    folded: bool
    """Whether it computes a constant, so that no runtime ever runs it."""
    source: str
    """``file:line`` of the PyTorch code it comes from, or empty."""

    @property
    def data(self) -> Tensor | None:
        """The input that stands for the node's type and rank: the first that is no constant and no mask."""
        given = [t for t in self.inputs if t is not None]
        live = [t for t in given if not t.constant] or given
        return next((t for t in live if t.dtype != "bool"), live[0] if live else None)


def nodes(model: onnx.ModelProto) -> tuple[Node, ...]:
    """Describe the nodes of the main graph, in order; the model is one that ``read_model`` returned."""
    opsets = {o.domain if o.domain != "ai.onnx" else "": o.version for o in model.opset_import}
    known = _stated(model.graph)
    grids = _grids(model.graph, known)
    found = []
    for proto in model.graph.node:
        node = _describe(proto, known, grids, opsets)
        known.update((tensor.name, tensor) for tensor in node.outputs)
        found.append(node)
    return tuple(found)


def inputs_of(model: onnx.ModelProto) -> tuple[Tensor, ...]:
    """Describe the model's own inputs, those left out that an initializer fills."""
    stored = {constant.name for constant in model.graph.initializer}
    known = _stated(model.graph)
    return tuple(known[value.name] for value in model.graph.input if value.name not in stored)


def title(node: onnx.NodeProto) -> str:
    """Call a node by its own name, or by its first output's where it has none."""
    return node.name or next(filter(None, node.output))


def _grids(graph: onnx.GraphProto, constants: Mapping[str, Tensor]) -> dict[str, QuantParams]:
    """Map each float tensor beside a Q or DQ node to the integers it stands for."""
    grids = {}
    for node in graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear") or len(node.input) < 2:
            continue
        scale = _scalar(constants.get(node.input[1]))
        point = constants.get(node.input[2]) if len(node.input) > 2 else None
        zero = 0 if point is None else _scalar(point)
        integers = constants.get(node.input[0]) if node.op_type == "DequantizeLinear" else point
        dtype = (
            integers.dtype if integers is not None and integers.dtype else point.dtype if point else "uint8"
        )
        name = node.output[0] if node.op_type == "DequantizeLinear" else node.input[0]
        grids[name] = QuantParams(dtype, scale, None if zero is None else int(zero))
    return grids


def _scalar(tensor: Tensor | None) -> float | None:
    if tensor is None or tensor.value is None or tensor.value.size != 1:
        return None
    return float(tensor.value.reshape(())[()])


def _stated(graph: onnx.GraphProto) -> dict[str, Tensor]:
    import onnx

    known = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        kind = value.type.tensor_type
        dims = [dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim]
        shape = tuple(dim for dim in dims if dim is not None)
        fixed = kind.HasField("shape") and len(shape) == len(dims)
        known[value.name] = Tensor(
            value.name, _dtype(kind.elem_type), shape if fixed else None, constant=False
        )
    for constant in graph.initializer:
        shape = tuple(constant.dims)
        small = np.prod(shape, dtype=float) <= _SMALL
        array = onnx.numpy_helper.to_array(constant) if small else None
        known[constant.name] = Tensor(
            constant.name, _dtype(constant.data_type), shape, constant=True, value=array
        )
    return known


def _dtype(kind: int) -> str:
    import onnx

    if kind in (0, 8) or kind not in onnx.TensorProto.DataType.values():
        return "string" if kind == 8 else ""
    name = str(onnx.TensorProto.DataType.Name(kind)).lower()
    return {"float": "float32", "double": "float64"}.get(name, name)


def _describe(
    proto: onnx.NodeProto,
    known: Mapping[str, Tensor],
    grids: Mapping[str, QuantParams],
    opsets: Mapping[str, int],
) -> Node:
    domain = "" if proto.domain == "ai.onnx" else proto.domain
    opset = opsets.get(domain, 1)
    version, defaults = _schema(proto.op_type, domain, opset)
    inputs = tuple(known.get(name, _unknown(name)) if name else None for name in proto.input)
    folded = _is_folded(proto, inputs)
    value = _constant(proto)
    outputs = []
    for name in filter(None, proto.output):
        stated = known.get(name, _unknown(name))
        outputs.append(replace(stated, constant=folded, value=value, grid=grids.get(name)))
    defaults = defaults | _implied(proto.op_type, inputs)
    given = {a.name: _attribute(a) for a in proto.attribute}
    return Node(
        name=title(proto),
        op=proto.op_type,
        domain=domain,
        version=version,
        attributes=_meant(proto.op_type, defaults, defaults | given),
        defaults=defaults,
        inputs=inputs,
        outputs=tuple(outputs),
        opset=opset,
        folded=folded,
        source=_source(proto),
    )


def _implied(op: str, inputs: Sequence[Tensor | None]) -> dict[str, Attribute]:
    """Defaults of windows, which ONNX's schemas leave to prose: no padding, and steps of one."""
    names = _WINDOWS.get(op, ())
    image = inputs[0] if inputs else None
    if not names or image is None or image.shape is None or image.rank < 3:
        return {}
    sides = image.rank - 2
    none: dict[str, Attribute] = {"pads": (0,) * (2 * sides), "output_padding": (0,) * sides}
    return {name: none.get(name, (1,) * sides) for name in names}


def _meant(op: str, defaults: Mapping[str, Attribute], stated: dict[str, Attribute]) -> dict[str, Attribute]:
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


def _unknown(name: str) -> Tensor:
    return Tensor(name, "", None, constant=False)


@cache
def _schema(op: str, domain: str, opset: int) -> tuple[int, dict[str, Attribute]]:
    """Return the operator's since-version and its attributes' defaults; the opset itself if unknown."""
    import onnx

    try:
        schema = onnx.defs.get_schema(op, opset, domain)
    except onnx.defs.SchemaError:
        return opset, {}
    defaults = {n: _attribute(a.default_value) for n, a in schema.attributes.items() if a.default_value.type}
    return schema.since_version, defaults


def _attribute(proto: onnx.AttributeProto) -> Attribute:
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


def _is_folded(proto: onnx.NodeProto, inputs: tuple[Tensor | None, ...]) -> bool:
    if proto.op_type in ("Shape", "Size"):
        return all(t is None or t.constant or t.shape is not None for t in inputs)
    if proto.op_type.startswith("Random") or proto.op_type in ("If", "Loop", "Scan"):
        return False
    return all(t is None or t.constant for t in inputs)


def _constant(proto: onnx.NodeProto) -> NDArray[Any] | None:
    """Return the value of a small ``Constant``."""
    import onnx

    if proto.op_type != "Constant" or len(proto.attribute) != 1:
        return None
    attribute = proto.attribute[0]
    if attribute.name == "value" and np.prod(attribute.t.dims, dtype=float) <= _SMALL:
        return onnx.numpy_helper.to_array(attribute.t)
    if attribute.name.startswith("value_") and attribute.type in (1, 2, 6, 7):
        return np.asarray(_attribute(attribute))
    return None


def _source(proto: onnx.NodeProto) -> str:
    """Return the innermost line outside torch, from our exporter's notes or torch's own."""
    notes = {str(entry.key): str(entry.value) for entry in proto.metadata_props}
    if ours := notes.get("source", ""):
        last = ours.split(" > ")[-1]
        return last if last.isprintable() else ""
    frames: list[tuple[str, str]] = _FRAME.findall(notes.get("pkg.torch.onnx.stack_trace", ""))
    outside = [(file, line) for file, line in frames if "/torch/" not in file]
    return ":".join(outside[-1]) if outside and outside[-1][0].isprintable() else ""
