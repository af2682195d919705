"""A part of a network, compiled for one Hexagon architecture and simulated; runs in a child process."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mosaic_deploy.backends.qnn.compile import compile_context
from mosaic_deploy.backends.qnn.session import open_session
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject


def run_part(request: JsonObject, on_progress: OnProgress) -> JsonObject:
    """Do as ``backends.parts.PartRunner`` says, for the architecture ``variant``.

    Raises ``RefusedError`` or ``ToolError`` as the compiler does.
    """
    arch, folder = int(request["variant"]), Path("context")
    made = compile_context({"qdq": request["onnx"], "arch": arch, "out": str(folder)}, on_progress)
    session = open_session(folder / str(made["onnx"]), provider={}, entries={})
    for feed, place in zip(request["feeds"], request["outputs"], strict=True):
        values = {name: np.load(path, allow_pickle=False) for name, path in feed.items()}
        np.save(place, session.run(None, values)[0], allow_pickle=False)
    return {"ran_on": f"Hexagon simulator, v{arch} context binary, QNN {made['sdk']}"}
