"""TFLite files on LiteRT's interpreter with XNNPACK; functions for child processes.

XNNPACK takes what it can and leaves the rest to the interpreter's own kernels without a word. What it left is
worked out here: the nodes that must still run for the output to be had.
"""

from __future__ import annotations

import time as clock
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.backends.litert import fallback, flatbuffer
from mosaic_deploy.errors import ModelError
from mosaic_deploy.quantize.boundary import to_floats
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject

_DELEGATE = "DELEGATE"
_CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")


def predict(request: JsonObject, on_progress: OnProgress) -> JsonObject:
    """Run ``request["model"]`` on each of ``inputs`` (.npy) into ``outputs`` (.npy), scores as float32.

    ``input`` and ``output`` are the facts of a ``Built``, ``threads`` the number of XNNPACK's threads;
    ``profiled`` asks for ``fallback``.

    Returns:
        ``nodes``, ``outside`` (kind and name of those that XNNPACK left to other kernels), ``precision`` and
        ``floats`` (of a file of integers: what it computes in float, kind -> how many); where it is profiled,
        ``fallback`` (what those left are and cost, see ``fallback.measure``).

    Raises:
        ModelError: LiteRT cannot load the file.
    """
    model = Path(request["model"])
    interpreter = open_file(model, threads=request["threads"])
    source, result = request["input"], request["output"]
    pairs = list(zip(request["inputs"], request["outputs"], strict=True))
    values: NDArray[Any] = np.zeros(0, np.float32)
    for index, (image, place) in enumerate(pairs):
        values = feed(np.load(image, allow_pickle=False), source)
        np.save(place, to_floats(once(interpreter, values), result), allow_pickle=False)
        on_progress((index + 1) / len(pairs), f"image {index + 1} of {len(pairs)}")
    found = _facts(model, interpreter)
    if request["profiled"]:
        others = left(flatbuffer.load(model), interpreter)
        found["fallback"] = fallback.measure(model, others, values, threads=request["threads"])
    return found


def time(request: JsonObject, on_progress: OnProgress) -> JsonObject:
    """Run ``request["model"]`` on ``input_file`` ``warm_up`` + ``runs`` times on ``threads`` threads.

    Returns:
        what ``predict`` does, and ``seconds`` of each run after the warm-up, input copied in and output out.
    """
    model = Path(request["model"])
    interpreter = open_file(model, threads=request["threads"])
    values = feed(np.load(request["input_file"], allow_pickle=False), request["input"])
    seconds, rounds = [], request["warm_up"] + request["runs"]
    for index in range(rounds):
        begun = clock.perf_counter()
        once(interpreter, values)
        seconds.append(clock.perf_counter() - begun)
        on_progress((index + 1) / rounds, "")
    return {**_facts(model, interpreter), "seconds": seconds[request["warm_up"] :]}


def feed(values: NDArray[Any], grid: JsonObject) -> NDArray[Any]:
    """What the contract prepares, as the file takes it; ``grid`` are the facts of its input.

    Raw bytes stay exact where the grid is theirs; floats are rounded to the nearest step.
    """
    dtype = np.dtype(str(grid["dtype"]))
    if list(values.shape) != list(grid["shape"]):
        raise ModelError(f"the input has shape {list(values.shape)}, the TFLite file's {grid['shape']}")
    if values.dtype.kind in "iu" and grid.get("pixel_offset") is not None:
        shifted: NDArray[Any] = values.astype(np.int32) + int(grid["pixel_offset"])
        return shifted.astype(dtype)
    if values.dtype.kind in "iu" and grid.get("pixels") is not None:
        mean, scale = (np.float32(value) for value in grid["pixels"])
        values = (values.astype(np.float32) - mean) / scale
    if grid["scale"] is None:
        return values.astype(dtype)
    bounds = np.iinfo(str(dtype))
    steps = values.astype(np.float64) / grid["scale"] + grid["zero_point"] - (grid.get("pixel_shift") or 0)
    integers: NDArray[Any] = np.clip(np.rint(steps), bounds.min, bounds.max).astype(dtype)
    return integers


def open_file(model: Path, *, threads: int) -> Any:
    """Load a file into LiteRT's interpreter; raises ``ModelError`` where that is not possible."""
    from ai_edge_litert.interpreter import Interpreter

    if not model.is_file():
        raise ModelError(f"{model.name}: no such file")
    try:
        interpreter = Interpreter(str(model), num_threads=threads)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as err:
        reason = str(err).strip().splitlines() or ["no reason given"]
        raise ModelError(f"{model.name}: LiteRT cannot load it: {reason[0][:300]}") from err
    return interpreter


def once(interpreter: Any, values: NDArray[Any]) -> NDArray[Any]:
    """Run a loaded file on an input as the file takes it; its output as it is."""
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], values)
    interpreter.invoke()
    result: NDArray[Any] = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return result


def _facts(path: Path, interpreter: Any) -> JsonObject:
    model = flatbuffer.load(path)
    nodes = len(model.subgraphs[0].operators)
    floats = _floats(model)
    integer = any(flatbuffer.dtype(tensor) == "INT8" for tensor in model.subgraphs[0].tensors)
    return {
        "nodes": nodes,
        "outside": outside(model, interpreter),
        "floats": floats if integer else {},
        "precision": "float32" if not integer else "int8, partly float32" if floats else "int8",
    }


def _floats(model: Any) -> dict[str, int]:
    """The operators that compute in float, kind -> how many; conversions to and from integers are none."""
    graph, floats = model.subgraphs[0], {*flatbuffer.floats(model)}
    kinds = Counter(
        flatbuffer.kind(model, op)
        for op in graph.operators
        if floats & {flatbuffer.title(graph.tensors[i]) for i in op.outputs}
    )
    return {kind: count for kind, count in sorted(kinds.items()) if kind not in _CONVERSIONS}


def outside(model: Any, interpreter: Any) -> list[str]:
    """List the nodes that do not run inside a delegate, as ``ARG_MAX 'classmap'``, in the file's order."""
    graph = model.subgraphs[0]
    return [
        f"{flatbuffer.kind(model, graph.operators[n])} "
        f"'{flatbuffer.title(graph.tensors[graph.operators[n].outputs[0]])}'"
        for n in sorted(left(model, interpreter))
    ]


def left(model: Any, interpreter: Any) -> set[int]:
    """Give the numbers of the nodes that do not run inside a delegate.

    The interpreter lists the file's nodes and behind them each delegate as one more, with its inputs and
    outputs, but not which of them it still runs. Going back from the output: what a delegate makes, it
    makes; anything else that is needed is made by the node of the file.
    """
    graph = model.subgraphs[0]
    by_delegate: dict[int, Any] = {}
    for node in interpreter._get_ops_details()[len(graph.operators) :]:
        if node["op_name"] == _DELEGATE:
            by_delegate |= {int(tensor): node for tensor in node["outputs"]}
    by_node = {int(tensor): n for n, op in enumerate(graph.operators) for tensor in op.outputs}
    alone: set[int] = set()
    needed, seen = [int(tensor) for tensor in graph.outputs], set[int]()
    while needed:
        tensor = needed.pop()
        if tensor in seen:
            continue
        seen.add(tensor)
        if tensor in by_delegate:
            needed += [int(i) for i in by_delegate[tensor]["inputs"]]
        elif tensor in by_node:
            alone.add(by_node[tensor])
            needed += [int(i) for i in graph.operators[by_node[tensor]].inputs]
    return alone
