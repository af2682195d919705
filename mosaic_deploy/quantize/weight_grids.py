"""Weights that already lie on an 8-bit grid: find it, so that they can stay there.

A float file that was made of a quantised one holds ``scale * (integer - zero point)``. On its own grid such a
kernel loses nothing; on any other it is rounded a second time, which can cost more than the activations do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.graph.normal.dequantize import along, axis_of

if TYPE_CHECKING:
    import onnx

_LEVELS = 256
_FEWEST = 4
"""Different values below which anything is a grid."""
_GAPS = 64
"""The nearest two values may be so many steps apart."""
_ROUGH, _CLOSE = 0.1, 1e-2
"""Steps by which a value may miss the grid: while the step is searched for, and in the end."""
OUTPUT_AXIS = {"Conv": 0, "ConvTranspose": 1}
"""Where the output channels of a kernel are."""
_SECOND = ("MatMul", "Gemm")


@dataclass(frozen=True, slots=True)
class Grid:
    """value = scale * integer, the integers from ``lowest`` to ``highest``, 0 among them."""

    scale: float
    lowest: int
    highest: int

    @property
    def symmetric(self) -> bool:
        """Whether int8 without a zero point holds it."""
        return max(-self.lowest, self.highest) < _LEVELS // 2

    @property
    def zero_point(self) -> int:
        """The zero point of uint8."""
        return max(0, -self.lowest)


def find_grid(values: NDArray[np.float32]) -> Grid | None:
    """Recover the grid of 8 bits that finite values of any shape lie on, and 0; None where there is none.

    Every value lies within 0.01 of a step of its place.
    """
    levels = np.unique(np.append(values, np.float32(0)).astype(np.float64))
    if not _FEWEST <= len(levels) <= _LEVELS:
        return None
    nearest = float(np.diff(levels).min())
    span = float(levels[-1] - levels[0])
    for steps in range(1, _GAPS + 1):
        scale = nearest / steps
        if span / scale >= _LEVELS - 0.5:
            return None
        places = np.rint(levels / scale)
        if np.abs(levels / scale - places).max() > _ROUGH:
            continue
        scale = float(places @ levels / (places @ places))  # the step with the least squared error
        if np.abs(levels / scale - places).max() <= _CLOSE:
            return Grid(scale, int(places[0]), int(places[-1]))
    return None


@dataclass(frozen=True, slots=True)
class Kept:
    """Kernels whose own grids are used."""

    overrides: Mapping[str, list[dict[str, Any]]]
    """Name of a weight -> its parameters, as ONNX Runtime's quantiser wants them."""
    kernels: int
    """Weights of convolutions and products in all."""


def own_grids(model: onnx.ModelProto) -> Kept:
    """Find the weights that lie on a grid of 8 bits, per tensor or else per output channel.

    A grid per tensor may have a zero point (uint8); those per channel are symmetric (int8), as compilers
    want them.
    """
    from onnx import numpy_helper

    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    axes: dict[str, int | None] = {}
    for node in model.graph.node:
        if node.op_type in OUTPUT_AXIS or node.op_type in _SECOND:
            name = node.input[1]
            if name in constants:
                axes[name] = OUTPUT_AXIS.get(node.op_type)
    found: dict[str, list[dict[str, Any]]] = {}
    for name, axis in axes.items():
        values = numpy_helper.to_array(constants[name])
        if values.dtype == np.float32 and values.size and np.isfinite(values).all():
            stated = _parameters(values, axis)
            if stated:
                found[name] = stated
    return Kept(found, len(axes))


def _parameters(values: NDArray[np.float32], axis: int | None) -> list[dict[str, Any]] | None:
    whole = find_grid(values)
    if whole is not None:
        return [_stated(whole)]
    if axis is None:
        return None
    channels = []
    for channel in np.moveaxis(values, axis, 0):
        grid = find_grid(channel)
        if grid is None or not grid.symmetric:
            return None
        channels.append({"axis": axis, **_stated(grid)})
    return channels


def _stated(grid: Grid) -> dict[str, Any]:
    from onnxruntime.quantization import QuantType

    kind, zero_point = QuantType.QInt8, np.array(0, np.int8)
    if not grid.symmetric:
        kind, zero_point = QuantType.QUInt8, np.array(grid.zero_point, np.uint8)
    return {"quant_type": kind, "scale": np.array(grid.scale, np.float32), "zero_point": zero_point}


def rounded_channels(plain: onnx.ModelProto, quantized: onnx.ModelProto, kept: Kept) -> int:
    """Count the output channels that are off their own grid after all: no integers of the target hold them.

    Args:
        plain: the float graph.
        quantized: what was made of it, with pairs of quantisers.
        kept: what ``own_grids`` found in it.
    """
    from onnx import numpy_helper

    floats = {tensor.name: tensor for tensor in plain.graph.initializer if tensor.name in kept.overrides}
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in quantized.graph.initializer}
    count = 0
    for node in quantized.graph.node:
        name = node.input[0].removesuffix("_quantized")
        if node.op_type != "DequantizeLinear" or name not in floats or node.input[0] not in held:
            continue
        integers, scale, *zero_point = (held[part].astype(np.float64) for part in node.input)
        axis = axis_of(node, integers.ndim) or 0
        for shift in zero_point:
            integers = integers - along(shift, integers.ndim, axis)
        made = integers * along(scale, integers.ndim, axis)
        parts = kept.overrides[name]
        steps = np.array([float(part["scale"]) for part in parts])
        off = np.moveaxis(np.abs(made - numpy_helper.to_array(floats[name])), int(parts[0].get("axis", 0)), 0)
        count += int(np.count_nonzero(off.reshape(len(off), -1).max(axis=1) > _ROUGH * steps))
    return count


def own_steps(
    values: NDArray[np.float32], axis: int, steps: NDArray[np.float64]
) -> tuple[NDArray[np.float64], bool]:
    """Choose the steps of symmetric int8 channels so that they keep what lies on a grid.

    Args:
        values: a kernel.
        axis: its output channels.
        steps: (channels,) as they would be, the largest value at 127.

    Returns:
        The steps, and whether every channel keeps all its values. A channel whose integers do not fit into
        +-127 gets its grid's step and is clipped where that costs less than rounding.
    """
    whole, chosen, exact = find_grid(values), steps.copy(), True
    for index, channel in enumerate(np.moveaxis(values, axis, 0)):
        grid = whole or find_grid(channel)
        if grid is None:
            exact &= not channel.any()
            continue
        integers = np.abs(np.rint(channel / grid.scale))
        if integers.max() < _LEVELS // 2 or _clips_for_less(channel, integers, grid.scale, steps[index]):
            chosen[index] = grid.scale
        exact &= bool(integers.max() < _LEVELS // 2)
    return chosen, exact


def _clips_for_less(
    channel: NDArray[np.float32], integers: NDArray[np.float32], scale: float, step: float
) -> bool:
    clipped = np.maximum(integers - (_LEVELS // 2 - 1), 0) * scale
    rounded = channel - np.rint(channel / step) * step
    return float((clipped**2).sum()) < float((rounded**2).sum())
