"""ConvTranspose as a convolution whose channels are then spread over the plane.

    x -> ConvTranspose(stride s) -> y    becomes    x -> Conv(stride 1) -> DepthToSpace(s) -> (Slice) -> y

Each of the s * s places within a cell has a kernel of its own: the taps of the old one that fall there. With
stride 1 the convolution with the turned kernel is all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site


@dataclass(frozen=True, slots=True)
class _Axis:
    """How one axis of the kernel falls into cells."""

    kernel: int
    stride: int
    begin: int
    before: int
    after: int

    @property
    def first(self) -> int:
        """The least distance, in input pixels, of a tap from the cell."""
        return -((self.kernel - 1 - self.begin) // self.stride)

    @property
    def last(self) -> int:
        """The largest distance."""
        return (self.stride - 1 + self.begin) // self.stride

    @property
    def cells(self) -> int:
        """Cells of the output, the last perhaps cut."""
        return -(-self.after // self.stride)

    @property
    def pads(self) -> tuple[int, int]:
        """Padding of the new convolution; cell q reads inputs q + first ... q + last."""
        return -self.first, self.cells - self.before + self.last

    def tap(self, place: int, distance: int) -> int | None:
        """Say which tap lies at a place within the cell, that far from the input pixel."""
        tap = place + self.begin - self.stride * distance
        return tap if 0 <= tap < self.kernel else None


def _rewrite(site: Site) -> bool:
    weight, before, after = site.constant(1), site.shape(), site.out_shape
    bias = site.constant(2)
    if weight is None or before is None or after is None or len(before) != 4 or not site.floating:
        return False
    strides, dilations = site.numbers("strides", (1, 1)), site.numbers("dilations", (1, 1))
    pads = site.numbers("pads", (0, 0, 0, 0))
    automatic = site.text("auto_pad", "NOTSET") != "NOTSET" or site.numbers("output_shape")
    if automatic or strides[0] != strides[1] or dilations != (1, 1) or (site.input(2) and bias is None):
        return False
    axes = tuple(_Axis(weight.shape[2 + i], strides[i], pads[i], before[2 + i], after[2 + i]) for i in (0, 1))
    (top, bottom), (left, right) = axes[0].pads, axes[1].pads
    if min(top, bottom, left, right) < 0:
        return False
    groups, stride = site.whole("group", 1), strides[0]
    kernel = _kernel(weight, axes, groups)
    parts = [site.x, site.const(kernel)]
    if bias is not None:
        parts.append(
            site.const(bias.repeat(stride * stride) if groups > 1 else np.tile(bias, stride * stride))
        )
    y = site.op("Conv", *parts, group=groups, pads=[top, left, bottom, right], kernel_shape=kernel.shape[2:])
    if stride > 1:
        y = site.op("DepthToSpace", y, blocksize=stride, mode="CRD" if groups > 1 else "DCR")
    for i in (0, 1):
        if axes[i].cells * stride != after[2 + i]:
            y = site.slice(y, 0, after[2 + i], axis=2 + i)
    return site.give(y)


def _kernel(weight: NDArray[np.generic], axes: tuple[_Axis, ...], groups: int) -> NDArray[np.generic]:
    """Build (M, C / groups, kh, kw) out of the old (C, M / groups, KH, KW).

    M runs over place, then channel (DCR) with one group, over channel, then place (CRD) with more.
    """
    rows, columns = axes
    inputs, outputs = weight.shape[0] // groups, weight.shape[1]
    stride = rows.stride
    sides = (rows.last - rows.first + 1, columns.last - columns.first + 1)
    kernel = np.zeros((groups, outputs, stride, stride, inputs, *sides), weight.dtype)
    old = weight.reshape(groups, inputs, outputs, *weight.shape[2:])
    for a in range(stride):
        for b in range(stride):
            for i in range(sides[0]):
                for j in range(sides[1]):
                    row, column = rows.tap(a, rows.first + i), columns.tap(b, columns.first + j)
                    if row is not None and column is not None:
                        kernel[:, :, a, b, :, i, j] = old[:, :, :, row, column].transpose(0, 2, 1)
    if groups == 1:
        kernel = kernel.transpose(0, 2, 3, 1, 4, 5, 6)
    return np.ascontiguousarray(kernel.reshape(-1, inputs, *sides))


PASS = Pass(
    name="conv_transpose",
    summary="ConvTranspose -> Conv, DepthToSpace, (Slice)",
    anchors=("ConvTranspose",),
    requires=("conv_transpose_dilated",),
    rewrite=_rewrite,
)
