"""A part of a network on ONNX Runtime's CPU kernels; runs in a child process."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mosaic_deploy.graph.execute import Session
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject


def run_part(request: JsonObject, _on_progress: OnProgress) -> JsonObject:
    """Do as ``parts.PartRunner`` says; raises ``ModelError`` where ONNX Runtime does not run the graph."""
    return _run(request, optimize=True)


def run_part_plainly(request: JsonObject, _on_progress: OnProgress) -> JsonObject:
    """The same with every node as it stands: in floats between a DequantizeLinear and a QuantizeLinear."""
    return _run(request, optimize=False)


def _run(request: JsonObject, *, optimize: bool) -> JsonObject:
    session = Session(Path(request["onnx"]), optimize=optimize)
    for feed, place in zip(request["feeds"], request["outputs"], strict=True):
        values = {name: np.load(path, allow_pickle=False) for name, path in feed.items()}
        np.save(place, session.run(values)[0], allow_pickle=False)
    how = "" if optimize else ", node by node"
    return {"ran_on": f"ONNX Runtime {session.version}, CPU{how}"}
