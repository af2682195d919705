"""Channel shuffles that onnx2tf takes for others."""

from __future__ import annotations

from mosaic_deploy.graph.passes import Pass, Site


def _give_batch(site: Site) -> bool:
    """A shuffle in three dimensions in four.

        Reshape (g,n,m) -> Transpose (1,0,2) -> Reshape -> y    becomes
        Reshape (1,g,n,m) -> Transpose (0,2,1,3) -> Reshape -> y

    Between a Concat and a Split onnx2tf makes two GATHERs of the former, of even and of odd channels. That
    is right where n is 2; it never looks. The latter it keeps.
    """
    turn = site.graph.producer(site.x, "Transpose")
    part = site.graph.producer(turn.input[0], "Reshape") if turn is not None else None
    after = site.out_shape
    if turn is None or part is None or after is None or Site(turn, site.graph).attr_ints("perm") != (1, 0, 2):
        return False
    sides = site.graph.shape(turn.input[0])
    if sides is None:
        return False
    site.also_replaces(turn, part)
    turned = site.transpose(site.op("Reshape", part.input[0], site.sizes((1, *sides))), (0, 2, 1, 3))
    return site.replace_with(site.op("Reshape", turned, site.sizes(after)))


SHUFFLE_BATCH = Pass(
    name="shuffle_batch",
    summary="Reshape, Transpose (1, 0, 2), Reshape -> the same with a first dimension of 1",
    anchors=("Reshape",),
    bit_exact=True,
    rewrite=_give_batch,
)
