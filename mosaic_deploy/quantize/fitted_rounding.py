"""Weights rounded so that what a channel gives on real images changes least, and not each weight by itself.

With x the inputs of one output value and H the mean of their products x x', a channel whose weights w become
v is off by (w - v)' H (w - v) in the square mean. One weight after the other takes the integer that is best
beside the others, until none changes; from where that ends best.

Source: M. Nagel et al., Up or Down? Adaptive Rounding for Post-Training Quantization, ICML 2020, section 3
states the same problem for each layer; the descent by coordinates is the plainest way to a good solution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
_POSITIONS = 2000
"""Output pixels of an image, about as many, that products are taken of."""
_PASSES = 20
_STEPS, _WIDEST = 40, 1.3
"""Steps that are tried, from the grid's own to more than it takes to hold the largest weight."""
_DESCENTS = 12
"""Of so many roundings that begin best it is seen where they end."""
_DAMPING = 1e-6
"""Share of the mean of the diagonal that is added to it: inputs that are always 0 decide nothing."""
_LOWEST, _HIGHEST = -128, 127


@dataclass(frozen=True, slots=True)
class Convolution:
    """What of a ``Conv`` decides which inputs a channel sees."""

    kernel: tuple[int, ...]
    """Shape of its weights: (output channels, inputs of a group, height, width)."""
    groups: int
    strides: tuple[int, int]
    dilations: tuple[int, int]

    @classmethod
    def of(cls, node: onnx.NodeProto, kernel: Sequence[int]) -> Convolution | None:
        """Read a node; None for one that is not on images."""
        from onnx import helper

        if node.op_type != "Conv" or len(kernel) != 4:
            return None
        stated = {held.name: helper.get_attribute_value(held) for held in node.attribute}
        strides, dilations = stated.get("strides", (1, 1)), stated.get("dilations", (1, 1))
        groups = int(stated.get("group", 1))
        return cls(tuple(kernel), groups, (strides[0], strides[1]), (dilations[0], dilations[1]))

    @property
    def inputs(self) -> int:
        """Numbers that one output value is made of."""
        return int(np.prod(self.kernel[1:]))

    def group_of(self, channel: int) -> int:
        """Which part of the input an output channel sees."""
        return channel // (self.kernel[0] // self.groups)

    def windows(self, values: NDArray[np.float32], group: int) -> Matrix:
        """(positions, inputs): what a group's channels see of some pixels of a (1, C, H, W) input."""
        many = self.kernel[1]
        part = values[0, group * many : (group + 1) * many]
        extents = [(k - 1) * d + 1 for k, d in zip(self.kernel[2:], self.dilations, strict=True)]
        part = np.pad(part, ((0, 0), *((extent // 2, extent // 2) for extent in extents)))
        rows = np.lib.stride_tricks.sliding_window_view(part, extents[0], axis=1)
        seen = np.lib.stride_tricks.sliding_window_view(rows, extents[1], axis=2)
        seen = seen[:, :: self.strides[0], :: self.strides[1], :: self.dilations[0], :: self.dilations[1]]
        apart = max(int(np.ceil(np.sqrt(seen.shape[1] * seen.shape[2] / _POSITIONS))), 1)
        seen = seen[:, apart // 2 :: apart, apart // 2 :: apart]
        found: Matrix = seen.transpose(1, 2, 0, 3, 4).reshape(-1, self.inputs).astype(np.float64)
        return found


@final
@dataclass(slots=True)
class Products:
    """The sums of products of the inputs of one convolution, of the groups that are wanted."""

    convolution: Convolution
    sums: dict[int, Matrix] = field(default_factory=dict)
    """Group -> (inputs, inputs)."""

    @classmethod
    def wanted(cls, convolution: Convolution, channels: Sequence[int]) -> Products:
        """None taken yet, for the groups of some output channels."""
        empty = np.zeros((convolution.inputs, convolution.inputs))
        return cls(convolution, {convolution.group_of(channel): empty.copy() for channel in channels})

    def add(self, values: NDArray[np.float32]) -> None:
        """Take an image's (1, C, H, W) input."""
        for group, held in self.sums.items():
            seen = self.convolution.windows(values, group)
            held += seen.T @ seen

    def of(self, channel: int) -> Matrix:
        """Those that an output channel sees."""
        return self.sums[self.convolution.group_of(channel)]


@dataclass(frozen=True, slots=True)
class Rounded:
    """A channel in int8 without a zero point."""

    integers: Vector
    step: float


def fit(weights: Vector, products: Matrix, *, scale: float) -> Rounded:
    """Round a channel that lies on a grid, and whose integers do not fit.

    Args:
        weights: (n,) as they are; the largest is more than 127 times ``scale``.
        products: (n, n) sums of products of what they are multiplied with.
        scale: the step of the grid.
    """
    order = np.argsort(-np.diag(products), kind="stable")  # what matters most first: the rest makes up for it
    ordered = products[np.ix_(order, order)]
    damped = ordered + np.eye(len(order)) * (_DAMPING * np.trace(ordered) / len(order) or 1.0)
    upper = np.linalg.cholesky(np.linalg.inv(damped)).T
    held = weights[order]
    usual = float(np.abs(weights).max()) / _HIGHEST
    begun = [
        Rounded(begin(held / step, upper), float(step))
        for step in (usual, *np.linspace(scale, _WIDEST * usual, _STEPS))
        for begin in (_nearest, _one_by_one)
    ]
    begun.sort(key=lambda rounded: _loss(held, damped, rounded))
    ended = [Rounded(_descend(held / r.step, damped, r.integers), r.step) for r in begun[:_DESCENTS]]
    best = min(ended, key=lambda rounded: _loss(held, damped, rounded))
    integers = np.empty_like(best.integers)
    integers[order] = best.integers
    return Rounded(integers, best.step)


def _nearest(weights: Vector, _upper: Matrix) -> Vector:
    return np.clip(np.rint(weights), _LOWEST, _HIGHEST)


def _one_by_one(weights: Vector, upper: Matrix) -> Vector:
    """Round each weight in turn, and let those that follow make up for it.

    ``upper`` is the factor U of the products' inverse U' U (E. Frantar et al., GPTQ, ICLR 2023, section 3).
    """
    left, found = weights.copy(), np.zeros_like(weights)
    for index in range(len(weights)):
        found[index] = np.clip(np.rint(left[index]), _LOWEST, _HIGHEST)
        missed = (left[index] - found[index]) / upper[index, index]
        left[index:] -= missed * upper[index, index:]
    return found


def _descend(weights: Vector, products: Matrix, integers: Vector) -> Vector:
    """Change one integer after the other for the better, until none does."""
    pull = products @ (weights - integers)
    for _ in range(_PASSES):
        changed = False
        for index in range(len(weights)):
            best = np.rint(integers[index] + pull[index] / products[index, index])
            best = np.clip(best, _LOWEST, _HIGHEST)
            if best != integers[index]:
                pull -= products[:, index] * (best - integers[index])
                integers[index], changed = best, True
        if not changed:
            break
    return integers


def _loss(weights: Vector, products: Matrix, rounded: Rounded) -> float:
    off = weights - rounded.integers * rounded.step
    return float(off @ products @ off)
