"""Pooling forms that targets lack."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.graph.passes._pass import Pass
from mosaic_deploy.graph.passes._site import Site


@dataclass(frozen=True, slots=True)
class Windows:
    """Of a two-dimensional pool without automatic padding."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begins: tuple[int, ...]
    ends: tuple[int, ...]
    before: tuple[int, ...]
    """Height and width of the input."""
    after: tuple[int, ...]

    @property
    def overshoot(self) -> tuple[int, ...]:
        """How far the last window reaches beyond the padded image, per axis; 0 if it does not."""
        return tuple(
            max(0, (self.after[i] - 1) * self.strides[i] + self.span(i) - self.padded(i)) for i in (0, 1)
        )

    def span(self, axis: int) -> int:
        """Pixels from a window's first to its last, both included."""
        return (self.kernel[axis] - 1) * self.dilations[axis] + 1

    def padded(self, axis: int) -> int:
        """Side of the image with its padding."""
        return self.before[axis] + self.begins[axis] + self.ends[axis]

    def counts(self, axis: int, *, padding: bool) -> NDArray[np.int64]:
        """Taps of each window that lie in the image, or in the image with its padding, (after,)."""
        first = np.arange(self.after[axis]) * self.strides[axis]
        taps = first[:, None] + np.arange(self.kernel[axis]) * self.dilations[axis]
        begin, end = (
            (0, self.padded(axis)) if padding else (self.begins[axis], self.begins[axis] + self.before[axis])
        )
        counted: NDArray[np.int64] = ((taps >= begin) & (taps < end)).sum(axis=1)
        return counted


def read_windows(site: Site) -> Windows | None:
    """Read a pool on (N, C, H, W) of known shape; None for any other."""
    before, after = site.shape(), site.out_shape
    if before is None or after is None or len(before) != 4 or site.attr_str("auto_pad", "NOTSET") != "NOTSET":
        return None
    pads = site.attr_ints("pads", (0, 0, 0, 0))
    return Windows(
        kernel=site.attr_ints("kernel_shape"),
        strides=site.attr_ints("strides", (1, 1)),
        dilations=site.attr_ints("dilations", (1, 1)),
        begins=pads[:2],
        ends=pads[2:],
        before=before[2:],
        after=after[2:],
    )


def _average_pool_ceil(site: Site) -> bool:
    """AveragePool with ceil_mode, whose last windows overshoot the image, with padding and a correction.

        x -> AveragePool(ceil_mode=1) -> y    becomes
        x -> AveragePool(pads, all counted) -> Mul(constant) -> y

    The constant says by how much a window's sum was divided too often. Where no window overshoots, the flag
    alone goes.
    """
    pool = read_windows(site)
    if not site.attr_int("ceil_mode", 0) or pool is None or pool.dilations != (1, 1):
        return False
    include = bool(site.attr_int("count_include_pad", 0))
    ends = [end + more for end, more in zip(pool.ends, pool.overshoot, strict=True)]
    if any(end >= k for end, k in zip(ends, pool.kernel, strict=True)):
        return False
    form = {"kernel_shape": pool.kernel, "strides": pool.strides, "pads": (*pool.begins, *ends)}
    if not any(pool.overshoot):
        return site.replace_with(site.op("AveragePool", site.x, count_include_pad=int(include), **form))
    y = site.op("AveragePool", site.x, count_include_pad=1, **form)
    rows, columns = (pool.counts(axis, padding=include) for axis in (0, 1))
    factor = np.prod(pool.kernel) / (rows[:, None] * columns[None, :])
    return site.replace_with(site.op("Mul", y, site.const(factor[None, None].astype(site.dtype))))


AVERAGE_POOL_CEIL = Pass(
    name="average_pool_ceil",
    summary="AveragePool (ceil_mode) -> AveragePool with padding, Mul by a constant",
    anchors=("AveragePool",),
    rewrite=_average_pool_ceil,
)


def _average_pool_padded(site: Site) -> bool:
    """An AveragePool that counts its padding, with the padding before it.

    x -> AveragePool(pads, count_include_pad=1) -> y    becomes    x -> Pad(0) -> AveragePool -> y
    """
    pool = read_windows(site)
    counted = site.attr_int("count_include_pad", 0)
    if pool is None or not counted or not any((*pool.begins, *pool.ends)):
        return False
    if site.attr_int("ceil_mode", 0) or pool.dilations != (1, 1):
        return False
    pads = [0, 0, *pool.begins, 0, 0, *pool.ends]
    padded = site.op("Pad", site.x, site.sizes(pads))
    return site.replace_with(site.op("AveragePool", padded, kernel_shape=pool.kernel, strides=pool.strides))


AVERAGE_POOL_PADDED = Pass(
    name="average_pool_padded",
    summary="AveragePool (count_include_pad) -> Pad, AveragePool",
    anchors=("AveragePool",),
    requires=("average_pool_ceil",),
    rewrite=_average_pool_padded,
)


