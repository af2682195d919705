"""Constants computed: whatever depends on weights and static shapes alone, by onnx's own reference kernels.

    Shape -> Gather -> Concat -> Reshape    becomes    Reshape with a stored list
    Constant -> Identity -> Mul             becomes    Mul with a stored weight

Exporters leave such chains for shapes, paddings in TensorFlow's style SAME, scales of attention and masks.
Quantised weights are made floats before (``dequantize``), and are still on their grid.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.graph.normal.draft import Draft, Value
from mosaic_deploy.graph.passes import Site
from mosaic_deploy.graph.passes.interpolation import matrix, resizing

if TYPE_CHECKING:
    import onnx

_MOVING = frozenset(
    {"Cast", "CastLike", "Concat", "Flatten", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Transpose"}
    | {"Unsqueeze", "ScatterND", "ScatterElements", "GatherElements", "DepthToSpace", "SpaceToDepth", "Trilu"}
)
_PLAIN = frozenset(
    {"Abs", "Add", "And", "Ceil", "Clip", "Cos", "CumSum", "Div", "Equal", "Erf", "Exp", "Floor", "Greater"}
    | {"GreaterOrEqual", "Less", "LessOrEqual", "Log", "Max", "Min", "Mod", "Mul", "Neg", "Not", "Or", "Pow"}
    | {
        "Reciprocal",
        "Relu",
        "Round",
        "Sigmoid",
        "Sign",
        "Sin",
        "Softmax",
        "Sqrt",
        "Sub",
        "Sum",
        "Tanh",
        "Where",
    }
    | {"Xor", "IsNaN", "LayerNormalization"}
    | {
        f"Reduce{kind}"
        for kind in ("L1", "L2", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")
    }
)
_GROWING = frozenset({"ConstantOfShape", "Expand", "Gather", "Gemm", "MatMul", "Pad", "Range", "Tile"})
"""Operators that may make much of little: computed only where the size of what they make is known.

What is in none of the three sets is not computed: networks seldom have it on constants, and the reference
kernels of windows are loops in Python.
"""

_ELEMENTS = 1 << 22
"""Most elements of a tensor that is computed (16 MiB of floats): more is cheaper kept as a node."""


def fold(draft: Draft) -> None:
    """Compute every node of which all inputs are constants."""
    draft.visit(_fold)


def _fold(node: onnx.NodeProto, draft: Draft) -> None:
    found = _found(node, draft)
    if found is None:
        return
    for name, value in zip(node.output, found, strict=False):
        if name:
            draft.know(name, value)
    if all(isinstance(value, np.ndarray) for value in found):
        draft.remove(node)


def _found(node: onnx.NodeProto, draft: Draft) -> list[Value] | None:
    """What a node's outputs are; None where they are not known, or too large to be worth it."""
    op = node.op_type
    if op == "Constant":
        value = draft.array(node.output[0])
        return None if value is None else [value]
    if op in ("Shape", "Size"):
        shape = draft.graph.shape(node.input[0])
        held = draft.array(node.input[0])
        known = held.shape if held is not None else shape
        return None if known is None else [_of_shape(node, known)]
    if op not in _COMPUTED:
        return None
    values = {name: draft.value(name) for name in node.input if name}
    if any(value is None for value in values.values()) or (not values and op != "SequenceEmpty"):
        return None
    return _computed(node, {n: v for n, v in values.items() if v is not None}, draft)


def _of_shape(node: onnx.NodeProto, shape: tuple[int, ...]) -> NDArray[Any]:
    if node.op_type == "Size":
        return np.asarray(math.prod(shape), np.int64)
    ends = {attribute.name: int(attribute.i) for attribute in node.attribute}
    return np.asarray(shape[ends.get("start", 0) : ends.get("end", len(shape))], np.int64)


def _computed(node: onnx.NodeProto, values: Mapping[str, Value], draft: Draft) -> list[Value] | None:
    if node.op_type == "Resize":
        return _resized(node, draft)
    sequence = _SEQUENCES.get(node.op_type)
    if sequence is not None:
        return sequence(node, [values[name] for name in node.input if name])
    if any(isinstance(value, list) for value in values.values()):
        return None
    arrays = {name: np.asarray(value) for name, value in values.items()}
    read = sum(arrays[name].size for name in node.input if name)
    if read > _ELEMENTS or not _bounded(node, arrays, draft) or not draft.spend(read + _broadcast(arrays)):
        return None
    return _run(node, arrays, draft.opset)


