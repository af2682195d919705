"""Tensors of an ONNX file found again in the TFLite file that was converted from it; in child processes.

The converter gives its tensors names of its own and turns their axes. What they hold it must not change, so a
tensor is known by the smallest and largest value that it takes on the calibration images.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mosaic_deploy.backends.litert import flatbuffer
from mosaic_deploy.quantize.histogram import Ranges

_SAME = 2e-3
"""Share of a range by which its ends may differ: histograms round, and so do two runtimes."""


def operators(model: Any, ranges: Ranges, spans: Sequence[Sequence[float]]) -> frozenset[str]:
    """Names of the outputs of the operators that make or take a tensor with one of these ranges.

    Args:
        model: the float file.
        ranges: of its tensors, by their names.
        spans: [low, high] of what is looked for.
    """
    graph = model.subgraphs[0]
    named = {name for name, ends in ranges.items() if any(_same(ends, span) for span in spans)}
    wanted = {index for index, tensor in enumerate(graph.tensors) if flatbuffer.title(tensor) in named}
    return frozenset(
        flatbuffer.title(graph.tensors[op.outputs[0]])
        for op in graph.operators
        if wanted & {*(int(i) for i in op.inputs), *(int(i) for i in op.outputs)}
    )


def _same(ends: Sequence[Any], span: Sequence[float]) -> bool:
    size = span[1] - span[0]
    return all(abs(float(one) - other) <= _SAME * size for one, other in zip(ends, span, strict=True))
