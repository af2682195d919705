"""Keeping a TFLite graph in NHWC: an exact rewrite that moves transposes down until two of them cancel.

onnx2tf knows many patterns of operators that may stay in NHWC; a network that has none of them is left with
transposes around each RELU, SPLIT or CONCATENATION, which cost time, and operators that an Edge TPU has not.

    x -> TRANSPOSE to NCHW -> RELU -> TRANSPOSE to NHWC -> y   becomes   x -> RELU -> y
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mosaic_deploy.backends.litert import flatbuffer

TO_NCHW, TO_NHWC = [0, 3, 1, 2], [0, 2, 3, 1]
"""Orders of axes, as a TRANSPOSE states them."""
_AXIS = (0, 3, 1, 2)
"""Axis of NCHW -> the same one in NHWC."""
_ACTIVATIONS = (
    "RELU",
    "RELU6",
    "RELU_N1_TO_1",
    "LEAKY_RELU",
    "ELU",
    "HARD_SWISH",
    "LOGISTIC",
    "TANH",
    "PRELU",
    "GELU",
)
_SUMS = ("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "ABS", "NEG", "SQUARE", "SQRT", "RSQRT", "EXP")
_PLAIN = frozenset({*_ACTIVATIONS, *_SUMS})
"""Operators that work number by number."""
_REDUCTIONS = frozenset({"MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN"})
_AXES = frozenset({"CONCATENATION", "SPLIT", "SLICE", "PAD"}) | _REDUCTIONS
"""Operators that work along any axis and are told which."""


def keep_nhwc(model: Any) -> int:
    """Rewrite in place; gives the number of operators that compute in NHWC now, and did not before."""
    graph = model.subgraphs[0]
    work = _Work(model)
    for op in list(graph.operators):
        kind = flatbuffer.kind(model, op)
        if kind in ("TRANSPOSE", "RESHAPE"):
            work.meet_transpose(op, work.order(op, kind))
        elif kind in _PLAIN or kind in _AXES:
            work.move_above(op, kind)
    _drop_dead(graph)
    return work.moved


class _Work:
    """What is known on the way down the graph."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.graph = model.subgraphs[0]
        self.last: dict[int, int] = {}  # tensor in NCHW -> the same in NHWC
        self.moved = 0

    def order(self, op: Any, kind: str) -> list[int]:
        """In which order it puts the axes; [] where that is unknown.

        A pooled image, one pixel with all its channels, is often reshaped where it could be transposed.
        """
        if kind == "TRANSPOSE":
            order = flatbuffer.constant(self.model, int(op.inputs[1]))
            return [] if order is None else [int(axis) for axis in order]
        before, after = (
            [int(n) for n in self.graph.tensors[int(i[0])].shape] for i in (op.inputs, op.outputs)
        )
        depth = max(before, default=0)
        orders = {3: TO_NCHW, 1: TO_NHWC}
        pixel = {1: [1, depth, 1, 1], 3: [1, 1, 1, depth]}
        found = [orders[axis] for axis in orders if (before, after) == (pixel[axis], pixel[4 - axis])]
        return found[0] if found else []

    def meet_transpose(self, op: Any, order: list[int]) -> None:
        """Remember what it turns to NCHW; skip it where it turns such a thing back."""
        source, result = int(op.inputs[0]), int(op.outputs[0])
        if order == TO_NCHW:
            self.last[result] = source
        elif order == TO_NHWC and source in self.last and result not in list(self.graph.outputs):
            for user in self.graph.operators:
                user.inputs = [self.last[source] if i == result else int(i) for i in user.inputs]

    def move_above(self, op: Any, kind: str) -> None:
        """Turn NCHW -> op  into  NHWC -> op -> TRANSPOSE to NCHW, if all that it takes is there in NHWC."""
        data = self._data(op, kind)
        computed = [i for i in data if flatbuffer.constant(self.model, i) is None]
        four = all(len(self.graph.tensors[i].shape) == 4 for i in (*computed, *op.outputs))
        if not computed or not four or any(i not in self.last for i in computed):
            return
        if kind in _AXES and (len(computed) < len(data) or not self._told(op, kind)):
            return
        op.inputs = [self._turned(int(i)) if int(i) in data else int(i) for i in op.inputs]
        place = flatbuffer.place_of(self.graph, op)
        results = [int(i) for i in op.outputs]
        op.outputs = [self._twin(i) for i in results]
        for result, twin in zip(results, op.outputs, strict=True):
            self.last[result] = twin
            self.graph.operators.insert(place + 1, transpose(self.model, twin, result, TO_NCHW))
        self.moved += 1

    def _data(self, op: Any, kind: str) -> list[int]:
        """The inputs that hold numbers and not where to work."""
        inputs = [int(i) for i in op.inputs]
        if kind == "SPLIT":
            return inputs[1:]
        return inputs[:1] if kind in {"SLICE", "PAD"} | _REDUCTIONS else inputs

    def _told(self, op: Any, kind: str) -> bool:
        """Tell it the axes of NHWC; whether that was possible."""
        if kind == "CONCATENATION":
            op.builtinOptions.axis = _AXIS[int(op.builtinOptions.axis) % 4]
            return True
        if kind in _REDUCTIONS and not op.builtinOptions.keepDims:
            return False
        numbers = [0] if kind == "SPLIT" else list(range(1, len(op.inputs)))
        values = [flatbuffer.constant(self.model, int(op.inputs[n])) for n in numbers]
        if any(value is None for value in values) or (kind == "PAD" and len(numbers) > 1):
            return False
        inputs = [int(i) for i in op.inputs]
        for number, value in zip(numbers, values, strict=True):
            if value is None:
                return False
            named = kind == "SPLIT" or kind in _REDUCTIONS
            turned = np.array(_AXIS, value.dtype)[value] if named else value[TO_NHWC]
            name = f"{flatbuffer.title(self.graph.tensors[inputs[number]])}_nhwc"
            inputs[number] = flatbuffer.add_constant(self.model, name, turned)
        op.inputs = inputs
        return True

    def _turned(self, index: int) -> int:
        """An input in NHWC; a constant with fewer dimensions is spread as NCHW would."""
        value = flatbuffer.constant(self.model, index)
        if value is None:
            return self.last[index]
        if value.size == 1:
            return index
        four = value.reshape((1,) * (4 - value.ndim) + value.shape).transpose(TO_NHWC)
        return flatbuffer.add_constant(
            self.model, f"{flatbuffer.title(self.graph.tensors[index])}_nhwc", four
        )

    def _twin(self, index: int) -> int:
        """A tensor like a computed one, in NHWC."""
        from ai_edge_litert import schema_py_generated as schema

        tensor, twin = self.graph.tensors[index], schema.TensorT()
        twin.name, twin.type = f"{flatbuffer.title(tensor)}_nhwc".encode(), tensor.type
        twin.shape = [int(tensor.shape[axis]) for axis in TO_NHWC]
        twin.buffer, twin.quantization = 0, None
        self.graph.tensors.append(twin)
        return len(self.graph.tensors) - 1


def transpose(model: Any, source: int, result: int, order: list[int]) -> Any:
    """An operator that turns one tensor of the graph into another; the caller puts it in its place."""
    name = f"{flatbuffer.title(model.subgraphs[0].tensors[result])}_order"
    axes = flatbuffer.add_constant(model, name, np.array(order, np.int32))
    return flatbuffer.operator(model, "TRANSPOSE", [source, axes], [result])


def _drop_dead(graph: Any) -> None:
    """Remove operators whose outputs nothing takes."""
    wanted = {int(i) for i in graph.outputs}
    kept = []
    for op in reversed(graph.operators):
        if any(int(i) in wanted for i in op.outputs):
            kept.append(op)
            wanted |= {int(i) for i in op.inputs}
    graph.operators = kept[::-1]
