"""What the Hexagon compiler refuses or gets wrong, and what it is given instead, on its simulator."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from mosaic_deploy.backends.oracle.case import Case
from mosaic_deploy.backends.oracle.fleet import try_all
from mosaic_deploy.backends.oracle.registry import load_compiler
from mosaic_deploy.backends.qnn.normalisations import fusible
from mosaic_deploy.backends.qnn.parameters import parameter_types
from mosaic_deploy.backends.qnn.quantize import _fuse
from mosaic_deploy.specs.precision import Precision

COMPILER = load_compiler("qnn-htp")
needs_compiler = pytest.mark.skipif(bool(COMPILER.missing()), reason=COMPILER.missing())

RNG = np.random.default_rng(5)
MEANS = {
    "negative": -RNG.uniform(0.5, 3, 16),
    "positive": RNG.uniform(0.5, 3, 16),
    "around zero": RNG.normal(0, 0.1, 16),
}
VARIANCES = {"tiny": 10 ** RNG.uniform(-4, -2, 16), "of every size": 10 ** RNG.uniform(-4, 1, 16)}


def graph(text: str, **constants: NDArray[Any]) -> onnx.ModelProto:
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 18]> net {text}')
    for name, values in constants.items():
        kept = values if values.dtype == np.int64 else values.astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(kept, name))
    return model


def case(name: str, model: onnx.ModelProto, precision: Precision = "w8a8") -> Case:
    rng = np.random.default_rng(2)
    feeds: Mapping[str, NDArray[Any]] = {
        value.name: rng.normal(0, 1, [d.dim_value for d in value.type.tensor_type.shape.dim]).astype(
            np.float32
        )
        for value in model.graph.input
    }
    return Case(name, "chain", "plain", "chain", model, feeds, precision)


def batch_norm(mean: NDArray[Any], variance: NDArray[Any]) -> onnx.ModelProto:
    return graph(
        "(float[1, 16, 12, 20] x) => (float[1, 16, 12, 20] y) { y = BatchNormalization(x, s, b, m, v) }",
        s=RNG.uniform(0.5, 1.5, 16), b=RNG.normal(0, 0.3, 16), m=mean, v=variance,
    )  # fmt: skip


def layer_norm(shape: str, sign: int) -> onnx.ModelProto:
    return graph(
        f"(float[{shape}, 48] x) => (float[{shape}, 48] y) {{ y = LayerNormalization(x, s, b) }}",
        s=sign * RNG.uniform(0.5, 1.5, 48), b=RNG.normal(0, 0.3, 48),
    )  # fmt: skip


def decomposed(axis: int) -> onnx.ModelProto:
    return graph(
        """(float[1, 48, 48] x) => (float[1, 48, 48] y) {
            mean = ReduceMean<keepdims = 1>(x, axes)
            centred = Sub(x, mean)
            squared = Mul(centred, centred)
            variance = ReduceMean<keepdims = 1>(squared, axes)
            safe = Add(variance, epsilon)
            deviation = Sqrt(safe)
            normal = Div(centred, deviation)
            scaled = Mul(normal, s)
            y = Add(scaled, b)
        }""",
        axes=np.array([axis]), epsilon=np.array(1e-5), s=RNG.uniform(0.5, 1.5, 48), b=RNG.normal(0, 0.3, 48),
    )  # fmt: skip


def depthwise() -> onnx.ModelProto:
    return graph(
        "(float[1, 16, 12, 20] x) => (float[1, 16, 12, 20] y) { y = Conv<group = 16>(x, w, b) }",
        w=RNG.uniform(-1, 2, (16, 1, 1, 1)), b=RNG.normal(0, 1, 16),
    )  # fmt: skip


def stack(sizes: str) -> onnx.ModelProto:
    return graph(
        f"""(float[1, {sizes}] p, float[1, {sizes}] q) => (float[1, {sizes}] y) {{
            first = Unsqueeze(p, axis)
            second = Unsqueeze(q, axis)
            both = Concat<axis = 0>(first, second)
            y = ReduceSum<keepdims = 0>(both, axis)
        }}""",
        axis=np.array([0]),
    )


def small_numbers(size: float, bias: float) -> onnx.ModelProto:
    return graph(
        """(float[1, 16, 12, 20] x) => (float[1, 16, 12, 20] y) {
            wide = Tanh(x)
            narrow = Mul(wide, size)
            mixed = Conv<pads = [1, 1, 1, 1]>(narrow, w, b)
            y = Mul(mixed, back)
        }""",
        size=np.array(size), back=np.array(1 / size), w=RNG.normal(0, 0.3, (16, 16, 3, 3)),
        b=bias * RNG.normal(0, 1, 16),
    )  # fmt: skip


def gelu() -> onnx.ModelProto:
    return graph(
        """(float[1, 16, 12, 20] x) => (float[1, 16, 12, 20] y) {
            scaled = Div(x, root)
            error = Erf(scaled)
            more = Add(error, one)
            grown = Mul(x, more)
            y = Mul(grown, half)
        }""",
        root=np.array(2**0.5), one=np.array(1.0), half=np.array(0.5),
    )  # fmt: skip


def prelu(slopes: NDArray[Any]) -> onnx.ModelProto:
    return graph(
        "(float[1, 16, 12, 20] x) => (float[1, 16, 12, 20] y) { y = PRelu(x, slopes) }", slopes=slopes
    )


def overshooting(more: str) -> onnx.ModelProto:
    return graph(
        f"""(float[1, 16, 31, 31] x) => (float[1, 16, 16, 16] y) {{
            mean = AveragePool<kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1{more}>(x)
            y = Conv(mean, w)
        }}""",
        w=RNG.normal(0, 0.3, (16, 16, 1, 1)),
    )


def norms_divided() -> onnx.ModelProto:
    """Global response normalisation (https://arxiv.org/abs/2301.00808)."""
    return graph(
        """(float[1, 16, 32, 32] x) => (float[1, 16, 32, 32] y) {
            deep = Conv<pads = [1, 1, 1, 1]>(x, w)
            norm = ReduceL2<keepdims = 1>(deep, sides)
            mean = ReduceMean<keepdims = 1>(norm, channels)
            share = Div(norm, mean)
            y = Mul(deep, share)
        }""",
        w=RNG.normal(0, 0.3, (16, 16, 3, 3)), sides=np.array([2, 3]), channels=np.array([1]),
    )  # fmt: skip


def normalised_channels() -> onnx.ModelProto:
    """Queries of an attention across channels (https://arxiv.org/abs/2106.09681), normalised."""
    return graph(
        """(float[1, 16, 32, 32] x) => (float[1, 2, 8, 8] y) {
            rows = Reshape(x, sides)
            pixels = Transpose<perm = [0, 2, 1]>(rows)
            mixed = MatMul(pixels, w)
            parts = Reshape(mixed, heads)
            each = Transpose<perm = [2, 0, 3, 4, 1]>(parts)
            one, two, three = Split<axis = 0>(each, ones)
            queries = Squeeze(one, first)
            keys = Squeeze(two, first)
            length = ReduceL2<keepdims = 1>(queries, last)
            safe = Clip(length, least)
            unit = Div(queries, safe)
            key_length = ReduceL2<keepdims = 1>(keys, last)
            key_safe = Clip(key_length, least)
            key_unit = Div(keys, key_safe)
            turned = Transpose<perm = [0, 1, 3, 2]>(key_unit)
            y = MatMul(unit, turned)
        }""",
        sides=np.array([1, 16, 1024]), heads=np.array([1, 1024, 3, 2, 8]), ones=np.array([1, 1, 1]),
        first=np.array([0]), last=np.array([-1]), least=np.array(1e-12), w=RNG.normal(0, 0.3, (16, 48)),
    )  # fmt: skip


def pooled(side: int) -> onnx.ModelProto:
    return graph(
        f"""(float[1, 16, {side}, {side}] x) => (float[1, 16, {side // 8}, {side // 8}] y) {{
            deep = Conv(x, w)
            y = MaxPool<kernel_shape = [8, 8], strides = [8, 8]>(deep)
        }}""",
        w=RNG.normal(0, 0.3, (16, 16, 1, 1)),
    )


def largest_of_two() -> onnx.ModelProto:
    model = stack("16, 12, 20")
    model.graph.node[-1].op_type = "ReduceMax"
    return model


def shared_constant() -> onnx.ModelProto:
    return graph(
        """(float[1, 64, 48] x) => (float[1, 64, 48] y) {
            normal = LayerNormalization(x, s, b)
            y = Mul(normal, s)
        }""",
        s=RNG.uniform(0.5, 1.5, 48), b=RNG.normal(0, 0.3, 48),
    )  # fmt: skip


def pruned_channels(bias: float, share: float) -> onnx.ModelProto:
    """One channel of weights is ``share`` times the others', another is 0, and both have a bias."""
    weights = RNG.normal(0, 0.3, (16, 16, 3, 3))
    weights[3] *= share
    weights[5] = 0
    return graph(
        "(float[1, 16, 12, 20] x) => (float[1, 16, 12, 20] y) { y = Conv<pads = [1, 1, 1, 1]>(x, w, b) }",
        w=weights, b=bias * RNG.normal(0, 1, 16),
    )  # fmt: skip


@needs_compiler
def test_all_of_these_run_right(tmp_path: Path) -> None:
    each: tuple[Precision, ...] = ("w8a8", "w8a16")
    cases = [
        *(case(f"batch norm {m} {v}", batch_norm(MEANS[m], VARIANCES[v])) for m in MEANS for v in VARIANCES),
        *(case(f"layer norm {p}", layer_norm("1, 64", 1), p) for p in each),
        *(case(f"layer norm of rank 4 {p}", layer_norm("1, 8, 8", -1), p) for p in each),
        case("normalised channels", normalised_channels()),
        *(case(f"maximum of eight, of {side}", pooled(side)) for side in (32, 64)),
        case("largest of two", largest_of_two()),
        case("layer norm, decomposed", decomposed(2)),
        case("layer norm of the other axis", decomposed(1)),
        *(case(f"depthwise of one tap {p}", depthwise(), p) for p in each),
        *(case(f"numbers around {size}", small_numbers(size, size)) for size in (1e-2, 1e-6, 1e-9)),
        case("small numbers, large biases", small_numbers(1e-9, 0.1)),
        *(
            case(f"prelu {name} {p}", prelu(RNG.normal(0, 0.3, shape)), p)
            for name, shape in (("per channel", (16, 1, 1)), ("of one slope", (1,)), ("whole", (16, 12, 20)))
            for p in each
        ),
        *(case(f"prelu of zeros {p}", prelu(np.zeros((16, 1, 1))), p) for p in each),
        *(case(f"a constant that two read {p}", shared_constant(), p) for p in each),
        *(
            case(f"weights times {share} {p}", pruned_channels(1, share), p)
            for share in (1e-4, 1e-7, 1e-11)
            for p in each
        ),
        case("stack", stack("16, 16, 16")),
        *(
            case(f"average beyond the edge{more}", overshooting(more))
            for more in ("", ", count_include_pad = 0")
        ),
        case("norms divided", norms_divided()),
        *(case(f"erf gelu {p}", gelu(), p) for p in each),
    ]
    tried = try_all("qnn-htp", cases, jobs=1, everywhere=False, folder=tmp_path)
    found = {f"{one.name} {o.device}": (o.found, o.error) for one, outcomes in tried for o in outcomes}
    assert {name: what for name, what in found.items() if what[0] != "runs"} == {}
    assert len(found) == 2 * len(cases)


@needs_compiler
@pytest.mark.parametrize(
    ("model", "ops"),
    [
        pytest.param(batch_norm(MEANS["negative"], VARIANCES["tiny"]), {"Mul", "Add"}, id="batch norm"),
        pytest.param(decomposed(2), {"LayerNormalization"}, id="last axis"),
        pytest.param(stack("4, 4, 4"), {"Add"}, id="stack"),
        pytest.param(gelu(), {"Gelu"}, id="gelu"),
    ],
)
def test_the_compiler_is_given_these(
    model: onnx.ModelProto, ops: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    onnx.save(model, "plain.onnx")
    assert {node.op_type for node in onnx.load(_fuse(Path("plain.onnx"))).graph.node} == ops


def test_a_constant_that_others_read_too_keeps_its_type_for_them() -> None:
    model = shared_constant()
    names = [*parameter_types(model)]
    assert names == [model.graph.node[0].input[1]]
    assert names[0] != model.graph.node[1].input[1] == "s"
    alone = layer_norm("1, 64", 1)
    assert [*parameter_types(alone)] == ["s"]
    assert len(alone.graph.initializer) == 2


def test_a_mean_over_another_axis_is_no_layer_norm() -> None:
    models = [onnx.shape_inference.infer_shapes(decomposed(axis)) for axis in (2, -1, 1, 0)]
    assert [fusible(model) for model in models] == [True, True, False, False]


def test_a_file_that_says_where_it_comes_from_is_quantised_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = graph("(float[1, 4] x) => (float[1, 4] y) { y = Relu(x) }")
    model.metadata_props.add(key="weights", value="untrained")
    onnx.save_model(model, tmp_path / "plain.onnx")
    assert [node.op_type for node in onnx.load(_fuse(Path("plain.onnx"))).graph.node] == ["Relu"]
