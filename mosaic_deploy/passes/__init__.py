"""Passes: rewrites of a graph into operators that a target has, one per file.

    nodes a target refuses --pass--> nodes that compute the same --check--> better, or left as it was

Each says before -> after in its docstring, whether it is exact, and does nothing to a graph that it has been
through. ``fix`` chooses among them. A new one is a file here and a line in ``PASSES``.
"""

from __future__ import annotations

from collections.abc import Sequence
from graphlib import TopologicalSorter

from mosaic_deploy.passes import (
    adaptive_pool,
    arg_max_cast,
    arg_max_first,
    average_pool_ceil,
    average_pool_depthwise,
    average_pool_padded,
    batch_norm_alone,
    batch_norm_folded,
    cancelled_transposes,
    cast_pixels,
    cast_stepwise,
    celu,
    clip_bounds,
    clip_forms,
    conv_transpose,
    conv_transpose_dilated,
    dropout,
    einsum,
    erf,
    gather_slices,
    gelu_approximate,
    gelu_erf,
    gelu_fused,
    gelu_tanh,
    grid_sample,
    group_norm,
    hardsigmoid,
    hardswish,
    instance_norm,
    layer_norm_decomposed,
    layer_norm_last,
    low_rank_binary,
    low_rank_transpose,
    low_rank_unary,
    lp_norm,
    matmul_low_rank,
    max_pool_dilated,
    mean_variance_norm,
    mish,
    neg,
    pad_border,
    pad_concat,
    pad_merged,
    pixel_shuffle,
    prelu,
    reduce_forms,
    reduce_low_rank,
    reduce_mean_pool,
    resize_asymmetric,
    resize_concat,
    resize_half_pixel,
    resize_low_rank,
    resize_matmul,
    rms_norm,
    softmax_flat,
    softmax_last,
    softsign,
    split_sizes,
    split_slices,
    swish,
)
from mosaic_deploy.passes._apply import Applied, Change, apply
from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site


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
        module.PASS
        for module in (
            dropout,
            batch_norm_folded,
            batch_norm_alone,
            hardswish,
            hardsigmoid,
            swish,
            mish,
            softsign,
            celu,
            neg,
            prelu,
            clip_forms,
            clip_bounds,
            gelu_fused,
            gelu_tanh,
            gelu_erf,
            gelu_approximate,
            erf,
            layer_norm_last,
            layer_norm_decomposed,
            group_norm,
            instance_norm,
            rms_norm,
            lp_norm,
            mean_variance_norm,
            resize_asymmetric,
            resize_half_pixel,
            resize_low_rank,
            resize_concat,
            resize_matmul,
            adaptive_pool,
            average_pool_ceil,
            average_pool_padded,
            average_pool_depthwise,
            max_pool_dilated,
            conv_transpose_dilated,
            conv_transpose,
            pad_merged,
            pad_border,
            pad_concat,
            einsum,
            matmul_low_rank,
            softmax_flat,
            softmax_last,
            cancelled_transposes,
            pixel_shuffle,
            low_rank_transpose,
            low_rank_unary,
            low_rank_binary,
            split_sizes,
            split_slices,
            gather_slices,
            grid_sample,
            reduce_mean_pool,
            reduce_forms,
            reduce_low_rank,
            arg_max_cast,
            arg_max_first,
            cast_pixels,
            cast_stepwise,
        )
    ]
)
"""Every pass, in the order in which ``fix`` tries them."""

__all__ = ["PASSES", "Applied", "Change", "Pass", "Site", "apply", "ordered"]