def _bounded(node: onnx.NodeProto, arrays: Mapping[str, NDArray[Any]], draft: Draft) -> bool:
    """Whether what the node makes is known to be small."""
    if node.op_type not in _GROWING:  # it moves its inputs' elements, or broadcasts them to one another
        return _broadcast(arrays) <= _ELEMENTS
    if node.op_type in ("ConstantOfShape", "Expand"):
        sides = arrays[node.input[-1]].reshape(-1).astype(float)
        return float(np.prod(sides)) * max(1, arrays[node.input[0]].size) <= _ELEMENTS
    if node.op_type == "Gather":
        held, indices = (arrays[name] for name in node.input)
        axis = next((int(a.i) for a in node.attribute if a.name == "axis"), 0)
        return -held.ndim <= axis < held.ndim and (
            held.size // max(1, held.shape[axis]) * indices.size <= _ELEMENTS
        )
    if node.op_type == "Range":
        start, limit, step = (float(arrays[name].reshape(())) for name in node.input)
        return bool(step) and (limit - start) / step <= _ELEMENTS
    shapes = [draft.graph.shape(name) for name in node.output if name]
    return all(shape is not None and math.prod(shape) <= _ELEMENTS for shape in shapes)


def _broadcast(arrays: Mapping[str, NDArray[Any]]) -> int:
    try:
        return math.prod(np.broadcast_shapes(*(array.shape for array in arrays.values())))
    except ValueError:  # not an operator that broadcasts
        return 0


def _run(node: onnx.NodeProto, arrays: Mapping[str, NDArray[Any]], opset: int) -> list[Value] | None:
    """Run one node on onnx's reference kernels; None where they fail, which is left to whoever runs it."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    graph = onnx.GraphProto(name="constant")
    graph.node.append(node)
    graph.input.extend(
        onnx.helper.make_tensor_value_info(
            name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
        )
        for name, array in arrays.items()
    )
    names = [name for name in node.output if name]
    graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    try:
        with np.errstate(all="ignore"):
            made = ReferenceEvaluator(graph, opsets={"": opset}).run(None, dict(arrays))
    except Exception:  # noqa: BLE001  # the kernels raise whatever numpy does, and share no class
        return None
    found = [np.asarray(value) for value in made]
    sound = all(array.dtype.kind in "fiub" for array in found) and len(found) == len(node.output)
    return [*found] if sound else None


def _resized(node: onnx.NodeProto, draft: Draft) -> list[Value] | None:
    """Axis by axis, a matrix each: positions of a transformer, say, brought to another size."""
    held, asked = draft.array(node.input[0]), resizing(Site(node, draft.graph))
    if held is None or asked is None or held.dtype.kind != "f" or math.prod(asked.after) > _ELEMENTS:
        return None
    result: NDArray[Any] = held.astype(np.float64)
    for axis, (before, after) in enumerate(zip(asked.before, asked.after, strict=True)):
        if before * after > _ELEMENTS or max(result.size, math.prod(asked.after)) > _ELEMENTS:
            return None
        if before != after:
            result = np.moveaxis(np.tensordot(matrix(asked, axis), result, axes=(1, axis)), 0, axis)
    return [result.astype(held.dtype)]


def _empty(_node: onnx.NodeProto, _values: list[Value]) -> list[Value] | None:
    return [[]]


def _insert(_node: onnx.NodeProto, values: list[Value]) -> list[Value] | None:
    held, new, *place = values
    if not isinstance(held, list) or not isinstance(new, np.ndarray):
        return None
    at = int(np.asarray(place[0]).reshape(())) if place else len(held)
    return [[*held[:at], new, *held[at:]]]


def _at(_node: onnx.NodeProto, values: list[Value]) -> list[Value] | None:
    held, place = values
    index = int(np.asarray(place).reshape(()))
    return [held[index]] if isinstance(held, list) and -len(held) <= index < len(held) else None


def _joined(node: onnx.NodeProto, values: list[Value]) -> list[Value] | None:
    (held,) = values
    attributes = {attribute.name: int(attribute.i) for attribute in node.attribute}
    if not isinstance(held, list) or not held or sum(array.size for array in held) > _ELEMENTS:
        return None
    join = np.stack if attributes.get("new_axis") else np.concatenate
    try:
        return [join(held, axis=attributes["axis"])]
    except (ValueError, KeyError):  # parts that do not fit
        return None


_SEQUENCES: Mapping[str, Callable[[onnx.NodeProto, list[Value]], list[Value] | None]] = {
    "ConcatFromSequence": _joined,
    "SequenceAt": _at,
    "SequenceEmpty": _empty,
    "SequenceInsert": _insert,
}

_COMPUTED = _MOVING | _PLAIN | _GROWING | _SEQUENCES.keys() | {"Resize"}
