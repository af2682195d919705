"""Reading a TFLite file as plain values: operators, tensors, quantisation. The file is not trusted.

The schema that ai-edge-litert ships does the decoding. It checks nothing, so every length is bounded here,
and whatever it stumbles over becomes one ``ModelError``.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.errors import ModelError

MAX_BYTES = 64 * 2**20
_MAX_COUNT = 4096  # of operators or tensors
_MAX_RANK = 8
_MAX_NUMBERS = 1 << 18
"""Scales, zero points, and inputs and outputs of operators in all: tables of a file may share their lists, so
that a small one can hold any number of them."""
_MAGIC = b"TFL3"  # bytes 4 to 8 of every file

_DTYPES = {"UINT8": np.dtype("u1"), "INT8": np.dtype("i1"), "INT32": np.dtype("<i4")}
_OPTIONS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "CONV_2D": (
        "Conv2DOptions",
        ("StrideH", "StrideW", "DilationHFactor", "DilationWFactor", "Padding", "FusedActivationFunction"),
    ),
    "DEPTHWISE_CONV_2D": (
        "DepthwiseConv2DOptions",
        ("StrideH", "StrideW", "DilationHFactor", "DilationWFactor", "Padding", "FusedActivationFunction"),
    ),
    "AVERAGE_POOL_2D": ("Pool2DOptions", ("StrideH", "StrideW", "FilterHeight", "FilterWidth")),
    "RESIZE_BILINEAR": ("ResizeBilinearOptions", ("AlignCorners", "HalfPixelCenters")),
    "ADD": ("AddOptions", ("FusedActivationFunction",)),
    "CONCATENATION": ("ConcatenationOptions", ("Axis", "FusedActivationFunction")),
    "SPLIT": ("SplitOptions", ("NumSplits",)),
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of the file; ``data`` is None unless it is a constant of a type known here."""

    shape: tuple[int, ...]
    dtype: str
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    data: NDArray[np.integer] | None

    def floats(self) -> NDArray[np.float32]:
        """Return scale * (data - zero point); raises ``ModelError`` if quantised otherwise than whole."""
        if self.data is None or len(self.scales) != 1 or len(self.zero_points) != 1:
            raise ModelError("a weight is not a constant, or not quantised per tensor")
        if not (math.isfinite(self.scales[0]) and self.scales[0] > 0):
            raise ModelError(f"a weight has the scale {self.scales[0]}")
        centred = self.data.astype(np.int64) - self.zero_points[0]
        return (centred * self.scales[0]).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Op:
    """An operator: its kind in TFLite's words, tensor numbers, and the options that matter."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, int]


@final
@dataclass(frozen=True, slots=True)
class Graph:
    """The only subgraph of a file, operators in order of execution."""

    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def without_requantization(self) -> Graph:
        """Drop ``QUANTIZE`` operators, which in floats do nothing: x -> QUANTIZE -> y  becomes  x."""
        source: dict[int, int] = {}
        ops = []
        for op in self.ops:
            inputs = tuple(source.get(i, i) for i in op.inputs)
            if op.kind == "QUANTIZE" and len(inputs) == len(op.outputs) == 1:
                source[op.outputs[0]] = inputs[0]
            else:
                ops.append(replace(op, inputs=inputs))
        return replace(self, ops=tuple(ops), outputs=tuple(source.get(i, i) for i in self.outputs))


def parse(data: bytes, path: Path) -> Graph:
    """Decode a TFLite file of one subgraph; ``path`` is for messages.

    Raises:
        ModelError: the bytes are too many, no TFLite, cut off or damaged.
    """
    if len(data) > MAX_BYTES:
        raise ModelError(f"{path}: larger than {MAX_BYTES >> 20} MiB, the largest that is supported")
    if data[4:8] != _MAGIC:
        raise ModelError(f"{path}: not a TFLite file")
    from ai_edge_litert import schema_py_generated as schema

    try:
        return _graph(schema, schema.Model.GetRootAsModel(data, 0))
    except (
        struct.error, ValueError, IndexError, TypeError, AttributeError, KeyError, OverflowError,
    ) as err:  # fmt: skip
        raise ModelError(f"{path}: cut off or damaged TFLite file: fetch it again") from err


@final
class _Allowance:
    """How many numbers may still be read."""

    def __init__(self) -> None:
        self._left = _MAX_NUMBERS

    def take(self, count: int) -> int:
        """Take so many, and return how many; raises ``ValueError`` if that is more than are left."""
        self._left -= _count(count)
        if self._left < 0:
            raise ValueError("numbers")
        return count


def _graph(schema: Any, model: Any) -> Graph:
    if _count(model.SubgraphsLength()) != 1:
        raise ValueError("not one subgraph")
    graph, left = model.Subgraphs(0), _Allowance()
    tensors = [_tensor(schema, model, graph.Tensors(i), left) for i in range(_count(graph.TensorsLength()))]
    kinds = {value: name for name, value in vars(schema.BuiltinOperator).items() if name.isupper()}
    ops = [
        _op(schema, model, graph.Operators(i), kinds, _Numbers(len(tensors), left))
        for i in range(_count(graph.OperatorsLength()))
    ]
    numbers = _Numbers(len(tensors), left)
    inputs = numbers.read(graph.Inputs, graph.InputsLength())
    return Graph(tuple(tensors), tuple(ops), inputs, numbers.read(graph.Outputs, graph.OutputsLength()))


def _tensor(schema: Any, model: Any, tensor: Any, left: _Allowance) -> Tensor:
    kinds = {value: name for name, value in vars(schema.TensorType).items() if name.isupper()}
    dtype = kinds[tensor.Type()]
    rank = tensor.ShapeLength()
    if rank > _MAX_RANK:
        raise ValueError("rank")
    shape = tuple(int(tensor.Shape(i)) for i in range(rank))
    scales: tuple[float, ...] = ()
    zeros: tuple[int, ...] = ()
    if (quantized := tensor.Quantization()) is not None:
        scales = tuple(float(quantized.Scale(i)) for i in range(left.take(quantized.ScaleLength())))
        zeros = tuple(int(quantized.ZeroPoint(i)) for i in range(left.take(quantized.ZeroPointLength())))
    data = None
    buffer = model.Buffers(tensor.Buffer())
    if buffer.DataLength() and dtype in _DTYPES:
        data = buffer.DataAsNumpy().view(_DTYPES[dtype]).reshape(shape)
    return Tensor(shape, dtype, scales, zeros, data)


def _op(schema: Any, model: Any, op: Any, kinds: Mapping[int, str], numbers: _Numbers) -> Op:
    code = model.OperatorCodes(op.OpcodeIndex())
    kind = kinds[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
    options: dict[str, int] = {}
    if kind in _OPTIONS and (union := op.BuiltinOptions()) is not None:
        name, fields = _OPTIONS[kind]
        table = vars(schema)[name]()
        table.Init(union.Bytes, union.Pos)
        options = {field: int(getattr(table, field)()) for field in fields}
    return Op(
        kind,
        numbers.read(op.Inputs, op.InputsLength()),
        numbers.read(op.Outputs, op.OutputsLength()),
        options,
    )


@final
@dataclass(frozen=True, slots=True)
class _Numbers:
    """Lists of tensor numbers."""

    tensors: int
    left: _Allowance

    def read(self, item: Any, length: int) -> tuple[int, ...]:
        """All of one list; raises ``ValueError`` for the number of no tensor."""
        numbers = tuple(int(item(i)) for i in range(self.left.take(length)))
        if any(not 0 <= number < self.tensors for number in numbers):
            raise ValueError("tensor number")
        return numbers


def _count(length: int) -> int:
    if length > _MAX_COUNT:
        raise ValueError("length")
    return length
