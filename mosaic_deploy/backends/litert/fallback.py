"""What XNNPACK leaves of a file to the interpreter's own kernels, and what that costs; in child processes.

Those kernels run on the same processor and give the same numbers, often on one thread and slower. Their
share of the arithmetic is counted, their share of the time is measured, by LiteRT's own profiler.
"""

from __future__ import annotations

import math
import time as clock
from collections import Counter
from collections.abc import Set
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.backends.litert import flatbuffer
from mosaic_deploy.backends.litert.c_api import Runtime, StatusError
from mosaic_deploy.errors import ToolError
from mosaic_deploy.workers.worker import JsonObject

_RUNS = 3
"""Profiled runs at most, of which each share is a sum; one more comes before them."""
_ENOUGH_S = 3.0
"""No further run begins after so long: of a network that takes seconds one says as much."""


def measure(path: Path, left: Set[int], values: NDArray[Any], *, threads: int) -> JsonObject:
    """Say what the operators ``left`` (numbers in the file) are and cost, on an input as the file takes it.

    Returns:
        ``operators`` (kind -> how many), ``macs_share`` and ``time_share``, in [0, 1].

    Raises:
        ToolError: LiteRT's profiler fails.
    """
    model = flatbuffer.load(path)
    operators = model.subgraphs[0].operators
    kinds = Counter(flatbuffer.kind(model, operators[number]) for number in left)
    costs = [macs(model, op) for op in operators]
    share = sum(costs[number] for number in left) / (sum(costs) or 1)
    spent = _time_share(path, model, left, values, threads) if left else 0.0
    return {"operators": dict(sorted(kinds.items())), "macs_share": share, "time_share": spent}


def macs(model: Any, op: Any) -> int:
    """Multiply-accumulates of a convolution or matrix product of the file; 0 for other operators."""
    kind, tensors = flatbuffer.kind(model, op), model.subgraphs[0].tensors

    def shape(index: int) -> list[int]:
        return [int(side) for side in tensors[int(index)].shape]

    if kind == "CONV_2D":
        return math.prod(shape(op.outputs[0])) * math.prod(shape(op.inputs[1])[1:])
    if kind == "DEPTHWISE_CONV_2D":
        return math.prod(shape(op.outputs[0])) * math.prod(shape(op.inputs[1])[1:3])
    if kind == "TRANSPOSE_CONV":
        weights = shape(op.inputs[1])  # output channels, height, width, input channels
        return math.prod(shape(op.inputs[2])) * math.prod(weights[:3])
    if kind == "FULLY_CONNECTED":
        return math.prod(shape(op.outputs[0])) * shape(op.inputs[1])[-1]
    if kind == "BATCH_MATMUL":
        return math.prod(shape(op.outputs[0])) * shape(op.inputs[0])[-2 if op.builtinOptions.adjX else -1]
    return 0


def _time_share(path: Path, model: Any, left: Set[int], values: NDArray[Any], threads: int) -> float:
    graph = model.subgraphs[0]
    source, result = (flatbuffer.describe(model, i) for i in (graph.inputs[0], graph.outputs[0]))
    try:
        runtime = Runtime()
        network = runtime.profiled(path, threads=threads)
        image, scores = runtime.buffer(network, "Input", source), runtime.buffer(network, "Output", result)
        runtime.write(image, np.ascontiguousarray(values))
        runtime.profile(network, [image], [scores])
        found, until = [runtime.profile(network, [image], [scores])], clock.monotonic() + _ENOUGH_S
        while len(found) < _RUNS and clock.monotonic() < until:
            found.append(runtime.profile(network, [image], [scores]))
    except StatusError as err:
        raise ToolError(f"LiteRT's profiler does not time {path.name}: {err}") from err
    alone = sum(took for run in found for number, took in run.operators_us.items() if number in left)
    return alone / max(sum(run.whole_us for run in found), 1)
