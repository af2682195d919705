"""Kernels of uint8 with a zero point, beside activations of 16 bits, and what the Hexagon makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mosaic_deploy.backends.oracle.registry import load_compiler
from mosaic_deploy.backends.qnn.child_calls import TOOLCHAIN
from mosaic_deploy.backends.qnn.compile import compile_context
from mosaic_deploy.backends.qnn.quantize import _insert
from mosaic_deploy.backends.qnn.simulator import simulate
from mosaic_deploy.build.report_words import kept_grids
from mosaic_deploy.graph.execute import Session
from mosaic_deploy.quantize.boundary import to_floats, to_integers
from mosaic_deploy.quantize.qdq import Style, pairs_inserted, quantize_as
from mosaic_deploy.specs.recipe import QuantRecipe
from mosaic_deploy.specs.registry import load_spec
from mosaic_deploy.specs.toolchain import toolchain_python
from mosaic_deploy.workers.call import GIB, Call, call
from mosaic_deploy.workers.worker import JsonObject, Work

COMPILER = load_compiler("qnn-htp")
CHANNELS, LARGE, SMALL = 4, 2, 3
SCALE = 0.01


def integers(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """A kernel on a grid from -165 to 90: one channel goes beyond int8, one has integers up to 12."""
    found = np.random.default_rng(7).integers(-120, 91, shape)
    found[0, 0, 0, 0], found[LARGE, 0, 0, 0] = 90, -165
    found[SMALL] = np.clip(found[SMALL], -120, 120) // 10
    return found


def network(bias: float = 0.0) -> onnx.ModelProto:
    """Two convolutions whose kernels lie on such grids."""
    names = ("first", "second")
    held = [
        numpy_helper.from_array((integers((CHANNELS, n, 3, 3)) * SCALE).astype(np.float32), name)
        for name, n in zip(names, (3, CHANNELS), strict=True)
    ]
    held += [numpy_helper.from_array(np.full(CHANNELS, bias, np.float32), f"{name}_bias") for name in names]
    nodes = [
        helper.make_node("Conv", ["image", "first", "first_bias"], ["a"], "conv_a", pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["b"], "relu"),
        helper.make_node("Conv", ["b", "second", "second_bias"], ["y"], "conv_b", pads=[1] * 4),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, 12, 12])
        for name, channels in (("image", 3), ("y", CHANNELS))
    ]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def request_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    onnx.save(network(), "net.onnx")
    rng = np.random.default_rng(1)
    for index in range(3):
        np.save(f"{index}.npy", rng.random((1, 3, 12, 12)).astype(np.float32))

    def made(recipe: str, **more: object) -> dict[str, object]:
        return {
            "onnx": "net.onnx",
            "calibration": ["0.npy", "1.npy", "2.npy"],
            "recipe": load_spec(QuantRecipe, recipe).model_dump(mode="json", by_alias=True),
            "pixels": None,
            "threads": 1,
            "layout": "NCHW",
            "wanted": "NCHW",
            **more,
        }

    return made


def kernels(request: dict[str, object], *, bias: float = 0.0) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """Integers and steps of each kernel in the graph with pairs."""
    onnx.save(network(bias), "net.onnx")
    made = pairs_inserted(Style(lambda path: path, _insert), request, lambda _share, _text: None).model
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in made.graph.initializer}
    pairs = {node.input[0]: node for node in made.graph.node if node.op_type == "DequantizeLinear"}
    named = ((name, pairs[f"{name}_quantized"]) for name in ("first", "second"))
    return {name: (held[node.input[0]], held[node.input[1]]) for name, node in named}


def test_beside_16_bits_they_are_int8_per_channel(request_of: Any) -> None:
    found = kernels(request_of("w8a16"))
    for values, steps in found.values():
        assert values.dtype == np.int8
        assert steps.shape == (CHANNELS,)
        expected = integers(values.shape)
        fits = [index for index in range(CHANNELS) if index != LARGE]
        kept = values * steps.reshape(-1, 1, 1, 1)
        assert np.allclose(kept[fits], expected[fits] * SCALE, atol=1e-6), "what fits loses nothing"
        assert SCALE <= steps[LARGE] <= 1.301 * SCALE * 165 / 127


@pytest.mark.parametrize(("recipe", "rounded"), [("w8a8", 0), ("w8a16", 2)])
def test_the_report_counts_the_channels_that_are_rounded(request_of: Any, recipe: str, rounded: int) -> None:
    made = pairs_inserted(Style(lambda path: path, _insert), request_of(recipe), lambda _share, _text: None)
    assert made.kept == {"kernels": 2, "kept": 2, "rounded": rounded, "ranges": 0, "ranges_kept": 0}
    expected = "weights: 2 of 2 kernels came on an 8-bit grid and stay on it"
    (line,) = kept_grids(made.kept)
    assert line.partition(",")[0] == expected
    assert ("but for 2 channels" in line) == (rounded > 0)


def test_small_integers_get_larger_ones(request_of: Any) -> None:
    values, steps = kernels(request_of("w8a16"))["first"]
    assert np.abs(values[SMALL]).max() > 100
    assert steps[SMALL] == pytest.approx(SCALE / 10)


def test_a_bias_gets_no_more_steps_than_it_may(request_of: Any) -> None:
    found = kernels(request_of("w8a16"), bias=4.0)["first"]
    assert found[1][SMALL] == pytest.approx(SCALE / 3)
    assert np.abs(found[0][SMALL]).max() <= 3 * 12


def test_the_channel_that_does_not_fit_is_rounded_for_what_it_gives(request_of: Any) -> None:
    values, steps = kernels(request_of("w8a16"))["first"]
    weights = integers(values.shape)[LARGE] * SCALE
    nearest = np.rint(weights / (SCALE * 165 / 127)) * (SCALE * 165 / 127)
    seen = np.random.default_rng(1).random((2000, weights.size))

    def off(rounded: NDArray[Any]) -> float:
        return float(np.mean((seen @ (weights - rounded).ravel()) ** 2))

    assert off(values[LARGE] * steps[LARGE]) < 0.5 * off(nearest)


def test_beside_8_bits_they_keep_their_zero_point(request_of: Any) -> None:
    for values, _ in kernels(request_of("w8a8")).values():
        assert values.dtype == np.uint8
        assert np.array_equal(values.astype(int) - 165, integers(values.shape))


def test_in_an_island_only_those_within_change(request_of: Any) -> None:
    lifted = {"lifted": ["y"], "spans": [[-1.0, 1.0]]}
    found = {name: values.dtype for name, (values, _) in kernels(request_of("w8a8", mixed=lifted)).items()}
    assert found == {"first": np.uint8, "second": np.int8}


def child(function: Work, request: dict[str, object], tmp_path: Path, name: str) -> JsonObject:
    job = Call(
        function, request, 300, 6 * GIB, tmp_path / f"{name}.log", tmp_path / name, {"OMP_NUM_THREADS": "1"},
        name, toolchain_python(TOOLCHAIN),
    )  # fmt: skip
    return call(job).result


@pytest.mark.skipif(bool(COMPILER.missing()), reason=COMPILER.missing())
@pytest.mark.parametrize("architecture", ["75", "68"])
def test_the_hexagon_computes_what_the_graph_says(request_of: Any, tmp_path: Path, architecture: str) -> None:
    qdq = tmp_path / "model.qdq.onnx"
    style = Style(lambda path: path, _insert)
    facts = quantize_as(style, request_of("w8a16", out=str(qdq)), lambda _share, _text: None)
    asked: dict[str, object] = {"qdq": str(qdq), "arch": architecture, "out": str(tmp_path / "built")}
    made = child(compile_context, asked, tmp_path, "compile")
    image, result = np.random.default_rng(9).random((1, 3, 12, 12)).astype(np.float32), tmp_path / "y.npy"
    np.save(tmp_path / "x.npy", image)
    asked = {
        "context": str(tmp_path / "built" / made["onnx"]),
        "input": facts["input"],
        "output": facts["output"],
    }
    asked |= {"inputs": [str(tmp_path / "x.npy")], "outputs": [str(result)]}
    child(simulate, asked, tmp_path, "simulate")
    session = Session(qdq)
    expected = session.run({session.inputs[0].name: to_integers(image, facts["input"])})[0]
    steps = np.abs(np.load(result) - to_floats(expected, facts["output"])) / facts["output"]["scale"]
    assert steps.max() < 40, "of 65536; a channel that the compiler rounds itself is further off"
