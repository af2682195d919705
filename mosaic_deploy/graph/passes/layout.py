"""Operators that move data: Transpose, DepthToSpace."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.graph.passes._pass import Pass
from mosaic_deploy.graph.passes._site import Shape, Site


def _cancelled_transposes(site: Site) -> bool:
    """Two Transposes that undo each other, removed; two that do not, as one.

    x -> Transpose(p) -> Transpose(q) -> y    becomes    x -> Transpose(p then q) -> y
    """
    first = site.graph.producer(site.x, "Transpose")
    shape = site.shape()
    if first is None or shape is None:
        return False
    backwards = range(len(shape) - 1, -1, -1)
    before = Site(first, site.graph).attr_ints("perm", backwards)
    perm = [before[axis] for axis in site.attr_ints("perm", backwards)]
    site.also_replaces(first)
    return site.replace_with(site.transpose(first.input[0], perm))


CANCELLED_TRANSPOSES = Pass(
    name="cancelled_transposes",
    summary="Transpose, Transpose -> one Transpose or none",
    anchors=("Transpose",),
    bit_exact=True,
    rewrite=_cancelled_transposes,
)

_MODES: dict[Shape, str] = {(0, 1, 4, 2, 5, 3): "CRD", (0, 3, 4, 1, 5, 2): "DCR"}
_UNSHUFFLE: Shape = (0, 1, 3, 5, 2, 4)
_MOST_CHANNELS = 2048
"""That a convolution of ones and zeros puts in order."""


def _pixel_shuffle(site: Site) -> bool:
    """Pixel shuffles in five or six dimensions as DepthToSpace and SpaceToDepth.

        Reshape (N,C,r,r,H,W) -> Transpose (0,1,4,2,5,3) -> Reshape (N,C,H*r,W*r)  becomes
            DepthToSpace(r, CRD)
        Reshape (N,r,r,C,H,W) -> Transpose (0,3,4,1,5,2) -> Reshape (N,C,H*r,W*r)  becomes
            DepthToSpace(r, DCR)
        Reshape (N,C,H,r,W,r) -> Transpose (0,3,5,1,2,4) -> Reshape (N,r*r*C,H,W)    becomes  SpaceToDepth(r)

    PyTorch's PixelUnshuffle, (0,1,3,5,2,4), becomes a SpaceToDepth, whose channels are then put in order.
    """
    transpose = site.graph.producer(site.x, "Transpose")
    reshape = site.graph.producer(transpose.input[0], "Reshape") if transpose is not None else None
    after = site.out_shape
    if transpose is None or reshape is None or after is None or len(after) != 4:
        return False
    x = reshape.input[0]
    before, middle = site.graph.shape(x), site.graph.shape(transpose.input[0])
    perm = Site(transpose, site.graph).attr_ints("perm")
    if before is None or middle is None or len(before) != 4 or len(middle) != 6 or before[0] != after[0]:
        return False
    site.also_replaces(transpose, reshape)
    return _spread(site, x, (before, middle, after), perm) or _gathered(
        site, x, (before, middle, after), perm
    )


def _spread(site: Site, x: str, shapes: tuple[Shape, Shape, Shape], perm: Shape) -> bool:
    before, middle, after = shapes
    _, channels, height, width = before
    mode = _MODES.get(perm)
    if mode is None:
        return False
    block = middle[2]
    depth = channels // (block * block)
    expected = (before[0], depth, block, block) if mode == "CRD" else (before[0], block, block, depth)
    if middle != (*expected, height, width) or after != (before[0], depth, height * block, width * block):
        return False
    return site.replace_with(site.op("DepthToSpace", x, blocksize=block, mode=mode))


def _gathered(site: Site, x: str, shapes: tuple[Shape, Shape, Shape], perm: Shape) -> bool:
    before, middle, after = shapes
    block = middle[3]
    batch, channels, height, width = before
    whole = (batch, channels, height // block, block, width // block, block)
    if perm not in ((0, 3, 5, 1, 2, 4), _UNSHUFFLE) or middle != whole:
        return False
    if after != (batch, channels * block * block, height // block, width // block):
        return False
    y = site.op("SpaceToDepth", x, blocksize=block)
    if perm == _UNSHUFFLE and channels > 1:  # channels outermost: a 1x1 convolution puts them in order
        order = np.arange(block * block * channels).reshape(block * block, channels).T.reshape(-1)
        y = _in_order(site, y, order)
    return site.replace_with(y)


def _in_order(site: Site, x: str, order: NDArray[np.int64]) -> str:
    """The channels of a tensor in another order, by a convolution of ones and zeros."""
    weights = np.eye(len(order), dtype=site.dtype)[order][:, :, None, None]
    return site.op("Conv", x, site.const(weights), kernel_shape=[1, 1])


PIXEL_SHUFFLE = Pass(
    name="pixel_shuffle",
    summary="Reshape, Transpose, Reshape in 6 dimensions -> DepthToSpace or SpaceToDepth",
    anchors=("Reshape",),
    resolves=("Reshape", "Transpose"),
    bit_exact=True,
    rewrite=_pixel_shuffle,
)


def _depth_first(site: Site) -> bool:
    """A DepthToSpace of PyTorch's order of channels in TensorFlow's.

        x -> Conv -> DepthToSpace(CRD) -> y    becomes    x -> Conv, channels moved -> DepthToSpace(DCR) -> y
        x -> DepthToSpace(CRD) -> y            becomes    x -> Conv of ones, zeros -> DepthToSpace(DCR) -> y

    The output of a convolution in groups, or one that others read, is put in order behind it.
    """
    shape, block = site.shape(), site.attr_int("blocksize", 0)
    crd = site.attr_str("mode", "DCR") == "CRD"
    if not crd or block < 2 or shape is None or len(shape) != 4 or not site.floating:
        return False
    if shape[1] > _MOST_CHANNELS or shape[1] % (block * block):
        return False
    order = np.arange(shape[1]).reshape(-1, block * block).T.reshape(-1)
    x = _convolved(site, order) or _in_order(site, site.x, order)
    return site.replace_with(site.op("DepthToSpace", x, blocksize=block, mode="DCR"))


def _convolved(site: Site, order: NDArray[np.int64]) -> str | None:
    """The convolution that makes a node's input, with its channels in another order; None if it cannot be."""
    maker = site.graph.producer(site.x, "Conv")
    if maker is None or site.graph.only_consumer(site.x) is not site.node:
        return None
    before = Site(maker, site.graph)
    weights = before.constant(1)
    bias = before.constant(2) if before.input(2) else None
    if weights is None or before.attr_int("group", 1) != 1 or (before.input(2) and bias is None):
        return None
    held = [site.const(weights[order]), *([] if bias is None else [site.const(bias[order])])]
    made = site.op("Conv", before.x, *held)
    site.made[-1].attribute.extend(maker.attribute)
    site.also_replaces(maker)
    return made


DEPTH_TO_SPACE_DCR = Pass(
    name="depth_to_space_dcr",
    summary="Conv, DepthToSpace (CRD) -> Conv, DepthToSpace (DCR)",
    anchors=("DepthToSpace",),
    bit_exact=True,
    requires=("pixel_shuffle",),
    rewrite=_depth_first,
)
