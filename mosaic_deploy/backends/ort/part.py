"""A part of a network in ONNX Runtime's own format on its CPU kernels; runs in a child process."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mosaic_deploy.backends.ort.convert import to_ort
from mosaic_deploy.backends.ort.run import open_file
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject


def run_part(request: JsonObject, on_progress: OnProgress) -> JsonObject:
    """Do as ``backends.parts.PartRunner`` says: optimise for ARM as a build does, then run the file.

    Raises as ``convert.to_ort`` and ``run.predict`` do.
    """
    place = Path("part.ort").resolve()
    conversion = {"onnx": request["onnx"], "out": str(place), "config": "part.config", "integers": False}
    version = to_ort(conversion, on_progress)["version"]
    session = open_file(place, 1, spin=False)
    for feed, output in zip(request["feeds"], request["outputs"], strict=True):
        values = {name: np.load(path, allow_pickle=False) for name, path in feed.items()}
        np.save(output, session.run(None, values)[0], allow_pickle=False)
    return {"ran_on": f"ONNX Runtime {version}, CPU, .ort file"}
