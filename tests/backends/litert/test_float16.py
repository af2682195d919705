"""The emulation of a GPU that computes in float16."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from numpy.typing import NDArray

from mosaic_deploy.backends.litert import float16
from mosaic_deploy.errors import ModelError, RefusedError, ToolError
from mosaic_deploy.workers.call import GIB, Call, call
from tests.backends.qnn.test_backend import CLASSES, HEIGHT, WIDTH, network, pictures

FINE = 2.0**-12
"""1 + FINE is a float32, and 1 the nearest float16."""


def graph(text: str, **constants: Any) -> onnx.ModelProto:
    """A network from a row of 4 numbers, x, to y."""
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 18]> net (float[1, 4] x) => (float[1, 4] y) {{ {text} }}'
    )
    arrays = {name: np.asarray(value, np.float32) for name, value in constants.items()}
    model.graph.initializer.extend(onnx.numpy_helper.from_array(a, n) for n, a in arrays.items())
    return model


def run(folder: Path, model: onnx.ModelProto, values: NDArray[Any], layout: str = "NCHW") -> NDArray[Any]:
    onnx.save(model, folder / "net.onnx")
    np.save(folder / "in.npy", values)
    request = {
        "onnx": str(folder / "net.onnx"),
        "inputs": [str(folder / "in.npy")],
        "outputs": [str(folder / "out.npy")],
        "layout": layout,
    }
    float16.predict(request, lambda share, text: None)
    result: NDArray[Any] = np.load(folder / "out.npy")
    return result


def row(*values: float) -> NDArray[np.float32]:
    return np.array([values], np.float32)


def exactly(model: onnx.ModelProto, values: NDArray[Any]) -> NDArray[Any]:
    import onnxruntime as ort

    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    result: NDArray[Any] = session.run(None, {model.graph.input[0].name: values})[0]
    return result


@pytest.mark.parametrize(
    ("text", "constants", "value"),
    [
        pytest.param("y = Identity(x)", {}, 1 + FINE, id="input"),
        pytest.param("y = Add(x, c)", {"c": FINE}, 1, id="output-of-a-node"),
        pytest.param("y = Mul(x, c)", {"c": 1 + FINE}, 1, id="weight"),
        pytest.param("c = Constant<value_float = 1.000244140625>() y = Mul(x, c)", {}, 1, id="constant-node"),
        pytest.param(
            "c = Constant<value = float {1.000244140625}>() y = Mul(x, c)", {}, 1, id="constant-tensor"
        ),
        pytest.param("s = Add(x, c) y = Relu(s)", {"c": FINE}, 1, id="before-a-relu"),
        pytest.param(
            "s = Add(x, c) r = Relu(s) y = Add(r, s)", {"c": FINE}, 1, id="before-a-relu-and-something-else"
        ),
    ],
)
def test_every_number_is_rounded(tmp_path: Path, text: str, constants: Any, value: float) -> None:
    model = graph(text, **constants)
    plain = exactly(model, row(value, value, value, value))
    rounded = run(tmp_path, model, row(value, value, value, value))
    assert (plain != np.round(plain)).all()
    assert (rounded == np.round(plain)).all()
    assert rounded.dtype == np.float32


def test_rounding_is_to_the_nearest(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(0, 100, (1, 4)).astype(np.float32)
    assert (run(tmp_path, graph("y = Identity(x)"), values) == values.astype(np.float16)).all()


def test_each_step_is_rounded_not_only_the_end(tmp_path: Path) -> None:
    """(x + 2**-12) * 4096 - 4096 is 1 in float32; a rounded sum leaves 0."""
    model = graph("s = Add(x, c) m = Mul(s, big) y = Sub(m, big)", c=FINE, big=4096)
    ones = row(1, 1, 1, 1)
    assert exactly(model, ones).tolist() == [[1, 1, 1, 1]]
    assert run(tmp_path, model, ones).tolist() == [[0, 0, 0, 0]]


def test_sums_inside_an_operator_stay_float32(tmp_path: Path) -> None:
    """2048 + 0.5 four times: float16 would lose each half."""
    model = graph("y = MatMul(x, w)", w=np.ones((4, 4)))
    assert run(tmp_path, model, row(2048, 0.5, 0.5, 1)).tolist() == [[2050, 2050, 2050, 2050]]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("y = Mul(x, x)", "tensor 'y' leaves float16", id="at-the-end"),
        pytest.param(
            "m = Mul(x, x) y = Min(m, x)", "tensor 'm' leaves float16", id="hidden-behind-a-minimum"
        ),
        pytest.param("m = Mul(x, x) y = Relu(m)", "tensor 'y' leaves float16", id="through-a-relu"),
    ],
)
def test_overflow_is_refused_by_name(tmp_path: Path, text: str, says: str) -> None:
    assert np.isfinite(run(tmp_path, graph(text), row(255, 2, 1, 0))).all()
    with pytest.raises(RefusedError, match=f"^net.onnx: {says}, which ends at 65504$"):
        run(tmp_path, graph(text), row(300, 2, 1, 0))


def test_an_input_beyond_float16_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="tensor 'x' leaves float16"):
        run(tmp_path, graph("y = Mul(x, c)", c=1e-3), row(70_000, 0, 0, 0))


def test_what_relu_drops_may_overflow(tmp_path: Path) -> None:
    model = graph("m = Mul(x, c) y = Relu(m)", c=-300)
    assert run(tmp_path, model, row(300, -1, 0, 0)).tolist() == [[0, 300, 0, 0]]


def test_a_weight_beyond_float16_is_refused(tmp_path: Path) -> None:
    assert np.isfinite(run(tmp_path, graph("y = Mul(x, c)", c=65504), row(1, 0, 0, 0))).all()
    with pytest.raises(RefusedError, match="constant 'c' holds 70000, float16 ends at 65504"):
        run(tmp_path, graph("y = Mul(x, c)", c=70_000), row(0, 0, 0, 0))


def test_the_scales_of_a_resize_are_not_rounded(tmp_path: Path) -> None:
    """9 * 4 / 3 is 12; with the scale in float16 it would be 11.997, and the picture a column short."""
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 18]>
        net (float[1, 1, 9, 9] x) => (float[1, 1, 12, 12] y) {
            y = Resize<mode = "nearest">(x, , scales)
        }
    """)
    scales = np.array([1, 1, 4 / 3, 4 / 3], np.float32) + np.float32(1e-6)
    model.graph.initializer.append(onnx.numpy_helper.from_array(scales, "scales"))
    assert run(tmp_path, model, np.ones((1, 1, 9, 9), np.float32)).shape == (1, 1, 12, 12)


