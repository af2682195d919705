"""Pixel shuffles in five or six dimensions as DepthToSpace and SpaceToDepth.

    Reshape (N,C,r,r,H,W) -> Transpose (0,1,4,2,5,3) -> Reshape (N,C,H*r,W*r)    becomes  DepthToSpace(r, CRD)
    Reshape (N,r,r,C,H,W) -> Transpose (0,3,4,1,5,2) -> Reshape (N,C,H*r,W*r)    becomes  DepthToSpace(r, DCR)
    Reshape (N,C,H,r,W,r) -> Transpose (0,3,5,1,2,4) -> Reshape (N,r*r*C,H,W)    becomes  SpaceToDepth(r)

PyTorch's PixelUnshuffle, (0,1,3,5,2,4), becomes a SpaceToDepth, whose channels are then put in order.
"""

from __future__ import annotations

import numpy as np

from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Shape, Site

_MODES: dict[Shape, str] = {(0, 1, 4, 2, 5, 3): "CRD", (0, 3, 4, 1, 5, 2): "DCR"}
_UNSHUFFLE: Shape = (0, 1, 3, 5, 2, 4)


def _rewrite(site: Site) -> bool:
    transpose = site.graph.maker(site.x, "Transpose")
    reshape = site.graph.maker(transpose.input[0], "Reshape") if transpose is not None else None
    after = site.out_shape
    if transpose is None or reshape is None or after is None or len(after) != 4:
        return False
    x = reshape.input[0]
    before, middle = site.graph.shape(x), site.graph.shape(transpose.input[0])
    perm = Site(transpose, site.graph).numbers("perm")
    if before is None or middle is None or len(before) != 4 or len(middle) != 6 or before[0] != after[0]:
        return False
    site.covers(transpose, reshape)
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
    return site.give(site.op("DepthToSpace", x, blocksize=block, mode=mode))


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
        weights = np.eye(len(order), dtype=site.dtype)[order][:, :, None, None]
        y = site.op("Conv", y, site.const(weights), kernel_shape=[1, 1])
    return site.give(y)


PASS = Pass(
    name="pixel_shuffle",
    summary="Reshape, Transpose, Reshape in 6 dimensions -> DepthToSpace or SpaceToDepth",
    anchors=("Reshape",),
    cures=("Reshape", "Transpose"),
    moves=True,
    rewrite=_rewrite,
)
