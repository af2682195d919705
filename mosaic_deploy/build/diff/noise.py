"""What rounding does in this very network: noise on every grid, carried on by the network itself.

Two runs of the same integers round alike but for sums that fall close to a half: one value in twelve is taken
to go to its neighbour, a variance of 1/12 step as of rounding itself (Widrow and Kollar, «Quantization
Noise», 2008). Where only one side has the grid, or the two grids differ, it is two in twelve. Uniform noise
of half width a before a quantiser moves a value to its neighbour with a probability of a / 2, so a is 1/6 or
1/3.

Nobody has to know how layers amplify or damp this: the graph runs on ONNX Runtime with it and without. Where
the other side has no grids, its weights are rounded in the one run and not in the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.build.diff.bound import QUANTILE
from mosaic_deploy.build.diff.named import Named
from mosaic_deploy.graph.intermediates import activations

if TYPE_CHECKING:
    import onnx

_HALF_WIDTH = 1 / 6
_QUANTIZE = "QuantizeLinear"


def spread(
    model: onnx.ModelProto,
    feeds: Mapping[str, NDArray[Any]],
    tensors: Sequence[Named],
    *,
    folder: Path,
    same_grid: bool = True,
    plain: onnx.ModelProto | None = None,
) -> dict[str, float]:
    """How far the noise moves tensors.

    Args:
        model: a graph with Q/DQ pairs, or with rounded weights.
        feeds: its inputs, for one image.
        tensors: which, of ``model``.
        folder: scratch.
        same_grid: whether both sides have these grids.
        plain: the same graph with its weights as they were, for the run without noise; None for ``model``.

    Returns:
        Tensor -> the 99.9 % quantile of the differences, in its own unit.

    Raises ``ModelError`` or ``ToolError`` as ONNX Runtime does.
    """
    names = [tensor.stored for tensor in tensors]
    noisy = _noisy(model, _HALF_WIDTH * (1 if same_grid else 2))
    quiet = activations(plain or model, feeds, names, folder / "quiet")
    moved = activations(noisy, feeds, names, folder / "noisy")
    found = {}
    for tensor in tensors:
        step = 1.0 if tensor.grid is None else tensor.grid.scale
        apart = np.abs(quiet[tensor.stored].astype(np.float64) - moved[tensor.stored])
        found[tensor.name] = step * float(np.quantile(apart, QUANTILE, method="higher"))
    return found


def _noisy(model: onnx.ModelProto, half_width: float) -> onnx.ModelProto:
    import onnx
    from onnx import helper, numpy_helper

    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    nodes = []
    for place, node in enumerate(graph.node):
        scale = stored.get(node.input[1]) if node.op_type == _QUANTIZE else None
        if scale is not None:
            width = half_width * float(numpy_helper.to_array(scale).max())
            noise, sum_ = f"{node.output[0]}/noise", f"{node.output[0]}/noisy"
            limits: dict[str, Any] = {"low": -width, "high": width, "seed": float(place + 1)}
            nodes.append(helper.make_node("RandomUniformLike", [node.input[0]], [noise], **limits))
            nodes.append(helper.make_node("Add", [node.input[0], noise], [sum_]))
            node.input[0] = sum_
        nodes.append(node)
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)
    return changed
