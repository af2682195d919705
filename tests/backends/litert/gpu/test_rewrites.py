"""What the accelerator gets wrong or refuses as it stands, and right after the rewrite: on the real one."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from mosaic_deploy.backends.litert import flatbuffer
from mosaic_deploy.backends.litert.convert import convert
from mosaic_deploy.backends.litert.gpu import accelerator
from mosaic_deploy.backends.litert.gpu.rewrites import (
    fill_lanes,
    for_accelerator,
    pad_channels_by_zero,
)
from mosaic_deploy.backends.litert.layout import TO_NCHW, TO_NHWC, keep_nhwc, transpose
from mosaic_deploy.backends.litert.quantize import copy, halves
from mosaic_deploy.errors import RefusedError, ToolError
from mosaic_deploy.workers.call import call
from tests.backends.litert import tflite
from tests.backends.litert.gpu.test_gpu import job, on_gpu

SIDE = 8
SLOPES = (0.1, -0.2, 0.3, 2)


def a_file(place: Path, channels: int, end: Callable[[Any, int], int]) -> Path:
    """x (1, 8, 8, channels) -> MUL by 1 -> whatever ``end`` adds."""
    model = tflite.tflite_model()
    graph = model.subgraphs[0]
    source = tflite.tensor(model, "x", [1, SIDE, SIDE, channels])
    between = tflite.tensor(model, "y", [1, SIDE, SIDE, channels])
    one = flatbuffer.add_constant(model, "one", np.ones(1, np.float32))
    graph.operators.append(flatbuffer.operator(model, "MUL", [source, one], [between]))
    graph.inputs = [source]
    graph.outputs = [end(model, between)]
    path = place / "file.tflite"
    flatbuffer.save(model, path)
    return path


def largest(model: Any, scores: int) -> int:
    from ai_edge_litert import schema_py_generated as schema

    ids = tflite.tensor(model, "ids", [1, SIDE, SIDE])
    model.subgraphs[0].tensors[ids].type = schema.TensorType.INT32
    axis = flatbuffer.add_constant(model, "axis", np.array(3, np.int32))
    op = flatbuffer.operator(model, "ARG_MAX", [scores, axis], [ids])
    op.builtinOptions.outputType = schema.TensorType.INT32
    model.subgraphs[0].operators.append(op)
    return ids


def padded(model: Any, source: int) -> int:
    return pad(model, source, [[0, 0], [0, 0], [0, 1], [0, 3]])


def bordered(model: Any, source: int) -> int:
    return pad(model, source, [[0, 0], [1, 1], [0, 1], [0, 0]])


def pad(model: Any, source: int, widths: list[list[int]]) -> int:
    sides = [int(side) for side in model.subgraphs[0].tensors[source].shape]
    shape = [side + before + after for side, (before, after) in zip(sides, widths, strict=True)]
    made = tflite.tensor(model, "padded", shape)
    constants = [
        flatbuffer.add_constant(model, "widths", np.array(widths, np.int32)),
        flatbuffer.add_constant(model, "value", np.array([3.5], np.float32)),
    ]
    model.subgraphs[0].operators.append(flatbuffer.operator(model, "PADV2", [source, *constants], [made]))
    return made


def sloped_in_nchw(model: Any, source: int) -> int:
    from ai_edge_litert import schema_py_generated as schema

    turned = tflite.tensor(model, "turned", [1, 4, SIDE, SIDE])
    sloped = tflite.tensor(model, "sloped", [1, 4, SIDE, SIDE])
    made = tflite.tensor(model, "back", [1, SIDE, SIDE, 4])
    slopes = np.array(SLOPES, np.float32).reshape(1, 4, 1, 1)
    op = schema.OperatorT()
    op.opcodeIndex = flatbuffer.opcode(model, "PRELU", version=1)
    op.inputs, op.outputs = [turned, flatbuffer.add_constant(model, "slopes", slopes)], [sloped]
    ends = transpose(model, source, turned, TO_NCHW), transpose(model, sloped, made, TO_NHWC)
    model.subgraphs[0].operators += [ends[0], op, ends[1]]
    return made


def attended(model: Any, source: int) -> int:
    """Four heads of rows, and one matrix for all of them, computed from the same image."""
    heads, turned = (tflite.tensor(model, name, [1, 4, SIDE, SIDE]) for name in ("heads", "turned"))
    one, made = (tflite.tensor(model, n, [1, c, SIDE, SIDE]) for n, c in (("one", 1), ("made", 4)))
    bounds = [
        flatbuffer.add_constant(model, key, np.array(values, np.int32))
        for key, values in (("from", [0, 1, 0, 0]), ("size", [1, 1, SIDE, SIDE]))
    ]
    two = flatbuffer.add_constant(model, "two", np.full(1, 2, np.float32))
    model.subgraphs[0].operators += [
        transpose(model, source, heads, TO_NCHW),
        flatbuffer.operator(model, "MUL", [heads, two], [turned]),
        flatbuffer.operator(model, "SLICE", [heads, *bounds], [one]),
        flatbuffer.operator(model, "BATCH_MATMUL", [turned, one], [made]),
    ]
    return made


def convolved(model: Any, source: int) -> int:
    """A convolution of 9 times 2048 taps, and its ReLU."""
    from ai_edge_litert import schema_py_generated as schema

    rng = np.random.default_rng(3)
    weights = (rng.normal(size=(8, 3, 3, 2048)) / 100).astype(np.float32)
    made = tflite.tensor(model, "made", [1, SIDE, SIDE, 8])
    constants = [
        flatbuffer.add_constant(model, "weights", weights),
        flatbuffer.add_constant(model, "bias", rng.normal(size=8).astype(np.float32)),
    ]
    op = flatbuffer.operator(model, "CONV_2D", [source, *constants], [made])
    op.builtinOptions.strideH = op.builtinOptions.strideW = 1
    op.builtinOptions.padding = schema.Padding.SAME
    op.builtinOptions.fusedActivationFunction = schema.ActivationFunctionType.RELU
    model.subgraphs[0].operators.append(op)
    return made


def parted(model: Any, source: int, axis: int, sizes: list[int]) -> list[int]:
    """``source`` split along an axis: by SPLIT where the sizes are equal, else by SPLIT_V."""
    shape = [int(side) for side in model.subgraphs[0].tensors[source].shape]
    parts = [
        tflite.tensor(model, f"part{i}", [*shape[:axis], size, *shape[axis + 1 :]])
        for i, size in enumerate(sizes)
    ]
    along = flatbuffer.add_constant(model, "along", np.array(axis, np.int32))
    if len(set(sizes)) == 1:
        op = flatbuffer.operator(model, "SPLIT", [along, source], parts)
    else:
        widths = flatbuffer.add_constant(model, "widths", np.array(sizes, np.int32))
        op = flatbuffer.operator(model, "SPLIT_V", [source, widths, along], parts)
    op.builtinOptions.numSplits = len(sizes)
    model.subgraphs[0].operators.append(op)
    return parts


def swapped(model: Any, source: int, axis: int, sizes: list[int]) -> int:
    """The parts joined in the other order."""
    made = tflite.tensor(model, "joined", [int(side) for side in model.subgraphs[0].tensors[source].shape])
    parts = parted(model, source, axis, sizes)[::-1]
    op = flatbuffer.operator(model, "CONCATENATION", parts, [made])
    op.builtinOptions.axis = axis
    model.subgraphs[0].operators.append(op)
    return made


def added(model: Any, source: int) -> int:
    """One half of the channels added to the other."""
    made = tflite.tensor(model, "sum", [1, SIDE, SIDE, 4])
    parts = parted(model, source, 3, [4, 4])
    model.subgraphs[0].operators.append(flatbuffer.operator(model, "ADD", parts, [made]))
    return made


def pooled(model: Any, source: int, kind: str) -> int:
    """A border of zeros, and a pool of 3x3 over it."""
    from ai_edge_litert import schema_py_generated as schema

    wide = tflite.tensor(model, "wide", [1, SIDE + 2, SIDE + 2, 4])
    made = tflite.tensor(model, "made", [1, SIDE, SIDE, 4])
    widths = flatbuffer.add_constant(model, "widths", np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32))
    pool = schema.OperatorT()
    pool.opcodeIndex = flatbuffer.opcode(model, kind, version=1)
    pool.inputs, pool.outputs = [wide], [made]
    pool.builtinOptionsType = schema.BuiltinOptions.Pool2DOptions
    pool.builtinOptions = schema.Pool2DOptionsT()
    pool.builtinOptions.filterHeight = pool.builtinOptions.filterWidth = 3
    pool.builtinOptions.strideH = pool.builtinOptions.strideW = 1
    pool.builtinOptions.padding = schema.Padding.VALID
    model.subgraphs[0].operators += [flatbuffer.operator(model, "PAD", [source, widths], [wide]), pool]
    return made


def rewritten(path: Path) -> Path:
    model = flatbuffer.load(path)
    assert for_accelerator(model) > 0
    assert for_accelerator(model) == 0
    made = path.with_name("rewritten.tflite")
    flatbuffer.save(model, made)
    return made


def computed(path: Path, values: NDArray[Any]) -> NDArray[Any]:
    model = flatbuffer.load(path)
    graph = model.subgraphs[0]
    place = path.parent
    np.save(place / "in.npy", values)
    request = {
        "model": str(path),
        "inputs": [str(place / "in.npy")],
        "outputs": [str(place / "out.npy")],
        "input": flatbuffer.describe(model, graph.inputs[0]),
        "output": flatbuffer.describe(model, graph.outputs[0]),
    }
    on_gpu(place, request)
    result: NDArray[Any] = np.load(place / "out.npy")
    return result


@pytest.mark.parametrize("classes", [2, 5, 8, 11])
def test_the_largest_of_negative_scores_is_found(tmp_path: Path, classes: int) -> None:
    path = a_file(tmp_path, classes, largest)
    values = np.random.default_rng(classes).normal(-20, 3, (1, SIDE, SIDE, classes)).astype(np.float32)
    if classes % 4:
        assert (computed(path, values) != values.argmax(3)).any(), "needs no rewrite any more"
        path = rewritten(path)
    assert (computed(path, values) == values.argmax(3)).all()
    assert (tflite.run(path, values) == values.argmax(3)).all()


def test_padding_of_channels_is_by_what_is_asked(tmp_path: Path) -> None:
    path = a_file(tmp_path, 5, padded)
    values = np.random.default_rng(0).normal(size=(1, SIDE, SIDE, 5)).astype(np.float32)
    exact = np.pad(values, [(0, 0), (0, 0), (0, 1), (0, 3)], constant_values=3.5)
    assert (computed(path, values) != exact).any(), "needs no rewrite any more"
    path = rewritten(path)
    assert (computed(path, values) == exact).all()
    assert (tflite.run(path, values) == exact).all()


def test_padding_elsewhere_needs_no_rewrite(tmp_path: Path) -> None:
    path = a_file(tmp_path, 4, bordered)
    values = np.random.default_rng(0).normal(size=(1, SIDE, SIDE, 4)).astype(np.float32)
    assert for_accelerator(flatbuffer.load(path)) == 0
    exact = np.pad(values, [(0, 0), (1, 1), (0, 1), (0, 0)], constant_values=3.5)
    assert (computed(path, values) == exact).all()


def test_one_matrix_for_all_heads_is_for_all_heads(tmp_path: Path) -> None:
    path = a_file(tmp_path, 4, attended)
    values = np.random.default_rng(0).normal(size=(1, SIDE, SIDE, 4)).astype(np.float32)
    heads = values.transpose(0, 3, 1, 2)
    exact = 2 * heads @ heads[:, 1:2]
    assert np.abs(computed(path, values) - exact).max() > 1e-2, "needs no rewrite any more"
    path = rewritten(path)
    assert np.abs(tflite.run(path, values) - exact).max() < 1e-4
    assert np.abs(computed(path, values) - exact).max() < 1e-4


def by_themselves(model: Any, source: int) -> int:
    """Channels by channels of the same image."""
    rows, made = (tflite.tensor(model, n, [1, s, SIDE * 8]) for n, s in (("rows", 8), ("made", 8)))
    model.subgraphs[0].tensors[made].shape = [1, 8, 8]
    sizes = flatbuffer.add_constant(model, "sizes", np.array([1, 8, SIDE * 8], np.int32))
    product = flatbuffer.operator(model, "BATCH_MATMUL", [rows, rows], [made])
    product.builtinOptions.adjY = True
    model.subgraphs[0].operators += [flatbuffer.operator(model, "RESHAPE", [source, sizes], [rows]), product]
    return made


def test_a_tensor_times_itself_is_computed(tmp_path: Path) -> None:
    path = a_file(tmp_path, 8, by_themselves)
    values = np.random.default_rng(0).normal(size=(1, SIDE, SIDE, 8)).astype(np.float32)
    rows = values.reshape(1, 8, -1)
    exact = rows @ rows.transpose(0, 2, 1)
    with pytest.raises(ToolError):  # it ends the process; else it needs no rewrite any more
        computed(path, values)
    path = rewritten(path)
    assert np.abs(tflite.run(path, values) - exact).max() < 1e-4
    assert np.abs(computed(path, values) - exact).max() < 1e-4 * np.ptp(exact)


def of_a_batch(model: Any, source: int) -> int:
    """A batch of rows, plus numbers that are others in each element of the batch."""
    rows, made = (tflite.tensor(model, name, [SIDE, SIDE, 8]) for name in ("rows", "made"))
    sizes = flatbuffer.add_constant(model, "sizes", np.array([SIDE, SIDE, 8], np.int32))
    number = flatbuffer.add_constant(model, "number", BATCH)
    model.subgraphs[0].operators += [
        flatbuffer.operator(model, "RESHAPE", [source, sizes], [rows]),
        flatbuffer.operator(model, "ADD", [rows, number], [made]),
    ]
    return made


BATCH = np.arange(SIDE * 8, dtype=np.float32).reshape(SIDE, 1, 8)


def test_each_element_of_a_batch_has_its_numbers(tmp_path: Path) -> None:
    path = a_file(tmp_path, 8, of_a_batch)
    values = np.random.default_rng(0).normal(size=(1, SIDE, SIDE, 8)).astype(np.float32)
    exact = values[0] + BATCH
    assert np.abs(computed(path, values) - exact).max() > 1, "needs no rewrite any more"
    path = rewritten(path)
    assert np.abs(tflite.run(path, values) - exact).max() < 1e-4
    assert np.abs(computed(path, values) - exact).max() < 1e-4


def test_a_sum_over_more_taps_than_a_texture_has_rows_is_taken_in_parts(tmp_path: Path) -> None:
    path = a_file(tmp_path, 2048, convolved)
    values = np.random.default_rng(0).normal(size=(1, SIDE, SIDE, 2048)).astype(np.float32)
    expected = tflite.run(path, values)
    path = rewritten(path)
    model = flatbuffer.load(path)
    kernels = [o.inputs[1] for o in model.subgraphs[0].operators if flatbuffer.kind(model, o) == "CONV_2D"]
    taps = [math.prod(model.subgraphs[0].tensors[number].shape[1:]) for number in kernels]
    assert sum(taps) == 9 * 2048
    assert max(taps) <= 8192
    assert np.abs(tflite.run(path, values) - expected).max() < 1e-4
    assert np.abs(computed(path, values) - expected).max() < 1e-4


def reads_two_parts_wrongly(path: Path, values: NDArray[Any], exact: NDArray[Any]) -> bool:
    try:
        return bool((computed(path, values) != exact).any())
    except ToolError as err:
        return "Output id not found" in str(err)


@pytest.mark.parametrize(("axis", "sizes"), [(3, [4, 4]), (1, [4, 4]), (2, [2, 2, 4]), (3, [3, 5])])
def test_parts_are_joined_in_another_order(tmp_path: Path, axis: int, sizes: list[int]) -> None:
    path = a_file(tmp_path, 8, lambda model, source: swapped(model, source, axis, sizes))
    values = np.random.default_rng(0).normal(size=(1, SIDE, SIDE, 8)).astype(np.float32)
    ends = np.cumsum(sizes)[:-1].tolist()
    exact = np.concatenate(np.split(values, ends, axis)[::-1], axis)
    assert (tflite.run(path, values) == exact).all()
    assert reads_two_parts_wrongly(path, values, exact), "needs no rewrite any more"
    assert (computed(rewritten(path), values) == exact).all()


def test_parts_are_added(tmp_path: Path) -> None:
    path = a_file(tmp_path, 8, added)
    values = np.random.default_rng(0).normal(size=(1, SIDE, SIDE, 8)).astype(np.float32)
    exact = values[..., :4] + values[..., 4:]
    assert reads_two_parts_wrongly(path, values, exact), "needs no rewrite any more"
    assert (computed(rewritten(path), values) == exact).all()


@pytest.mark.parametrize(("kind", "of"), [("MAX_POOL_2D", np.max), ("AVERAGE_POOL_2D", np.mean)])
def test_a_border_of_zeros_counts_in_a_pool(tmp_path: Path, kind: str, of: Callable[..., Any]) -> None:
    path = a_file(tmp_path, 4, lambda model, source: pooled(model, source, kind))
    values = np.random.default_rng(0).uniform(-2, -1, (1, SIDE, SIDE, 4)).astype(np.float32)
    wide = np.pad(values, [(0, 0), (1, 1), (1, 1), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(wide, (3, 3), (1, 2))  # type: ignore[call-overload]
    exact = of(windows, axis=(-2, -1))
    assert np.abs(computed(path, values) - exact).max() > 0.1, "needs no rewrite any more"
    assert np.abs(computed(rewritten(path), values) - exact).max() < 1e-6


def test_slopes_in_nchw_are_turned(tmp_path: Path) -> None:
    """The accelerator takes slopes along the last axis alone, and onnx2tf leaves them along the second."""
    path = a_file(tmp_path, 4, sloped_in_nchw)
    values = np.random.default_rng(0).normal(size=(1, SIDE, SIDE, 4)).astype(np.float32)
    with pytest.raises(RefusedError, match="PRELU"):
        computed(path, values)
    model = flatbuffer.load(path)
    assert keep_nhwc(model) == 1
    flatbuffer.save(model, path)
    exact = np.where(values > 0, values, values * np.array(SLOPES, np.float32))
    assert (computed(path, values) == exact).all()


def test_a_product_turns_its_first_factor(tmp_path: Path) -> None:
    model = tflite.tflite_model()
    graph = model.subgraphs[0]
    weights = np.random.default_rng(1).normal(size=(6, 5)).astype(np.float32)
    x, y, z = (tflite.tensor(model, *a) for a in (("x", [1, 6, 8]), ("y", [1, 6, 8]), ("z", [1, 8, 5])))
    one = flatbuffer.add_constant(model, "one", np.ones(1, np.float32))
    product = flatbuffer.operator(
        model, "BATCH_MATMUL", [y, flatbuffer.add_constant(model, "w", weights)], [z]
    )
    product.builtinOptions.adjX = True
    graph.operators = [flatbuffer.operator(model, "MUL", [x, one], [y]), product]
    graph.inputs, graph.outputs = [x], [z]
    flatbuffer.save(model, tmp_path / "file.tflite")
    values = np.random.default_rng(0).normal(size=(1, 6, 8)).astype(np.float32)
    exact = values.transpose(0, 2, 1) @ weights
    assert np.allclose(computed(rewritten(tmp_path / "file.tflite"), values), exact, atol=1e-5)


def test_what_needs_no_rewrite_stays(tmp_path: Path) -> None:
    model = flatbuffer.load(a_file(tmp_path, 8, largest))
    assert (fill_lanes(model), pad_channels_by_zero(model)) == (0, 0)


def wide(folder: Path) -> dict[str, Any]:
    """A dense 3x3 convolution of 64 channels at 64x64, with float16 weights, as a build makes it."""
    rng = np.random.default_rng(0)
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 18]>
        net (float[1, 3, 64, 64] image) => (float[1, 64, 64, 64] scores) {
            stem = Conv<pads = [1, 1, 1, 1]>(image, a)
            rectified = Relu(stem)
            scores = Conv<pads = [1, 1, 1, 1]>(rectified, b)
        }
    """)
    for name, shape in (("a", (64, 3, 3, 3)), ("b", (64, 64, 3, 3))):
        weights = rng.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(weights, name))
    onnx.save(model, folder / "wide.onnx")
    np.save(folder / "image.npy", rng.normal(size=(1, 64, 64, 3)).astype(np.float32))
    request = {
        "onnx": str(folder / "wide.onnx"),
        "out": str(folder / "wide.tflite"),
        "shape": [1, 64, 64, 3],
        "layout": "NCHW",
        "fold": False,
        "image": str(folder / "image.npy"),
    }
    call(job(folder, convert, request))
    for function, name in ((halves, "wide16"), (copy, "wide32")):
        made = {"model": request["out"], "out": str(folder / f"{name}.tflite"), "key": "k", "description": {}}
        call(job(folder, function, {**made, "accelerator": "gpu"}))
    tensor = {"scale": None, "zero_point": None, "dtype": "float32"}
    return {
        "model": str(folder / "wide16.tflite"),
        "inputs": [str(folder / "image.npy")],
        "outputs": [str(folder / "out.npy")],
        "input": {**tensor, "shape": [1, 64, 64, 3]},
        "output": {**tensor, "shape": [1, 64, 64, 64]},
    }


