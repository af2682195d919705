"""Transposed convolutions and batch normalisation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.graph.passes._pass import Pass
from mosaic_deploy.graph.passes._site import Site


def _batch_norm_folded(site: Site) -> bool:
    """BatchNormalization folded into the convolution before it.

        x -> Conv(w, b) -> BatchNormalization -> y    becomes    x -> Conv(w', b') -> y

    Only where nothing else reads the convolution, and its weights are constants; they are copied, so that
    another convolution may share them.
    """
    conv = site.graph.producer(site.x, "Conv")
    values = [site.constant(index) for index in range(1, 5)]
    if conv is None or site.graph.only_consumer(site.x) is None or len(site.node.output) != 1:
        return False
    weight = site.graph.constant(conv.input[1])
    bias = site.graph.constant(conv.input[2]) if len(conv.input) > 2 and conv.input[2] else None
    if weight is None or (len(conv.input) > 2 and conv.input[2] and bias is None):
        return False
    if any(value is None for value in values) or site.attr_int("training_mode", 0):
        return False
    scale, shift, mean, variance = (np.asarray(value, np.float64) for value in values)
    factor = scale / np.sqrt(variance + site.attr_float("epsilon", 1e-5))
    if not np.isfinite(factor).all():
        return False
    start = 0.0 if bias is None else np.asarray(bias, np.float64)
    folded = weight * factor.reshape(-1, *(1,) * (weight.ndim - 1))
    site.also_replaces(conv)
    weights = site.const(folded.astype(weight.dtype))
    offsets = site.const(((start - mean) * factor + shift).astype(weight.dtype))
    name = site.op("Conv", conv.input[0], weights, offsets)
    site.made[-1].attribute.extend(conv.attribute)
    return site.replace_with(name)


BATCH_NORM_FOLDED = Pass(
    name="batch_norm_folded",
    summary="Conv, BatchNormalization -> Conv",
    anchors=("BatchNormalization",),
    rewrite=_batch_norm_folded,
)


def _batch_norm_alone(site: Site) -> bool:
    """BatchNormalization that no convolution precedes, as a multiplication and an addition.

    x -> BatchNormalization -> y    becomes    y = x * factor + offset
    """
    shape = site.shape()
    values = [site.constant(index) for index in range(1, 5)]
    if shape is None or len(shape) < 2 or any(v is None for v in values) or len(site.node.output) != 1:
        return False
    if site.attr_int("training_mode", 0):
        return False
    scale, shift, mean, variance = (np.asarray(value, np.float64) for value in values)
    factor = scale / np.sqrt(variance + site.attr_float("epsilon", 1e-5))
    if not np.isfinite(factor).all():
        return False
    sides = (-1, *(1,) * (len(shape) - 2))
    scaled = site.op("Mul", site.x, site.const(factor.reshape(sides).astype(site.dtype)))
    offset = site.const((shift - mean * factor).reshape(sides).astype(site.dtype))
    return site.replace_with(site.op("Add", scaled, offset))


BATCH_NORM_ALONE = Pass(
    name="batch_norm_alone",
    summary="BatchNormalization -> Mul, Add",
    anchors=("BatchNormalization",),
    requires=("batch_norm_folded",),
    rewrite=_batch_norm_alone,
)


def _depthwise_wide(site: Site) -> bool:
    """A depthwise convolution of one tap, of three.

    Conv(group = channels, kernel (1,1), weights w)    becomes
    Conv(group = channels, kernel (1,3), weights 0 w 0, one column more of padding on both sides)
    """
    weight, pads = site.constant(1), site.attr_ints("pads", (0, 0, 0, 0))
    if weight is None or weight.shape[1:] != (1, 1, 1) or site.attr_int("group", 1) == 1:
        return False
    if site.attr_str("auto_pad", "NOTSET") not in ("NOTSET", "VALID") or len(pads) != 4:
        return False
    wide = np.zeros((*weight.shape[:3], 3), weight.dtype)
    wide[..., 1:2] = weight
    top, left, bottom, right = pads
    wider = (top, left + 1, bottom, right + 1)
    inputs = (site.x, site.const(wide), *filter(None, site.node.input[2:]))
    name = site.op("Conv", *inputs, kernel_shape=(1, 3), pads=wider)
    kept = [a for a in site.node.attribute if a.name in ("group", "strides")]
    site.made[-1].attribute.extend(kept)
    return site.replace_with(name)


DEPTHWISE_WIDE = Pass(
    name="depthwise_wide",
    summary="Conv (depthwise, 1x1) -> depthwise Conv of 1x3, two taps zero",
    anchors=("Conv",),
    rewrite=_depthwise_wide,
)


def _conv_transpose_dilated(site: Site) -> bool:
    """A dilated ConvTranspose with the gaps written into its kernel.

    ConvTranspose(kernel k, dilation d)    becomes
    ConvTranspose(kernel (k - 1) * d + 1, zeros between taps)
    """
    weight, dilations = site.constant(1), site.attr_ints("dilations")
    if weight is None or weight.ndim != 2 + len(dilations) or all(d == 1 for d in dilations):
        return False
    sides = tuple((k - 1) * d + 1 for k, d in zip(weight.shape[2:], dilations, strict=True))
    wide = np.zeros((*weight.shape[:2], *sides), weight.dtype)
    wide[(slice(None), slice(None), *(slice(None, None, d) for d in dilations))] = weight
    name = site.op("ConvTranspose", site.x, site.const(wide), *site.node.input[2:], kernel_shape=sides)
    changed = ("dilations", "kernel_shape")
    site.made[-1].attribute.extend(a for a in site.node.attribute if a.name not in changed)
    return site.replace_with(name)


CONV_TRANSPOSE_DILATED = Pass(
    name="conv_transpose_dilated",
    summary="ConvTranspose (dilated) -> ConvTranspose with zeros between the taps",
    anchors=("ConvTranspose",),
    rewrite=_conv_transpose_dilated,
)


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


def _conv_transpose(site: Site) -> bool:
    """ConvTranspose as a convolution whose channels are then spread over the plane.

        x -> ConvTranspose(stride s) -> y    becomes    x -> Conv(stride 1) -> DepthToSpace(s) -> (Slice) -> y

    Each of the s * s places within a cell has a kernel of its own: the taps of the old one that fall there.
    With stride 1 the convolution with the turned kernel is all.
    """
    weight, before, after = site.constant(1), site.shape(), site.out_shape
    bias = site.constant(2)
    if weight is None or before is None or after is None or len(before) != 4 or not site.floating:
        return False
    strides, dilations = site.attr_ints("strides", (1, 1)), site.attr_ints("dilations", (1, 1))
    pads = site.attr_ints("pads", (0, 0, 0, 0))
    automatic = site.attr_str("auto_pad", "NOTSET") != "NOTSET" or site.attr_ints("output_shape")
    if automatic or strides[0] != strides[1] or dilations != (1, 1) or (site.input(2) and bias is None):
        return False
    axes = tuple(_Axis(weight.shape[2 + i], strides[i], pads[i], before[2 + i], after[2 + i]) for i in (0, 1))
    (top, bottom), (left, right) = axes[0].pads, axes[1].pads
    if min(top, bottom, left, right) < 0:
        return False
    groups, stride = site.attr_int("group", 1), strides[0]
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
    return site.replace_with(y)


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


CONV_TRANSPOSE = Pass(
    name="conv_transpose",
    summary="ConvTranspose -> Conv, DepthToSpace, (Slice)",
    anchors=("ConvTranspose",),
    requires=("conv_transpose_dilated",),
    rewrite=_conv_transpose,
)