@pytest.mark.parametrize("head", ["logits", "lowres"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_a_network_stays_close(tmp_path: Path, head: str, layout: str) -> None:
    model = network(head)
    image = (pictures(1)[0][None].transpose(0, 3, 1, 2).astype(np.float32) - 128) / 128
    plain = exactly(model, image)
    fed = image if layout == "NCHW" else np.ascontiguousarray(image.transpose(0, 2, 3, 1))
    rounded = run(tmp_path, model, fed, layout)
    assert rounded.shape == plain.shape
    assert rounded.dtype == plain.dtype
    assert plain.shape[1] == CLASSES
    assert 0 < np.abs(rounded - plain).max() / np.abs(plain).max() < 5e-3


def test_ids_differ_only_where_scores_nearly_tie(tmp_path: Path) -> None:
    image = (pictures(1)[0][None].transpose(0, 3, 1, 2).astype(np.float32) - 128) / 128
    scores, ids = exactly(network("logits"), image), exactly(network("classmap"), image)
    rounded = run(tmp_path, network("classmap"), image)
    assert rounded.dtype == ids.dtype
    best, chosen = (np.take_along_axis(scores, i[:, None].astype(np.int64), 1) for i in (ids, rounded))
    assert (best - chosen).max() < 5e-3 * np.abs(scores).max()
    assert 0.9 < (rounded == ids).mean() < 1


@pytest.mark.parametrize(
    ("shape", "model", "says"),
    [
        pytest.param((1, 5), graph("y = Identity(x)"), "has shape (1, 5)", id="flat-input"),
        pytest.param((1, HEIGHT, WIDTH, 4), network("lowres"), "has shape (1, 48, 64, 4)", id="channels"),
        pytest.param(
            (1, 4),
            graph("t = Constant<value = bool {1}>() y = If(t) <then_branch = g () => (float[1, 4] a) "
                  "{ a = Identity(x) }, else_branch = h () => (float[1, 4] b) { b = Neg(x) }>"),
            "hold graphs",
            id="graphs-inside",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_run_is_one_line(
    tmp_path: Path, shape: tuple[int, ...], model: onnx.ModelProto, says: str
) -> None:
    with pytest.raises(ModelError) as error:
        run(tmp_path, model, np.zeros(shape, np.float32), "NHWC")
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"no network")
    request = {"onnx": str(tmp_path / "net.onnx"), "inputs": [], "outputs": [], "layout": "NCHW"}
    with pytest.raises(ModelError, match=r"^net.onnx: cannot be run in float16: [^\n]+$"):
        float16.predict(request, lambda share, text: None)


@pytest.mark.parametrize(
    ("limit", "says"),
    [
        pytest.param({"timeout_s": 0.3, "memory_bytes": GIB}, "predict: ran longer than", id="time"),
        pytest.param({"timeout_s": 60, "memory_bytes": 30 << 20}, "predict: needed more than", id="memory"),
    ],
)
def test_limits_end_the_child(tmp_path: Path, limit: Any, says: str) -> None:
    onnx.save(network("lowres"), tmp_path / "net.onnx")
    image = np.zeros((1, 3, HEIGHT, WIDTH), np.float32)
    np.save(tmp_path / "in.npy", image)
    request = {
        "onnx": str(tmp_path / "net.onnx"),
        "inputs": [str(tmp_path / "in.npy")] * 20_000,
        "outputs": [str(tmp_path / "out.npy")] * 20_000,
        "layout": "NCHW",
    }
    with pytest.raises(ToolError, match=f"^{says}[^\n]*; log: "):
        call(Call(float16.predict, request, log=tmp_path / "log", cwd=tmp_path / "scratch", **limit))


def test_a_model_of_several_inputs_is_emulated() -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 18]>
        net (float[4] a, float[4] b) => (float[4] y, float[4] z) { y = Add(a, b) z = Mul(a, b) }
    """)
    rng = np.random.default_rng(0)
    feeds = {name: rng.normal(size=4).astype(np.float32) for name in "ab"}
    halves = {name: values.astype(np.float16).astype(np.float32) for name, values in feeds.items()}
    found = float16.emulated(model.SerializeToString(), feeds)
    exact = (halves["a"] + halves["b"], halves["a"] * halves["b"])
    for given, wanted in zip(found, exact, strict=True):
        assert (given == wanted.astype(np.float16)).all()
        assert (given != wanted).any()
    with pytest.raises(RefusedError, match="leaves float16"):
        float16.emulated(model.SerializeToString(), {"a": feeds["a"] * 0 + 300, "b": feeds["b"] * 0 + 300})
