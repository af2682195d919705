"""Passes: rewrites of a graph into operators that a target has, one family per file.

    nodes a target refuses --pass--> nodes that compute the same --check--> better, or left as it was

Each says before -> after in its function's docstring, whether it is exact, and does nothing to a graph that
it has been through. ``fix`` chooses among them. A new one is a function and a ``Pass`` in its family's file,
and a line in ``PASSES``.
"""

from __future__ import annotations

from collections.abc import Sequence
from graphlib import TopologicalSorter

from mosaic_deploy.graph.passes import (
    activations,
    adaptive_pool,
    casts,
    channels,
    clips,
    conv_prelu,
    convolutions,
    einsum,
    gelu,
    grid_sample,
    layout,
    low_rank,
    norms,
    pads,
    parts,
    pools,
    products,
    resize,
    slicing,
    softmax,
    stacked_sums,
    stacking,
    transposes,
)
from mosaic_deploy.graph.passes._apply import Applied, Change, apply
from mosaic_deploy.graph.passes._pass import Pass
from mosaic_deploy.graph.passes._site import Site


def ordered(passes: Sequence[Pass]) -> tuple[Pass, ...]:
    """Sort passes so that each comes after those that it requires, exact ones first, else as given."""
    known = {step.name: step for step in passes}
    turn = {step.name: (not step.exact, place) for place, step in enumerate(passes)}
    sorter = TopologicalSorter({s.name: [r for r in s.requires if r in known] for s in passes})
    sorter.prepare()
    found: list[Pass] = []
    ready: list[str] = []
    while sorter.is_active():
        ready.extend(sorter.get_ready())
        name = min(ready, key=lambda n: turn[n])
        ready.remove(name)
        sorter.done(name)
        found.append(known[name])
    return tuple(found)


PASSES: tuple[Pass, ...] = ordered(
    [
        activations.DROPOUT,
        convolutions.BATCH_NORM_FOLDED,
        convolutions.BATCH_NORM_ALONE,
        convolutions.DEPTHWISE_WIDE,
        activations.HARDSWISH,
        activations.HARDSIGMOID,
        activations.SWISH,
        activations.MISH,
        activations.SOFTSIGN,
        activations.CELU,
        activations.NEG,
        conv_prelu.CONV_PRELU,
        activations.PRELU,
        clips.CLIP_FORMS,
        clips.CLIP_BOUNDS,
        clips.CLIP_RELU6,
        gelu.GELU_FUSED,
        gelu.GELU_TANH,
        gelu.GELU_ERF,
        gelu.GELU_APPROXIMATE,
        activations.ERF,
        norms.LAYER_NORM_LAST,
        norms.LAYER_NORM_DECOMPOSED,
        norms.GROUP_NORM,
        norms.INSTANCE_NORM,
        norms.INSTANCE_NORM_SQUARE,
        norms.RMS_NORM,
        norms.LP_NORM,
        norms.MEAN_VARIANCE_NORM,
        resize.RESIZE_ASYMMETRIC,
        resize.RESIZE_HALF_PIXEL,
        resize.RESIZE_LOW_RANK,
        resize.RESIZE_CONCAT,
        resize.RESIZE_MATMUL,
        adaptive_pool.ADAPTIVE_POOL,
        pools.AVERAGE_POOL_CEIL,
        pools.AVERAGE_POOL_PADDED,
        pools.AVERAGE_POOL_DEPTHWISE,
        pools.MAX_POOL_DILATED,
        pools.MAX_POOL_PADDED,
        convolutions.CONV_TRANSPOSE_DILATED,
        convolutions.CONV_TRANSPOSE,
        pads.PAD_MERGED,
        pads.PAD_BORDER,
        pads.PAD_CONCAT,
        einsum.EINSUM,
        low_rank.MATMUL_LOW_RANK,
        products.MATMUL_CONSTANT_SECOND,
        softmax.SOFTMAX_FLAT,
        softmax.SOFTMAX_LAST,
        layout.CANCELLED_TRANSPOSES,
        layout.PIXEL_SHUFFLE,
        layout.DEPTH_TO_SPACE_DCR,
        parts.PARTS_LOW_RANK,
        transposes.LOW_RANK_TRANSPOSE,
        transposes.TRANSPOSE_STEPWISE,
        low_rank.LOW_RANK_UNARY,
        low_rank.LOW_RANK_BINARY,
        stacked_sums.STACKED_SUM,
        stacking.CONCAT_LOW_RANK,
        slicing.SPLIT_SIZES,
        slicing.SPLIT_SLICES,
        channels.GATHER_SHUFFLE,
        slicing.GATHER_SLICES,
        channels.GATHER_CONV,
        channels.SHUFFLE_CONV,
        grid_sample.GRID_SAMPLE,
        pools.REDUCE_MEAN_POOL,
        low_rank.REDUCE_FORMS,
        low_rank.REDUCE_LOW_RANK,
        casts.ARG_MAX_CAST,
        casts.ARG_MAX_FIRST,
        casts.CAST_PIXELS,
        casts.CAST_STEPWISE,
    ]
)
"""Every pass, in the order in which ``fix`` tries them."""

__all__ = ["PASSES", "Applied", "Change", "Pass", "Site", "apply", "ordered"]
