"""A quantised network as the float network that it states, its activations' ranges beside it.

    x -> QuantizeLinear -> DequantizeLinear -> y    becomes    x, with the range of x in the model's metadata
    weights -> DequantizeLinear                     becomes    weights, still on their grid

What an integer cannot hold is clipped, and quantisers drop a Relu that this makes superfluous: it comes back
where the range begins at 0, as a Relu6 where it ends at 6. A higher end is left open: it is what calibration
saw and no part of the network.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.graph.index import GraphIndex, free_name
from mosaic_deploy.graph.normal.integer_operators import INTEGER_OPERATORS, spell
from mosaic_deploy.specs.metadata import RANGES

if TYPE_CHECKING:
    import onnx

_QUANTIZE, _DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
_ENDS = {"uint8": (0, 255), "int8": (-128, 127), "uint16": (0, 65535), "int16": (-32768, 32767)}
_MOVES = frozenset(
    {
        "Reshape",
        "Transpose",
        "Flatten",
        "Squeeze",
        "Unsqueeze",
        "Identity",
        "Slice",
        "Split",
        "Gather",
        "Concat",
    }
    | {"Expand", "Tile", "DepthToSpace", "SpaceToDepth", "MaxPool", "ArgMax", "Resize"}
)
"""Operators that compute on integers, but for rounding, what they compute on the floats."""
_NOT_NEGATIVE = frozenset({"Relu", "Sigmoid", "HardSigmoid", "Softmax", "Abs", "Exp", "Sqrt"})
_RELU6 = 6.0

Ranges = Mapping[str, tuple[float, float]]
"""Tensor -> the smallest and the largest value that its integers hold."""


def stated_ranges(model: onnx.ModelProto) -> Ranges:
    """The ranges that a model's metadata holds, by tensor; none where it never was quantised."""
    notes = {note.key: note.value for note in model.metadata_props}
    found = json.loads(notes.get(RANGES, "{}"))
    return {str(name): (float(low), float(high)) for name, (low, high) in found.items()}


def forget_ranges(model: onnx.ModelProto) -> None:
    """Take the ranges out of a model's metadata."""
    kept = [note for note in model.metadata_props if note.key != RANGES]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)


def dequantize(model: onnx.ModelProto) -> onnx.ModelProto:
    """Make the float network of a statically quantised one (QDQ, QOperator, or weights alone).

    Args:
        model: as ``read_model`` returned it; it is not changed.

    Returns:
        The very model where nothing in it is quantised, or where it is quantised in a way that is none of
        these, or not by constants: then nothing is changed. Else another one, without inferred shapes.
    """
    kinds = {node.op_type for node in model.graph.node}
    if not kinds & {*INTEGER_OPERATORS, _QUANTIZE, _DEQUANTIZE}:
        return model
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    if not _spell_all(copy) or not _Floats(copy).rewrite():
        return model
    return copy


def _spell_all(model: onnx.ModelProto) -> bool:
    """Spell every integer operator; whether all could be."""
    import onnx

    index, nodes = GraphIndex(model), []
    for node in model.graph.node:
        if node.op_type not in INTEGER_OPERATORS:
            nodes.append(node)
            continue
        spelled = spell(node, index.constant)
        if spelled is None:
            return False
        nodes += spelled.nodes
        for name, value in spelled.constants.items():
            model.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    kept = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return True


