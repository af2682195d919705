"""A part of a TFLite file on LiteRT with XNNPACK: what computes one of its tensors; runs in a child process.

The part is a file of its own, so that XNNPACK takes all of it that it takes of the whole: an interpreter that
is asked to preserve its tensors gives up kernels that fuse.
"""

from __future__ import annotations

import copy
import importlib.metadata
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from mosaic_deploy.backends.file_parts import fed
from mosaic_deploy.backends.litert import flatbuffer, xnnpack
from mosaic_deploy.errors import ModelError
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject


def run_part(request: JsonObject, _on_progress: OnProgress) -> JsonObject:
    """Do as ``backends.file_parts.FileParts.run_part`` says; raises ``ModelError`` where LiteRT does not."""
    model = flatbuffer.load(Path(request["file"]))
    cut(model, request["wanted"], request["given"])
    place = Path(request["cut"])
    flatbuffer.save(model, place)
    interpreter = xnnpack.open_file(place, threads=1)
    output = interpreter.get_output_details()[0]["index"]
    for index, image in enumerate(request["images"]):
        given = request["feeds"][index] if request["feeds"] else {}
        for number, tensor in enumerate(interpreter.get_input_details()):
            if tensor["name"] in given:
                values = np.load(given[tensor["name"]], allow_pickle=False)
            else:
                values = xnnpack.feed(np.load(image, allow_pickle=False), request["input"])
            np.save(fed(place, index, number), values, allow_pickle=False)
            interpreter.set_tensor(tensor["index"], values)
        interpreter.invoke()
        np.save(request["outputs"][index], interpreter.get_tensor(output), allow_pickle=False)
    return {"ran_on": f"LiteRT {importlib.metadata.version('ai-edge-litert')} with XNNPACK, CPU"}


def cut(model: Any, wanted: str, given: Collection[str]) -> None:
    """Keep the operators that compute a tensor from ``given``, and from the image where these do not do.

    Raises ``ModelError`` where the file has no such tensors.
    """
    graph = model.subgraphs[0]
    places = {flatbuffer.title(tensor): place for place, tensor in enumerate(graph.tensors)}
    lost = [name for name in (wanted, *given) if name not in places]
    if lost:
        raise ModelError(f"the file has no tensor '{lost[0]}'")
    target, stops = places[wanted], {places[name] for name in given} | {int(i) for i in graph.inputs}
    makers = {int(i): place for place, op in enumerate(graph.operators) for i in op.outputs}
    kept, read = set[int](), set[int]()
    waiting = [target]
    while waiting:
        index = waiting.pop()
        place = makers.get(index)
        if place is None or place in kept or (index in stops and index != target):
            continue
        kept.add(place)
        inputs = [int(i) for i in graph.operators[place].inputs if i >= 0]
        read.update(inputs)
        waiting += inputs
    graph.operators = [graph.operators[place] for place in sorted(kept)]
    for op in graph.operators:  # a SPLIT that is kept for another of its outputs
        op.outputs = [_twin(graph, int(i)) if int(i) in stops else int(i) for i in op.outputs]
    graph.inputs, graph.outputs = sorted(stops & read), [target]
    model.metadata = []


def _twin(graph: Any, index: int) -> int:
    """Another tensor of the same kind, which nothing reads."""
    twin = copy.copy(graph.tensors[index])
    twin.name = f"{flatbuffer.title(twin)}_unread".encode()
    graph.tensors.append(twin)
    return len(graph.tensors) - 1