def _average_pool_depthwise(site: Site) -> bool:
    """A dilated or unusually padded AveragePool as a depthwise convolution.

        x -> AveragePool(k, dilations, pads) -> y    becomes
        x -> Conv(1 / k^2, group = channels) -> (Mul) -> y

    Where padding is not counted, the border is multiplied up by a constant.
    """
    pool, shape = read_windows(site), site.shape()
    if pool is None or shape is None or not site.floating:
        return False
    include = bool(site.attr_int("count_include_pad", 0))
    ends = [end + more for end, more in zip(pool.ends, pool.overshoot, strict=True)]
    weights = np.full((shape[1], 1, *pool.kernel), 1 / np.prod(pool.kernel), site.dtype)
    y = site.op(
        "Conv",
        site.x,
        site.const(weights),
        group=shape[1],
        kernel_shape=pool.kernel,
        strides=pool.strides,
        dilations=pool.dilations,
        pads=(*pool.begins, *ends),
    )
    rows, columns = (pool.counts(axis, padding=include) for axis in (0, 1))
    factor = np.prod(pool.kernel) / (rows[:, None] * columns[None, :])
    if (factor != 1).any():
        y = site.op("Mul", y, site.const(factor[None, None].astype(site.dtype)))
    return site.replace_with(y)


AVERAGE_POOL_DEPTHWISE = Pass(
    name="average_pool_depthwise",
    summary="AveragePool (dilated) -> depthwise Conv, (Mul by a constant)",
    anchors=("AveragePool",),
    requires=("average_pool_ceil",),
    rewrite=_average_pool_depthwise,
)


def _max_pool_dilated(site: Site) -> bool:
    """A dilated MaxPool as the maximum of shifted slices.

        x -> MaxPool(k, dilation d) -> y    becomes    y = Max of the k * k Slices of x, each d further

    Its padding, of the lowest number there is, comes before.
    """
    pool = read_windows(site)
    if pool is None or all(d == 1 for d in pool.dilations) or len(site.node.output) != 1 or not site.floating:
        return False
    ends = [end + more for end, more in zip(pool.ends, pool.overshoot, strict=True)]
    x = site.x
    if any((*pool.begins, *ends)):
        pads = site.sizes([0, 0, *pool.begins, 0, 0, *ends])
        x = site.op("Pad", x, pads, site.number(float(np.finfo(site.dtype).min)))
    rows = [_shifted(site, pool, x, axis=0, tap=tap) for tap in range(pool.kernel[0])]
    tall = site.op("Max", *rows) if len(rows) > 1 else rows[0]
    columns = [_shifted(site, pool, tall, axis=1, tap=tap) for tap in range(pool.kernel[1])]
    return site.replace_with(site.op("Max", *columns) if len(columns) > 1 else columns[0])


def _max_pool_padded(site: Site) -> bool:
    """A padded MaxPool of numbers that are never negative, with zeros before it.

    x >= 0 -> MaxPool(pads) -> y    becomes    x -> Pad(0) -> MaxPool -> y

    Every window meets the image, so a zero beside it is never above its maximum.
    """
    pool = read_windows(site)
    if pool is None or not any((*pool.begins, *pool.ends)) or any(pool.overshoot):
        return False
    if (
        pool.dilations != (1, 1)
        or len(site.node.output) != 1
        or not (site.floating and _never_negative(site))
    ):
        return False
    padded = site.op("Pad", site.x, site.sizes([0, 0, *pool.begins, 0, 0, *pool.ends]))
    return site.replace_with(site.op("MaxPool", padded, kernel_shape=pool.kernel, strides=pool.strides))


def _never_negative(site: Site) -> bool:
    """Tell whether the first input comes from an operator that gives no number below zero."""
    node = site.graph.producer(site.x, "Relu", "Clip", "Sigmoid", "HardSigmoid")
    if node is None or node.op_type != "Clip":
        return node is not None
    lowest = site.graph.constant(node.input[1]) if len(node.input) > 1 else None
    return lowest is not None and float(lowest) >= 0


MAX_POOL_PADDED = Pass(
    name="max_pool_padded",
    summary="Relu, MaxPool (pads) -> Relu, Pad, MaxPool",
    anchors=("MaxPool",),
    bit_exact=True,
    rewrite=_max_pool_padded,
)


def _shifted(site: Site, pool: Windows, x: str, *, axis: int, tap: int) -> str:
    start = tap * pool.dilations[axis]
    end = start + (pool.after[axis] - 1) * pool.strides[axis] + 1
    return site.slice(x, start, end, axis=2 + axis, step=pool.strides[axis])


MAX_POOL_DILATED = Pass(
    name="max_pool_dilated",
    summary="MaxPool (dilated) -> Max of Slices",
    anchors=("MaxPool",),
    bit_exact=True,
    rewrite=_max_pool_dilated,
)


def _reduce_mean_pool(site: Site) -> bool:
    """A mean over the plane as global average pooling.

    x (N,C,H,W) -> ReduceMean(axes 2, 3) -> y    becomes    x -> GlobalAveragePool -> (Reshape) -> y
    """
    shape, after, given = site.shape(), site.out_shape, site.constant(1)
    if shape is None or after is None or len(shape) != 4 or (site.input(1) and given is None):
        return False
    stated = site.attr_ints("axes") if given is None else tuple(int(axis) for axis in given.reshape(-1))
    if {axis % 4 for axis in stated} != {2, 3}:
        return False
    pooled = site.op("GlobalAveragePool", site.x)
    return site.replace_with(pooled if len(after) == 4 else site.op("Reshape", pooled, site.sizes(after)))


REDUCE_MEAN_POOL = Pass(
    name="reduce_mean_pool",
    summary="ReduceMean over height and width -> GlobalAveragePool",
    anchors=("ReduceMean",),
    rewrite=_reduce_mean_pool,
)
