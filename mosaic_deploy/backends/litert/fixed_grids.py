"""Operators whose integer kernels give one grid alone, whatever grid a file states: theirs is kept.

    q -> LOGISTIC -> q' of a Concat's grid -> CONCATENATION
        becomes  q -> LOGISTIC -> q of 1/256 -> QUANTIZE -> q' -> CONCATENATION

ai-edge-quantizer 0.5.1 lets such an operator give the grid that its one reader wants. XNNPACK may compute
that; LiteRT's own kernels refuse the file, or give numbers of their grid in a tensor that states another.
"""

from __future__ import annotations

from typing import Any

from mosaic_deploy.backends.litert import flatbuffer

GRIDS = {
    "LOGISTIC": (1 / 256, -128),
    "SOFTMAX": (1 / 256, -128),
    "TANH": (1 / 128, 0),
    "LOG_SOFTMAX": (16 / 256, 127),
    "L2_NORMALIZATION": (1 / 128, 0),
}
"""Operator -> step and zero point of its int8 output."""


def keep_fixed_grids(model: Any) -> int:
    """Put a QUANTIZE behind every such operator of another grid; gives the number of changes."""
    graph = model.subgraphs[0]
    changes = 0
    for op in list(graph.operators):
        grid = GRIDS.get(flatbuffer.kind(model, op))
        index = int(op.outputs[0])
        stated = flatbuffer.describe(model, index)
        if grid is None or stated["dtype"] != "int8" or (stated["scale"], stated["zero_point"]) == grid:
            continue
        own = flatbuffer.add_quantized(model, f"{stated['name']}_own", stated["shape"], grid)
        if index not in list(graph.outputs):
            # What the operator gives keeps its name, by which it is known in the float file too.
            graph.tensors[own].name, graph.tensors[index].name = (
                graph.tensors[index].name,
                f"{stated['name']}_requantised".encode(),
            )
        op.outputs = [own]
        place = flatbuffer.place_of(graph, op)
        graph.operators.insert(place + 1, flatbuffer.operator(model, "QUANTIZE", [own], [index]))
        changes += 1
    return changes
