"""Files that onnx2tf broke, and what is left of them after the repair."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mosaic_deploy.backends.litert import flatbuffer
from mosaic_deploy.backends.litert.layout import TO_NHWC, transpose
from mosaic_deploy.backends.litert.repairs import (
    connect_fully,
    pad_plainly,
    reconnect,
    skip_bridges,
    state_shapes,
)
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


@pytest.mark.parametrize(("name", "after", "changes"), [
    ("root__to_nhwc", [1, 1, 3, 1], 1),
    ("root_reshaped", [1, 1, 3, 1], 0),
    ("root__to_nhwc", [1, 3, 1, 1], 0),
])  # fmt: skip
def test_one_pixel_is_brought_into_nhwc_once(name: str, after: list[int], changes: int) -> None:
    model = tflite_model()
    graph = model.subgraphs[0]
    graph.inputs = [tensor(model, "root", [1, 1, 1, 3]), tensor(model, "image", [1, 4, 6, 3])]
    bridge, graph.outputs = tensor(model, name, after), [tensor(model, "y", [1, 4, 6, 3])]
    sizes = flatbuffer.add_constant(model, "sizes", np.array(after, np.int32))
    graph.operators = [
        flatbuffer.operator(model, "RESHAPE", [graph.inputs[0], sizes], [bridge]),
        flatbuffer.operator(model, "MUL", [graph.inputs[1], bridge], [graph.outputs[0]]),
    ]
    assert skip_bridges(model) == changes
    reads = [int(i) for i in graph.operators[-1].inputs]
    assert reads == [graph.inputs[1], graph.inputs[0] if changes else bridge]


def test_a_product_by_a_constant_is_fully_connected(tmp_path: Path) -> None:
    model = tflite_model()
    graph = model.subgraphs[0]
    weights = np.random.default_rng(1).normal(size=(6, 5)).astype(np.float32)
    graph.inputs, graph.outputs = [tensor(model, "x", [1, 4, 6])], [tensor(model, "y", [1, 4, 5])]
    number = flatbuffer.add_constant(model, "w", weights)
    product = flatbuffer.operator(model, "BATCH_MATMUL", [graph.inputs[0], number], [graph.outputs[0]])
    graph.operators = [product]
    assert connect_fully(model) == 1
    assert connect_fully(model) == 0
    flatbuffer.save(model, tmp_path / "product.tflite")
    values = np.random.default_rng(0).normal(size=(1, 4, 6)).astype(np.float32)
    assert np.allclose(run(tmp_path / "product.tflite", values), values @ weights, atol=1e-5)


ONE_AROUND = [[0, 0], [1, 1], [1, 1], [0, 0]]
ROWS = ["SLICE", "SLICE", "CONCATENATION"]


@pytest.mark.parametrize(("rectified", "widths", "plain"), [
    (True, ONE_AROUND, ["PAD"]),
    (False, ONE_AROUND, [*ROWS, *ROWS]),
    (False, [[0, 0], [1, 2], [0, 0], [0, 0]], ROWS),
    (False, [[0, 0], [0, 0], [2, 0], [0, 0]], ROWS[1:]),
    (False, [[0, 0], [3, 0], [0, 0], [0, 0]], ["PADV2"]),  # a window without the edge
    (False, [[0, 0], [0, 0], [0, 0], [1, 1]], ["PADV2"]),
])  # fmt: skip
def test_a_lowest_padding_is_zero_or_an_edge(
    tmp_path: Path, rectified: bool, widths: list[list[int]], plain: list[str]
) -> None:
    values = np.random.default_rng(0).normal(3, 1, (1, 4, 5, 2)).astype(np.float32)
    model = pooled(widths, rectified=rectified)
    flatbuffer.save(model, tmp_path / "before.tflite")
    pad_plainly(model)
    kinds = [flatbuffer.kind(model, op) for op in model.subgraphs[0].operators]
    assert kinds == ["RELU" if rectified else "NEG", *plain, "MAX_POOL_2D"]
    flatbuffer.save(model, tmp_path / "after.tflite")
    assert (run(tmp_path / "after.tflite", values) == run(tmp_path / "before.tflite", values)).all()


def pooled(border: list[list[int]], *, rectified: bool) -> Any:
    """x -> RELU or NEG -> PADV2 by a lowest number -> MAX_POOL_2D of 3x3."""
    model = tflite_model()
    graph = model.subgraphs[0]
    wide = [side + sum(ends) for side, ends in zip((1, 4, 5, 2), border, strict=True)]
    shapes = ([1, 4, 5, 2], [1, 4, 5, 2], wide, [1, wide[1] - 2, wide[2] - 2, wide[3]])
    x, y, padded, out = (tensor(model, name, shape) for name, shape in zip("xyzo", shapes, strict=True))
    widths = flatbuffer.add_constant(model, "widths", np.array(border, np.int32))
    value = flatbuffer.add_constant(model, "value", np.array([-3e38], np.float32))
    first = flatbuffer.operator(model, "NEG", [x], [y])
    if rectified:
        first.opcodeIndex = flatbuffer.opcode(model, "RELU", version=1)
        first.builtinOptions, first.builtinOptionsType = None, 0
    pool = flatbuffer.operator(model, "PADV2", [padded], [out])
    pool.opcodeIndex = flatbuffer.opcode(model, "MAX_POOL_2D", version=1)
    pool.builtinOptionsType, pool.builtinOptions = (
        schema().BuiltinOptions.Pool2DOptions,
        schema().Pool2DOptionsT(),
    )
    pool.builtinOptions.filterHeight = pool.builtinOptions.filterWidth = 3
    pool.builtinOptions.strideH = pool.builtinOptions.strideW = 1
    pool.builtinOptions.padding = 1  # VALID
    graph.inputs, graph.outputs = [x], [out]
    graph.operators = [first, flatbuffer.operator(model, "PADV2", [y, widths, value], [padded]), pool]
    return model


def schema() -> Any:
    from ai_edge_litert import schema_py_generated

    return schema_py_generated


def test_a_shape_that_is_computed_is_stated(tmp_path: Path) -> None:
    model = tflite_model()
    graph = model.subgraphs[0]
    x, y = tensor(model, "x", [1, 4, 6]), tensor(model, "y", [1, 4, 6])
    sides = tensor(model, "sides", [3])
    graph.tensors[sides].type = schema().TensorType.INT32
    graph.inputs, graph.outputs = [x], [y]
    measure = flatbuffer.operator(model, "SHAPE", [x], [sides])
    measure.builtinOptions.outType = schema().TensorType.INT32
    graph.operators = [measure, flatbuffer.operator(model, "RESHAPE", [x, sides], [y])]
    assert state_shapes(model) == 1
    assert state_shapes(model) == 0
    assert flatbuffer.constant(model, graph.operators[1].inputs[1]) is not None
    flatbuffer.save(model, tmp_path / "reshape.tflite")
    values = np.ones((1, 4, 6), np.float32)
    assert (run(tmp_path / "reshape.tflite", values) == values).all()


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
