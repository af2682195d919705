"""Files that onnx2tf broke, and what is left of them after the repair."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mosaic_deploy.backends.litert import flatbuffer
from mosaic_deploy.backends.litert.layout import TO_NHWC, transpose
from mosaic_deploy.backends.litert.repairs import reconnect
from tests.backends.litert.tflite import run, tensor, tflite_model


def test_a_tensor_made_by_nothing_is_made_of_its_twin(tmp_path: Path) -> None:
    model = broken(twin="sum_nhwc_bridge")
    assert reconnect(model) == 1
    assert reconnect(model) == 0
    flatbuffer.save(model, tmp_path / "mended.tflite")
    values = np.random.default_rng(0).normal(size=(1, 4, 6, 3)).astype(np.float32)
    assert (run(tmp_path / "mended.tflite", values) == values).all()


def test_another_tensor_is_no_twin() -> None:
    assert reconnect(broken(twin="product_nhwc_bridge")) == 0
    assert reconnect(broken(twin="sum_nhwc_bridge", shape=[1, 6, 4, 3])) == 0


def broken(*, twin: str, shape: list[int] | None = None) -> Any:
    """x -> TRANSPOSE -> y -> TRANSPOSE -> twin, sum (made by nothing) -> TRANSPOSE -> out."""
    model = tflite_model()
    graph = model.subgraphs[0]
    source = tensor(model, "x", [1, 4, 6, 3])
    between = tensor(model, "y", [1, 6, 3, 4])
    made = tensor(model, twin, shape or [1, 4, 6, 3])
    lost = tensor(model, "sum", [1, 3, 4, 6])
    out = tensor(model, "out", [1, 4, 6, 3])
    graph.inputs, graph.outputs = [source], [out]
    graph.operators = [
        transpose(model, source, between, [0, 2, 3, 1]),
        transpose(model, between, made, [0, 3, 1, 2]),
        transpose(model, lost, out, TO_NHWC),
    ]
    return model
