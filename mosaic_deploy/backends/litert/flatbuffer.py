"""Reading, changing and writing TFLite files as objects, in child processes.

``ai-edge-litert`` ships the schema; its own packing of a file forgets that constants must start at multiples
of 16 bytes, so writing is done here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.errors import ModelError

ALIGNMENT = 16
"""Bytes: where the constants of a file must start, as the schema says and as kernels rely on."""
_OPTIONS = {"PADV2": "PadV2", "BATCH_MATMUL": "BatchMatMul"} | dict.fromkeys(
    ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN"), "Reducer"
)
"""What the schema calls the options of an operator, where that is not the operator's name."""
_FLOATS = ("FLOAT16", "BFLOAT16", "FLOAT32", "FLOAT64")


def load(path: Path) -> Any:
    """Read a file of one subgraph as the schema's ``ModelT``; raises ``ModelError`` if it is none."""
    from ai_edge_litert import schema_py_generated as schema

    data = path.read_bytes()
    if data[4:8] != b"TFL3":
        raise ModelError(f"{path.name}: not a TFLite file")
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    if len(model.subgraphs) != 1:
        raise ModelError(f"{path.name}: has {len(model.subgraphs)} subgraphs, one is expected")
    for tensor in model.subgraphs[0].tensors:
        tensor.shape = [] if tensor.shape is None else tensor.shape  # of one number without dimensions
    return model


def save(model: Any, path: Path) -> None:
    """Write a ``ModelT``, every constant aligned, and nothing twice or unused."""
    import flatbuffers  # type: ignore[import-untyped]  # it has no types

    _drop_unused(model)
    builder = flatbuffers.Builder(1 << 20)
    model.buffers = [_Aligned(buffer) for buffer in model.buffers]
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(bytes(builder.Output()))


class _Aligned:
    """A constant that packs itself at a multiple of ``ALIGNMENT``."""

    def __init__(self, buffer: Any) -> None:
        self.data = buffer.data

    def Pack(self, builder: Any) -> int:  # noqa: N802  # the schema's name
        """Write it; gives its place."""
        from ai_edge_litert import schema_py_generated as schema

        data = None
        if self.data is not None and len(self.data):
            payload = np.asarray(self.data, np.uint8).tobytes()
            builder.StartVector(1, len(payload), ALIGNMENT)
            builder.head -= len(payload)
            builder.Bytes[builder.head : builder.head + len(payload)] = payload
            data = builder.EndVector()
        schema.BufferStart(builder)
        if data is not None:
            schema.BufferAddData(builder, data)
        return int(schema.BufferEnd(builder))


def _drop_unused(model: Any) -> None:
    """Leave out tensors, buffers and operator codes that nothing refers to; the numbers change."""
    graph = model.subgraphs[0]
    used = _used(model)
    tensors = {old: new for new, old in enumerate(used)}
    graph.tensors = [graph.tensors[i] for i in used]
    for owner in (*graph.operators, graph):
        owner.inputs = [tensors.get(int(i), -1) for i in owner.inputs]
        owner.outputs = [tensors[int(i)] for i in owner.outputs]
    codes = sorted({int(op.opcodeIndex) for op in graph.operators})
    model.operatorCodes = [model.operatorCodes[i] for i in codes]
    for op in graph.operators:
        op.opcodeIndex = codes.index(int(op.opcodeIndex))
    buffers = sorted(
        {0, *(int(t.buffer) for t in graph.tensors), *(int(m.buffer) for m in model.metadata or [])}
    )
    numbers = {old: new for new, old in enumerate(buffers)}
    model.buffers = [model.buffers[i] for i in buffers]
    for entry in (*graph.tensors, *(model.metadata or [])):
        entry.buffer = numbers[int(entry.buffer)]
    # A signature names the tensors once more; one input and one output need none.
    model.signatureDefs = None


def _used(model: Any) -> list[int]:
    graph = model.subgraphs[0]
    used = {int(i) for op in graph.operators for i in (*op.inputs, *op.outputs) if i >= 0}
    return sorted(used | {int(i) for i in (*graph.inputs, *graph.outputs)})


def kind(model: Any, op: Any) -> str:
    """An operator in TFLite's words, ``CONV_2D``; a custom one as ``CUSTOM name``."""
    from ai_edge_litert import schema_py_generated as schema

    code = model.operatorCodes[op.opcodeIndex]
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    if number == schema.BuiltinOperator.CUSTOM:
        return f"CUSTOM {(code.customCode or b'').decode(errors='replace')}"
    return str(next(k for k, v in vars(schema.BuiltinOperator).items() if v == number and k.isupper()))


def opcode(model: Any, name: str, *, version: int) -> int:
    """The number of an operator code of the file, added if it is not there."""
    from ai_edge_litert import schema_py_generated as schema

    number = vars(schema.BuiltinOperator)[name]
    for index, code in enumerate(model.operatorCodes):
        if max(code.builtinCode, code.deprecatedBuiltinCode) == number and code.version >= version:
            return index
    code = schema.OperatorCodeT()
    # Numbers that fit stand in both places, for readers from before there were more than 127 operators.
    code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), version
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def dtype(tensor: Any) -> str:
    """A tensor's type in TFLite's words: ``FLOAT32``."""
    from ai_edge_litert import schema_py_generated as schema

    return str(next(k for k, v in vars(schema.TensorType).items() if v == tensor.type and k.isupper()))


def title(tensor: Any) -> str:
    """A tensor's name."""
    return bytes(tensor.name or b"").decode(errors="replace")


