"""An ONNX graph as others ask about it: who makes a tensor, who reads it, its shape, type and value.

``GraphIndex`` answers many questions about a graph that stays as it is. The functions are for graphs that
are being changed, where an index would be out of date.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, MutableSequence
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.graph.facts import title
from mosaic_deploy.graph.reader.living import prune, reads
from mosaic_deploy.graph.reader.names import graphs

if TYPE_CHECKING:
    import onnx

__all__ = ["GraphIndex", "consumers_of", "free_name", "producer_of", "prune", "reads", "replace_name"]

_EXTENDED = frozenset({"GridSample", "DFT"})
"""Operators whose nodes of opset 18 or 19 mean something else, or are not allowed, in opset 20."""


@final
class GraphIndex:
    """Facts about the main graph of a model that ``read_model`` returned; nothing here changes it."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.opset = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
        self._shapes: dict[str, tuple[int, ...] | None] = {}
        self._types: dict[str, int] = {}
        self._producers: dict[str, onnx.NodeProto] = {}
        self._consumers: dict[str, list[onnx.NodeProto]] = {}
        self._constants: dict[str, onnx.TensorProto] = {}
        self._titles = Counter(title(node) for node in model.graph.node)
        self.protected = frozenset(_protected(model.graph))
        self._note_tensors(model.graph)
        for node in model.graph.node:
            self._producers.update(dict.fromkeys(filter(None, node.output), node))
            for name in filter(None, node.input):
                self._consumers.setdefault(name, []).append(node)

    def _note_tensors(self, graph: onnx.GraphProto) -> None:
        for value in (*graph.input, *graph.value_info, *graph.output):
            kind = value.type.tensor_type
            dims = [d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim]
            sides = tuple(d for d in dims if d is not None)
            known = kind.HasField("shape") and len(sides) == len(dims)
            self._shapes[value.name] = sides if known else None
            self._types[value.name] = kind.elem_type
        images = {value.name for value in graph.input}
        for tensor in graph.initializer:
            self._shapes[tensor.name] = tuple(tensor.dims)
            self._types[tensor.name] = tensor.data_type
            if tensor.name not in images:  # one that is an input too may be fed another value
                self._constants[tensor.name] = tensor

    def knows(self, name: str) -> bool:
        """Tell whether a tensor or node is called so already."""
        return name in self._shapes or name in self._producers or name in self._titles

    def stem(self, node: onnx.NodeProto) -> str:
        """Return a name for a node that no other has."""
        name = title(node)
        return name if self._titles[name] == 1 else str(node.output[0])

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Return a tensor's shape, or None where a side is not known before the network runs."""
        return self._shapes.get(name)

    def dtype(self, name: str) -> np.dtype[Any] | None:
        """Return a tensor's type, or None where it is unknown or not one of numpy's own."""
        import onnx

        kind = self._types.get(name, 0)
        if kind not in onnx.TensorProto.DataType.values() or kind in (0, 8):
            return None
        return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind))

    def constant(self, name: str) -> NDArray[Any] | None:
        """Return the value of an initialiser or of a ``Constant``, else None; None for text as well."""
        import onnx

        if name in self._constants:
            return _numbers(onnx.numpy_helper.to_array(self._constants[name]))
        node = self._producers.get(name)
        if node is None or node.op_type != "Constant" or node.domain or len(node.attribute) != 1:
            return None
        attribute = node.attribute[0]
        if attribute.name == "value":
            return _numbers(onnx.numpy_helper.to_array(attribute.t))
        if attribute.name not in ("value_int", "value_ints", "value_float", "value_floats"):
            return None
        dtype = np.int64 if attribute.name.startswith("value_int") else np.float32
        return np.asarray(onnx.helper.get_attribute_value(attribute), dtype)

    def producer(self, name: str, *ops: str) -> onnx.NodeProto | None:
        """Return the node that makes a tensor, if it is one of ONNX's own ``ops`` (any if none is named)."""
        node = self._producers.get(name)
        if node is None or node.domain not in ("", "ai.onnx") or (ops and node.op_type not in ops):
            return None
        return node

    def consumers(self, name: str) -> tuple[onnx.NodeProto, ...]:
        """Return the nodes that read a tensor, in the graph's order."""
        return tuple(self._consumers.get(name, ()))

    def only_consumer(self, name: str) -> onnx.NodeProto | None:
        """Return the one node that reads a tensor; None if there are others or it leaves the graph."""
        readers = self.consumers(name)
        return readers[0] if len(readers) == 1 and name not in self.protected else None

    def quantized(self, node: onnx.NodeProto) -> bool:
        """Tell whether a node stands between DequantizeLinear and QuantizeLinear of a quantised model."""
        before = (self._producers.get(name) for name in node.input)
        after = (reader for name in node.output for reader in self.consumers(name))
        dequantized = any(
            n is not None and n.op_type == "DequantizeLinear" and len(n.input) > 2 for n in before
        )
        return dequantized or any(n.op_type == "QuantizeLinear" for n in after)

    def supports_opset(self, opset: int) -> bool:
        """Tell whether the model has that opset, or can be raised to it without touching a node."""
        if self.opset >= opset:
            return True
        if self.opset < 18 or opset > 20:
            return False
        ops = (node.op_type for graph, _ in graphs(self.model.graph) for node in graph.node)
        return _EXTENDED.isdisjoint(ops)


def _numbers(array: NDArray[Any]) -> NDArray[Any] | None:
    return None if array.dtype.kind in "cOSU" else array


def _protected(graph: onnx.GraphProto) -> Iterator[str]:
    """Names that must live on: the graph's outputs, and whatever bodies of If and Loop read."""
    for value in graph.output:
        yield value.name
    for body, depth in graphs(graph):
        if depth:
            for node in body.node:
                yield from node.input
            for value in body.output:
                yield value.name


def producer_of(graph: onnx.GraphProto, name: str) -> onnx.NodeProto | None:
    """Return the node that makes a tensor now."""
    return next((node for node in graph.node if name in node.output), None)


def consumers_of(graph: onnx.GraphProto, name: str) -> list[onnx.NodeProto]:
    """Return the nodes that read a tensor now, directly or in their bodies."""
    return [node for node in graph.node if name in reads(node)]


def replace_name(names: MutableSequence[str], old: str, new: str) -> None:
    """Rename a tensor in a node's list of inputs or outputs."""
    for index, name in enumerate(names):
        if name == old:
            names[index] = new


def free_name(graph: onnx.GraphProto, name: str) -> str:
    """Return the name, lengthened until neither a node nor a tensor has it."""
    taken = {n for node in graph.node for n in (node.name, *node.input, *node.output)}
    taken |= {value.name for value in (*graph.input, *graph.output, *graph.initializer)}
    while name in taken:
        name += "_"
    return name
