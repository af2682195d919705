"""A compiled context on the Hexagon simulator; runs in a child process."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mosaic_deploy.backends.qnn.session import open_session
from mosaic_deploy.quantize.boundary import to_floats, to_integers
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject


def simulate(request: JsonObject, on_progress: OnProgress) -> JsonObject:
    """Run the compiled ``request["context"]`` on each of ``inputs`` (.npy) into ``outputs`` (.npy).

    ``input`` and ``output`` are what ``quantize.quantise`` returned for them. Float inputs are
    quantised first, and integer scores are dequantised to float32 afterwards, as an application would.

    Raises ``ToolError`` if the context does not load.
    """
    session = open_session(Path(request["context"]), provider={}, entries={})
    source, result = request["input"], request["output"]
    pairs = list(zip(request["inputs"], request["outputs"], strict=True))
    for index, (image, place) in enumerate(pairs):
        integers = to_integers(np.load(image, allow_pickle=False), source)
        values = session.run(None, {source["name"]: integers})[0]
        np.save(place, to_floats(values, result), allow_pickle=False)
        on_progress((index + 1) / len(pairs), f"image {index + 1} of {len(pairs)}")
    return {}