def constant(model: Any, index: int) -> NDArray[Any] | None:
    """The value of a tensor, or None if it is computed."""
    tensor = model.subgraphs[0].tensors[index]
    data = model.buffers[tensor.buffer].data
    if data is None or not len(data):
        return None
    dtypes = {"FLOAT32": "<f4", "FLOAT16": "<f2", "INT32": "<i4", "INT64": "<i8", "INT8": "i1", "UINT8": "u1"}
    name = dtype(tensor)
    if name not in dtypes:
        return None
    return np.asarray(data, np.uint8).view(dtypes[name]).reshape([int(d) for d in tensor.shape])


def add_constant(model: Any, name: str, value: NDArray[Any]) -> int:
    """Put a constant into the graph; gives the tensor's number."""
    from ai_edge_litert import schema_py_generated as schema

    types = {"float32": "FLOAT32", "float16": "FLOAT16", "int32": "INT32", "int64": "INT64"}
    tensor = schema.TensorT()
    tensor.name, tensor.shape = name.encode(), list(value.shape)
    tensor.type, tensor.buffer = vars(schema.TensorType)[types[value.dtype.name]], add_buffer(model, value)
    tensor.quantization = None
    model.subgraphs[0].tensors.append(tensor)
    return len(model.subgraphs[0].tensors) - 1


def add_buffer(model: Any, value: NDArray[Any]) -> int:
    """Put the bytes of a constant into the file; gives the buffer's number."""
    from ai_edge_litert import schema_py_generated as schema

    buffer = schema.BufferT()
    buffer.data = np.frombuffer(np.ascontiguousarray(value).tobytes(), np.uint8)
    model.buffers.append(buffer)
    return len(model.buffers) - 1


def add_tensor(model: Any, name: str, shape: list[int]) -> int:
    """Put a float32 tensor that is to be computed into the graph; gives its number."""
    from ai_edge_litert import schema_py_generated as schema

    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type = name.encode(), shape, schema.TensorType.FLOAT32
    tensor.buffer, tensor.quantization = 0, None
    model.subgraphs[0].tensors.append(tensor)
    return len(model.subgraphs[0].tensors) - 1


def add_quantized(model: Any, name: str, shape: list[int], grid: tuple[float, int]) -> int:
    """Put an int8 tensor that is to be computed into the graph, ``grid`` its step and zero point."""
    from ai_edge_litert import schema_py_generated as schema

    number = add_tensor(model, name, shape)
    tensor = model.subgraphs[0].tensors[number]
    tensor.type, tensor.quantization = schema.TensorType.INT8, schema.QuantizationParametersT()
    tensor.quantization.scale = np.array(grid[:1], np.float32)
    tensor.quantization.zeroPoint = np.array(grid[1:], np.int64)
    return number


def operator(model: Any, name: str, inputs: list[int], outputs: list[int]) -> Any:
    """An operator with its default options, which the caller puts in its place; ``name`` as in ``kind``."""
    from ai_edge_litert import schema_py_generated as schema

    options = f"{_OPTIONS.get(name) or name.title().replace('_', '')}Options"
    op = schema.OperatorT()
    op.opcodeIndex = opcode(model, name, version=1)
    op.inputs, op.outputs = inputs, outputs
    op.builtinOptionsType = vars(schema.BuiltinOptions)[options]
    op.builtinOptions = vars(schema)[f"{options}T"]()
    return op


def place_of(graph: Any, op: Any) -> int:
    """Where an operator stands in a graph's order."""
    return next(index for index, other in enumerate(graph.operators) if other is op)


def slice_of(model: Any, source: int, begin: list[int], result: int) -> Any:
    """A SLICE from ``begin`` on, as large as ``result``, which the caller puts in its place."""
    made = model.subgraphs[0].tensors[result]
    pairs = (("from", begin), ("size", [int(side) for side in made.shape]))
    bounds = [
        add_constant(model, f"{title(made)}_{key}", np.array(values, np.int32)) for key, values in pairs
    ]
    return operator(model, "SLICE", [source, *bounds], [result])


def describe(model: Any, index: int) -> dict[str, Any]:
    """Name, shape, dtype, scale and zero point of an input or output, for the manifest."""
    tensor = model.subgraphs[0].tensors[index]
    grid = tensor.quantization
    scaled = grid is not None and grid.scale is not None and len(grid.scale) == 1
    return {
        "name": title(tensor),
        "shape": [int(d) for d in tensor.shape],
        "dtype": dtype(tensor).lower(),
        "scale": float(grid.scale[0]) if scaled else None,
        "zero_point": int(grid.zeroPoint[0]) if scaled else None,
    }


def floats(model: Any) -> list[str]:
    """Names of all float tensors that an operator or an end of the graph uses."""
    tensors = model.subgraphs[0].tensors
    return [title(tensors[i]) for i in _used(model) if dtype(tensors[i]) in _FLOATS]


def embed(model: Any, key: str, text: str) -> None:
    """Store a text in the file's metadata, in place of all that was there."""
    from ai_edge_litert import schema_py_generated as schema

    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(text.encode(), np.uint8)
    model.buffers.append(buffer)
    entry.name, entry.buffer = key.encode(), len(model.buffers) - 1
    model.metadata = [entry]
    model.description = b"mosaic-deploy"


def read_metadata(path: Path, key: str) -> str | None:
    """The text that a file holds under a key, or None."""
    model = load(path)
    for entry in model.metadata or []:
        if bytes(entry.name) == key.encode():
            return bytes(np.asarray(model.buffers[entry.buffer].data, np.uint8)).decode()
    return None