@final
class _Floats:
    """One walk down the graph, in which every integer tensor gets a float twin."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model, self.index = model, GraphIndex(model)
        self.twins: dict[str, str] = {}
        """Integer tensor -> the float one that takes its place."""
        self.renamed: dict[str, str] = {}
        """Output of a DequantizeLinear that goes -> what is read instead."""
        self.known: dict[str, NDArray[Any]] = {}
        self.ranges: dict[str, tuple[float, float]] = {}
        self.nodes: list[onnx.NodeProto] = []

    def rewrite(self) -> bool:
        """Rewrite the model in place; False where something in it is not understood."""
        import onnx

        if not all(self._take(node) for node in self.model.graph.node):
            return False
        graph = self.model.graph
        outputs = {value.name for value in graph.output}
        for old, new in (self.renamed | self.twins).items():
            if old in outputs:
                self.nodes.append(onnx.helper.make_node("Identity", [new], [old], name=f"{old}/plain"))
        for value in graph.output:
            if value.name in self.twins:
                value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
        del graph.node[:], graph.value_info[:]
        graph.node.extend(self.nodes)
        for name, array in self.known.items():
            graph.initializer.append(onnx.numpy_helper.from_array(array, name))
        note = self.model.metadata_props.add()
        note.key, note.value = RANGES, json.dumps({k: [*v] for k, v in self.ranges.items()}, sort_keys=True)
        return True

    def _take(self, node: onnx.NodeProto) -> bool:
        if node.op_type == _QUANTIZE:
            return self._quantize(node)
        if node.op_type == _DEQUANTIZE:
            return self._dequantize(node)
        made = type(node).FromString(node.SerializeToString())
        taken = [name for name in node.input if name in self.twins]
        if taken and node.op_type not in _MOVES:
            return False
        names = [self.twins.get(name, self.renamed.get(name, name)) for name in node.input]
        del made.input[:]
        made.input.extend(names)
        if taken and node.op_type != "ArgMax":
            for place, name in enumerate(node.output):
                if name:
                    made.output[place] = self.twins[name] = self._free(f"{name}/float")
        self.nodes.append(made)
        return True

    def _quantize(self, node: onnx.NodeProto) -> bool:
        import onnx

        source = self.renamed.get(node.input[0], node.input[0])
        found = self._grid(node)
        if found is None:
            return False
        scale, zero, dtype = found
        held = self._constant(source)
        if held is not None:
            axis = axis_of(node, held.ndim)
            if axis is None:
                return False
            lowest, highest = _ENDS[dtype]
            levels = np.rint(held / along(scale, held.ndim, axis)) + along(zero, held.ndim, axis)
            self.known[node.output[0]] = np.clip(levels, lowest, highest).astype(dtype)
            return True
        if scale.size != 1:
            return False
        low, high = ((end - float(zero.item())) * float(scale.item()) for end in _ENDS[dtype])
        clipped = source
        step = float(scale.item())
        if low == 0 and not self._never_negative(source):
            clipped = self._free(f"{source}/clipped")
            if abs(high - _RELU6) < step:
                bounds = [
                    self._store(f"{source}/{end}", value) for end, value in (("low", 0.0), ("high", _RELU6))
                ]
                made = onnx.helper.make_node("Clip", [source, *bounds], [clipped], name=f"{node.name}/clip")
            else:
                made = onnx.helper.make_node("Relu", [source], [clipped], name=f"{node.name}/relu")
            self.nodes.append(made)
        self.ranges[clipped] = low, high
        self.twins[node.output[0]] = clipped
        return True

    def _dequantize(self, node: onnx.NodeProto) -> bool:
        source, found = node.input[0], self._grid(node)
        if found is None:
            return False
        scale, zero, _ = found
        held = self._constant(source)
        if held is not None:
            axis = axis_of(node, held.ndim)
            if axis is None:
                return False
            whole = held.astype(np.float64) - along(zero, held.ndim, axis)
            self.known[node.output[0]] = (whole * along(scale, held.ndim, axis)).astype(np.float32)
            return True
        if scale.size != 1:
            return False
        if source in self.twins:
            self.renamed[node.output[0]] = self.twins[source]
            return True
        return self._from_bytes(node, float(scale.item()), float(zero.item()))

    def _from_bytes(self, node: onnx.NodeProto, scale: float, zero: float) -> bool:
        """An image of integers: what turns it to floats is arithmetic like any other."""
        import onnx

        stem = node.output[0]
        cast, shifted = self._free(f"{stem}/cast"), self._free(f"{stem}/shifted")
        self.nodes += [
            onnx.helper.make_node("Cast", [node.input[0]], [cast], name=cast, to=onnx.TensorProto.FLOAT),
            onnx.helper.make_node("Sub", [cast, self._store(f"{stem}/zero", zero)], [shifted], name=shifted),
            onnx.helper.make_node("Mul", [shifted, self._store(f"{stem}/scale", scale)], [stem], name=stem),
        ]
        return True

    def _grid(self, node: onnx.NodeProto) -> tuple[NDArray[Any], NDArray[Any], str] | None:
        """Scale, zero point and type of the integers, where all are known and the grid is no blocked one."""
        scale = self._constant(node.input[1])
        zero = self._constant(node.input[2]) if len(node.input) > 2 and node.input[2] else None
        if scale is None or (zero is None and len(node.input) > 2 and node.input[2]):
            return None
        if any(a.name == "block_size" and a.i for a in node.attribute) or not np.all(scale > 0):
            return None
        zero = np.zeros(scale.shape, np.uint8) if zero is None else zero
        dtype = zero.dtype.name
        if node.op_type == _QUANTIZE and dtype not in _ENDS:
            return None
        return scale.astype(np.float64), zero.astype(np.float64), dtype

    def _constant(self, name: str) -> NDArray[Any] | None:
        found = self.known.get(name)
        return self.index.constant(name) if found is None else found

    def _never_negative(self, name: str) -> bool:
        maker = next((node for node in self.nodes if name in node.output), None)
        if maker is None:
            return False
        if maker.op_type == "Clip" and len(maker.input) > 1:
            low = self._constant(maker.input[1])
            return low is not None and float(low) >= 0
        moves = maker.op_type in _MOVES | {"AveragePool", "GlobalAveragePool"} and maker.op_type != "Concat"
        return maker.op_type in _NOT_NEGATIVE or (moves and self._never_negative(maker.input[0]))

    def _store(self, name: str, value: float) -> str:
        name = self._free(name)
        self.known[name] = np.array(value, np.float32)
        return name

    def _free(self, name: str) -> str:
        taken = {*self.known, *(output for node in self.nodes for output in node.output)}
        while name in taken or self.index.knows(name):
            name = free_name(self.model.graph, f"{name}_")
        return name


def axis_of(node: onnx.NodeProto, dimensions: int) -> int | None:
    """The axis that a per-channel grid lies along, counted from the front."""
    axis = next((int(a.i) for a in node.attribute if a.name == "axis"), 1)
    if not dimensions:
        return 0
    return axis % dimensions if -dimensions <= axis < dimensions else 0 if dimensions == 1 else None


def along(values: NDArray[Any], dimensions: int, axis: int) -> NDArray[Any]:
    """A grid's numbers so that they broadcast along their axis."""
    if values.size == 1:
        return values.reshape(())
    return values.reshape([-1 if place == axis else 1 for place in range(dimensions)])
