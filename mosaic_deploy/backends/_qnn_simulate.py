"""A compiled context on the Hexagon simulator; runs in a child process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.backends._qnn_session import open_session
from mosaic_deploy.worker import JsonObject, Tick


def simulate(request: JsonObject, tick: Tick) -> JsonObject:
    """Run the compiled ``request["context"]`` on each of ``inputs`` (.npy) into ``outputs`` (.npy).

    ``input`` and ``output`` are what ``_qnn_quantise.quantise`` returned for them. Float inputs are
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
        tick((index + 1) / len(pairs), f"image {index + 1} of {len(pairs)}")
    return {}


def to_integers(values: NDArray[Any], grid: JsonObject) -> NDArray[Any]:
    """Quantise to the nearest integer of a grid; bytes pass, times 256 where the grid is finer.

    Where raw pixels are the grid, the pixel comes out, also of floats normalised with half a step off.
    """
    dtype = np.dtype(grid["dtype"])
    if values.dtype.kind in "iu":
        return (values.astype(dtype) * (grid["pixel_factor"] or 1)).astype(dtype)
    if grid["scale"] is None:
        return values.astype(dtype)
    bounds = np.iinfo(str(dtype))
    steps = values.astype(np.float64) / grid["scale"] + grid["zero_point"] - grid["pixel_shift"]
    integers: NDArray[Any] = np.clip(np.rint(steps), bounds.min, bounds.max).astype(dtype)
    return integers


def to_floats(values: NDArray[Any], grid: JsonObject) -> NDArray[Any]:
    """Dequantise to float32; what has no scale, class ids say, stays as it is."""
    if grid["scale"] is None:
        return values
    floats: NDArray[Any] = (values.astype(np.float32) - grid["zero_point"]) * np.float32(grid["scale"])
    return floats
