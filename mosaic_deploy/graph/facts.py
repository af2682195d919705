"""An ONNX graph as facts about its nodes: types, shapes, constants and attributes with their defaults.

Everything the op check asks is answered here once, so that rules and constraints are plain comparisons.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.graph.attributes import Attribute, Ends, implied, meant, read_attribute, schema_of

if TYPE_CHECKING:
    import onnx

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
    return tuple(node for _, node in _walk(model.graph, {}, _opsets(model)))


def nodes_with_bodies(model: onnx.ModelProto) -> tuple[Node, ...]:
    """Describe the nodes of the main graph, each followed by those of its bodies, as a runtime runs them.

    A node in a body of an If, Loop or Scan is called ``NODE/BODY/OWN NAME``, as in ``if_1/then_branch/conv``.
    """
    return tuple(_with_bodies(model.graph, {}, _opsets(model), ""))


def _with_bodies(
    graph: onnx.GraphProto, outside: Mapping[str, Tensor], opsets: Mapping[str, int], prefix: str
) -> Iterator[Node]:
    known = dict(outside)
    for proto, node in _walk(graph, known, opsets):
        name = f"{prefix}{node.name}"
        yield replace(node, name=name) if prefix else node
        for attribute in proto.attribute:
            bodies = [attribute.g] if attribute.HasField("g") else []
            for body in (*bodies, *attribute.graphs):
                yield from _with_bodies(body, known, opsets, f"{name}/{attribute.name}/")


def _walk(
    graph: onnx.GraphProto, known: MutableMapping[str, Tensor], opsets: Mapping[str, int]
) -> Iterator[tuple[onnx.NodeProto, Node]]:
    """Describe a graph's nodes in order; ``known`` holds the tensors around it, and gets its own."""
    known.update(_stated(graph))
    grids = _grids(graph, known)
    for proto in graph.node:
        node = _describe(proto, known, grids, opsets)
        known.update((tensor.name, tensor) for tensor in node.outputs)
        yield proto, node


def _opsets(model: onnx.ModelProto) -> dict[str, int]:
    return {o.domain if o.domain != "ai.onnx" else "": o.version for o in model.opset_import}


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
    version, defaults = schema_of(proto.op_type, domain, opset)
    inputs = tuple(known.get(name, _unknown(name)) if name else None for name in proto.input)
    folded = _is_folded(proto, inputs)
    value = _constant(proto)
    outputs = []
    for name in filter(None, proto.output):
        stated = known.get(name, _unknown(name))
        outputs.append(replace(stated, constant=folded, value=value, grid=grids.get(name)))
    defaults = defaults | implied(proto.op_type, _image_rank(inputs))
    given = {a.name: read_attribute(a) for a in proto.attribute}
    ends = Ends(
        tuple(None if tensor is None else tensor.shape for tensor in inputs),
        tuple(tensor is not None for tensor in inputs),
        tuple(tensor.shape for tensor in outputs),
    )
    return Node(
        name=title(proto),
        op=proto.op_type,
        domain=domain,
        version=version,
        attributes=meant(proto.op_type, defaults, defaults | given, ends),
        defaults=defaults,
        inputs=inputs,
        outputs=tuple(outputs),
        opset=opset,
        folded=folded,
        source=_source(proto),
    )


def _image_rank(inputs: tuple[Tensor | None, ...]) -> int:
    image = inputs[0] if inputs else None
    return 0 if image is None else image.rank


def _unknown(name: str) -> Tensor:
    return Tensor(name, "", None, constant=False)


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
        return np.asarray(read_attribute(attribute))
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