def test_shaders_that_the_driver_does_not_take_are_no_result(tmp_path: Path) -> None:
    """SwiftShader has no 16-bit types: LiteRT says nothing and gives what lies in memory. The log says it."""
    request = {**wide(tmp_path), "precision": "float16"}
    made = on_gpu(tmp_path, request)
    exact = tflite.run(tmp_path / "wide32.tflite", np.load(tmp_path / "image.npy"))
    difference = np.abs(np.load(tmp_path / "out.npy") - exact).max() / np.abs(exact).max()
    assert difference < 5e-3
    if made.result["substitute"]:
        assert made.result["precision"] == "float32"
        assert "no 16-bit type in shaders" in made.result["substitute"]
        assert made.result["device"] != "unknown"
    else:  # a driver that can
        assert made.result["precision"].startswith("float16")


def test_a_shader_refused_for_another_reason_is_an_error() -> None:
    accelerator.require_valid("net", ["I0000 environment.cc:1] all is well"])
    with pytest.raises(accelerator.NoHalvesError):
        line = (
            "E0000 x.cc:108] Validation error: :12:25 error: 'f16' type used without 'f16' extension enabled"
        )
        accelerator.require_valid("net", [line])
    with pytest.raises(
        ToolError, match=r"net: the GPU's driver does not take a shader .*: too many bindings"
    ):
        accelerator.require_valid("net", ["E0000 x.cc:108] Validation error: too many bindings"])
