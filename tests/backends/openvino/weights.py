"""Random weights for networks written as ONNX text."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx


def weighted(
    model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]], *, size: float
) -> onnx.ModelProto:
    """Give a network initialisers of these names and shapes, the same each time; shapes are inferred."""
    rng = np.random.default_rng(1)
    for name, shape in shapes.items():
        values = rng.normal(0, size, shape).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    return onnx.shape_inference.infer_shapes(model)
