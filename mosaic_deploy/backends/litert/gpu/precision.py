"""What the arithmetic of the GPU accelerator really is, found by letting it add up numbers.

    two pixels of 1024 channels -> CONV_2D, 1x1, all weights 1 -> two sums

One sum tells how a number is stored, the other how a sum is kept while it grows. In a child process only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mosaic_deploy.backends.litert import flatbuffer
from mosaic_deploy.backends.litert.c_api import OnGpu

_CHANNELS = 1024
_FINE = np.float32(1 + 2**-12)
"""float32 holds it, float16, whose numbers near 1 are 2**-10 apart, makes 1 of it."""
_LARGE, _SMALL = 2048, 0.5
"""Four large numbers and 1020 small ones: whoever adds in float16 loses each of the small ones."""
_SUM = 4 * _LARGE + (_CHANNELS - 4) * _SMALL
_LOST_SUM = 4 * _LARGE


def precision(folder: Path, *, asked: str) -> str:
    """The arithmetic in words, for what is ``asked`` of the accelerator (one of ``c_api.PRECISIONS``).

    ``float32``, ``float16`` or ``float16 with float32 sums``. Writes a small file into ``folder``.

    Raises ``StatusError`` where the accelerator cannot be had.
    """
    path = folder / "probe.tflite"
    write(path)
    values = np.zeros((1, 1, 2, _CHANNELS), np.float32)
    source = {"shape": list(values.shape), "dtype": "float32"}
    result = {"shape": [1, 1, 2, 1], "dtype": "float32"}
    network = OnGpu(path, precision=asked, source=source, result=result)
    values[0, 0, 0, 0] = _FINE
    values[0, 0, 1] = _SMALL
    values[0, 0, 1, :4] = _LARGE
    fine, total = network.run(values).ravel()
    if fine == _FINE:
        return "float32"
    # In between lies what adds pairs or lanes apart; it keeps most of the sum only in float32.
    kept = (float(total) - _LOST_SUM) / (_SUM - _LOST_SUM)
    return "float16 with float32 sums" if kept > 0.9 else "float16"


def write(path: Path) -> None:
    """Write the network."""
    from ai_edge_litert import schema_py_generated as schema

    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.subgraphs, model.metadata = 3, [graph], []
    model.operatorCodes, model.buffers = [], [schema.BufferT()]
    graph.tensors, graph.operators = [], []
    weights = flatbuffer.add_constant(model, "weights", np.ones((1, 1, 1, _CHANNELS), np.float32))
    bias = flatbuffer.add_constant(model, "bias", np.zeros(1, np.float32))
    graph.inputs = [_tensor(model, "numbers", [1, 1, 2, _CHANNELS])]
    graph.outputs = [_tensor(model, "sums", [1, 1, 2, 1])]
    operator = schema.OperatorT()
    operator.opcodeIndex = flatbuffer.opcode(model, "CONV_2D", version=1)
    operator.inputs, operator.outputs = [graph.inputs[0], weights, bias], list(graph.outputs)
    operator.builtinOptionsType = schema.BuiltinOptions.Conv2DOptions
    operator.builtinOptions = schema.Conv2DOptionsT()
    operator.builtinOptions.strideH = operator.builtinOptions.strideW = 1
    graph.operators.append(operator)
    flatbuffer.save(model, path)


def _tensor(model: Any, name: str, shape: list[int]) -> int:
    from ai_edge_litert import schema_py_generated as schema

    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type = name.encode(), shape, schema.TensorType.FLOAT32
    model.subgraphs[0].tensors.append(tensor)
    return len(model.subgraphs[0].tensors) - 1
