"""Tensors as a file stores them: what the contract prepares in its type, and scores as its integers again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.errors import ModelError


def stored_input(values: NDArray[Any], facts: Mapping[str, Any]) -> NDArray[Any]:
    """Give what ``Contract.prepare`` made the type and the grid of the file's input.

    Args:
        values: floats, or the pixels themselves as uint8.
        facts: of the input, as a manifest states them: ``dtype``, ``scale``, ``zero_point``, and of integers
            ``pixel_factor``, ``pixel_offset``, ``pixel_shift`` and ``pixels`` where a backend states them.

    Raises:
        ModelError: the shape is not the file's.
    """
    if list(values.shape) != list(facts["shape"]):
        raise ModelError(f"the input has shape {list(values.shape)}, the file's {list(facts['shape'])}")
    dtype = np.dtype(str(facts["dtype"]))
    if values.dtype.kind in "iu":
        if facts.get("pixel_offset") is not None or facts.get("pixels") is None:
            factor, offset = facts.get("pixel_factor") or 1, facts.get("pixel_offset") or 0
            integers: NDArray[Any] = values.astype(np.int32) * int(factor) + int(offset)
            return integers.astype(dtype)
        mean, scale = (np.float32(value) for value in facts["pixels"])
        values = (values.astype(np.float32) - mean) / scale
    if facts["scale"] is None:
        return values.astype(dtype)
    return _on_grid(values, facts, shift=float(facts.get("pixel_shift") or 0))


def stored_output(values: NDArray[Any], facts: Mapping[str, Any]) -> NDArray[Any]:
    """Give dequantised scores back their integers, exactly; what was not dequantised stays as it is."""
    if facts["scale"] is None or values.dtype.kind in "iu":
        return values
    return _on_grid(values, facts)


def _on_grid(values: NDArray[Any], facts: Mapping[str, Any], *, shift: float = 0.0) -> NDArray[Any]:
    dtype = np.dtype(str(facts["dtype"]))
    bounds = np.iinfo(str(dtype))
    steps = values.astype(np.float64) / facts["scale"] + facts["zero_point"] - shift
    integers: NDArray[Any] = np.clip(np.rint(steps), bounds.min, bounds.max).astype(dtype)
    return integers
