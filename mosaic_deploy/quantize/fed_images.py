"""Prepared images as a graph with pairs of quantisers takes them; for child processes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.graph.execute import Port
from mosaic_deploy.quantize.boundary import inner_axes
from mosaic_deploy.quantize.qdq import Inserted
from mosaic_deploy.workers.worker import JsonObject


@dataclass(frozen=True, slots=True)
class FedImages:
    """Reads ``.npy`` files of a request's images for graphs that are made of its network."""

    axes: tuple[int, ...] | None
    """Order in which the graph takes the files' axes; None for their own."""
    pixels: tuple[float, float] | None
    """Mean and scale of raw pixels where the graph with pairs has lost its own normalisation."""

    @classmethod
    def of(cls, request: JsonObject, made: Inserted | None = None) -> FedImages:
        """For the float graph of a request, or for what was made of it."""
        pixels = None if made is None or made.pixels is None else (made.pixels[0], made.pixels[1])
        return cls(inner_axes(request), pixels)

    def read(self, path: str | Path, port: Port) -> NDArray[Any]:
        """One image, of the type and in the order of axes of the graph's input."""
        values = np.load(path, allow_pickle=False)
        values = values if self.axes is None else np.ascontiguousarray(values.transpose(self.axes))
        if port.type != "tensor(float)":
            return values
        floats: NDArray[Any] = values.astype(np.float32)
        if values.dtype == np.uint8 and self.pixels is not None:
            mean, scale = self.pixels
            floats = (floats - np.float32(mean)) / np.float32(scale)
        return floats
