"""The op gate on networks and on graphs that compilers stumble over."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper

from mosaic_deploy.gate.op_support.judge import CheckReport, Violation, check
from mosaic_deploy.gate.op_support.load import load_table
from mosaic_deploy.gate.op_support.tables import Activations, Evidence, Fusion, OpRule, OpTable
from mosaic_deploy.graph.facts import nodes
from mosaic_deploy.graph.reader.read import read_model
from mosaic_deploy.specs.precision import Precision


@pytest.fixture(scope="module")
def htp() -> OpTable:
    return load_table("qnn-htp")


def read(text: str, tmp_path: Path, *, opset: int = 18) -> onnx.ModelProto:
    """Read a graph of ONNX text as a file would be."""
    header = f'<ir_version: 8, opset_import: ["" : {opset}, "acme" : 1, "com.microsoft" : 1]>\n'
    path = tmp_path / "model.onnx"
    path.write_bytes(onnx.parser.parse_model(header + text).SerializeToString())
    return read_model(path)


def image(body: str, *, shape: str = "1,8,16,16", constants: str = "") -> str:
    return f"g (float[{shape}] image) => (float[] y) <{constants}> {{ {body} }}"


def only(report: CheckReport) -> Violation:
    assert len(report.violations) == 1, [str(violation) for violation in report.violations]
    return report.violations[0]


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float", "w8a8", "w8a16"])
def test_mosaic_passes(mosaic: Path, htp: OpTable, precision: Precision) -> None:
    report = check(read_model(mosaic), table=htp, precision=precision)
    assert report.violations == ()
    assert report.passed
    assert report.nodes > 140
    assert 0.6e9 < report.macs < 0.8e9


@pytest.mark.slow
def test_a_violation_names_the_line_of_the_network(mosaic: Path, htp: OpTable) -> None:
    model = read_model(mosaic)
    node = next(n for n in model.graph.node if n.op_type == "Relu")
    node.op_type = "Erf"
    violation = only(check(model, table=htp, precision="w8a8"))
    file, _, line = violation.source.rpartition(":")
    assert file.startswith("mosaic_deploy/zoo/")
    assert line.isdigit()
    assert violation.source in str(violation)


@pytest.mark.parametrize(
    ("text", "precision", "level", "rule", "found"),
    [
        pytest.param(image("y = Erf(image)"), "float", "unsupported", "erf", "operator Erf", id="erf"),
        pytest.param(
            image("a = NonZero(image) y = Cast <to = 1> (a)"),
            "float",
            "unsupported",
            "every-shape-is-static",
            "only running tells",
            id="nonzero",
        ),
        pytest.param(
            image(
                "y = LayerNormalization <axis = 1> (image, s)",
                shape="1,4,2,2",
                constants="float[4,2,2] s = {1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1}",
            ),
            "w8a8",
            "unsupported",
            "layernormalization-axis",
            "axis 1 of 4",
            id="layernorm-axis",
        ),
        pytest.param(
            image("y = AveragePool <kernel_shape = [3, 3], strides = [2, 2], ceil_mode = 1> (image)"),
            "float",
            "silent-wrong",
            "averagepool-ceil",
            "overshoot",
            id="averagepool-ceil",
        ),
        pytest.param(
            image("y = MaxPool <kernel_shape = [3, 3], dilations = [2, 2]> (image)"),
            "w8a8",
            "unsupported",
            "maxpool-dilated",
            "dilations [2, 2]",
            id="maxpool-dilated",
        ),
        pytest.param(
            image(
                'y = Resize <mode = "nearest", nearest_mode = "ceil"> (image, , s)',
                constants="float[4] s = {1,1,2,2}",
            ),
            "w8a8",
            "silent-wrong",
            "resize-nearest-half-pixel-ceil",
            "nearest_mode ceil",
            id="resize-nearest-ceil",
        ),
        pytest.param(
            image(
                'y = Resize <mode = "linear", antialias = 1> (image, , s)', constants="float[4] s = {1,1,2,2}"
            ),
            "float",
            "unsupported",
            "resize-antialias",
            "antialias 1",
            id="resize-antialias",
        ),
        pytest.param(
            image('y = Pad <mode = "edge"> (image, p)', constants="int64[8] p = {0,0,1,1,0,0,1,1}"),
            "float",
            "silent-wrong",
            "pad-mirrored-wrong",
            "mode edge",
            id="pad-edge",
        ),
        pytest.param(
            image("y = Pad (image, p)", constants="int64[8] p = {0,0,0,0,0,0,1,1}"),
            "float",
            "silent-wrong",
            "pad-unbegun",
            "pads [",
            id="pad-right-and-bottom",
        ),
        pytest.param(
            image("a = Reshape(image, s) y = MatMul(a, a)", constants="int64[5] s = {1,2,4,16,16}"),
            "w8a8",
            "silent-wrong",
            "matmul-computed-wrong",
            "rank 5",
            id="matmul-rank-5",
        ),
        pytest.param(
            image("a = Reshape(image, s) y = Relu(a)", constants="int64[6] s = {1,2,4,4,4,16}"),
            "float",
            "unsupported",
            "every-rank-is-five-at-most",
            "rank 6",
            id="rank-6",
        ),
        pytest.param(
            image("y = acme.Magic(image)"), "float", "unsupported", "", "operator Magic", id="other-domain"
        ),
        pytest.param(image("y = Det(image)"), "float", "unknown", "", "operator", id="unheard-of"),
        pytest.param(
            image("y = MaxPool <kernel_shape = [15, 15]> (image)"),
            "float",
            "unknown",
            "maxpool",
            "kernel_shape [15, 15]",
            id="untried-size",
        ),
    ],
)
def test_awkward_nodes(
    htp: OpTable, tmp_path: Path, text: str, precision: Precision, level: str, rule: str, found: str
) -> None:
    report = check(read(text, tmp_path), table=htp, precision=precision)
    violation = report.violations[0]
    assert violation.level == level
    assert violation.rule.startswith(rule)
    assert bool(violation.rule) == bool(rule)
    assert found in violation.found
    assert violation.node in ("y", "a")
    assert violation.fix
    assert report.passed is (level == "unknown")


def test_layernormalization_is_for_every_precision(htp: OpTable, tmp_path: Path) -> None:
    text = image("y = LayerNormalization (image, s)", shape="1,3,4,2", constants="float[2] s = {1,1}")
    model = read(text, tmp_path)
    for precision in ("float", "w8a8", "w8a16"):
        assert check(model, table=htp, precision=precision, devices=("v68", "v75")).violations == ()
    other = image(
        "y = LayerNormalization <axis = 1> (image, s)", shape="1,3,4,2",
        constants="float[3,4,2] s = {1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1}",
    )  # fmt: skip
    violation = only(check(read(other, tmp_path), table=htp, precision="w8a16", devices=("v75",)))
    assert violation.level == "unsupported"


def test_devices_matter(htp: OpTable, tmp_path: Path) -> None:
    model = read(image("y = HardSigmoid(image)"), tmp_path)
    assert check(model, table=htp, precision="float", devices=("v73",)).passed
    violation = only(check(model, table=htp, precision="float", devices=("v68", "v73")))
    assert violation.level == "unsupported"
    assert "v68" in violation.found


def test_rules_for_single_devices_add_up(htp: OpTable, tmp_path: Path) -> None:
    pool = image("y = MaxPool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (image)")
    model = read(pool, tmp_path)
    assert check(model, table=htp, precision="w8a8").violations == ()
    violation = only(check(model, table=htp, precision="float"))
    assert violation.level == "silent-wrong"
    assert violation.found.endswith("on v68")
    assert check(model, table=htp, precision="float", devices=("v69", "v81")).violations == ()


def test_constants_are_folded_away(htp: OpTable, tmp_path: Path) -> None:
    body = """s = Shape(image) t = Gather <axis = 0> (s, i) u = Concat <axis = 0> (t, k)
        e = Erf(c) a = Mul(image, e) y = Reshape(a, u)"""
    text = image(body, constants="int64[1] i = {0}, int64[1] k = {-1}, float c = {0.5}")
    report = check(read(text, tmp_path), table=htp, precision="w8a8")
    assert report.violations == ()
    assert report.nodes == 2


def quantized(scale: float, *, op: str, domain: str, dtype: str) -> str:
    return f"""g ({dtype}[1,8,16,16] image) => ({dtype}[1,8,h,w] y)
        <float s = {{0.5}}, {dtype} z = {{128}}, float t = {{{scale}}}> {{
            a = {domain}DequantizeLinear(image, s, z)
            b = {op} (a)
            y = {domain}QuantizeLinear(b, t, z)
        }}"""


HALVED = "AveragePool <kernel_shape = [4, 4], strides = [4, 4]>"


@pytest.mark.parametrize(
    ("domain", "scale", "found"),
    [
        pytest.param("", 0.5, "", id="one-scale"),
        pytest.param("", 0.25, "scale 0.5 in, 0.25 out", id="two-scales"),
        pytest.param("com.microsoft.", 0.5, "", id="microsoft"),
        pytest.param("com.microsoft.", 0.25, "scale 0.5 in, 0.25 out", id="microsoft-two-scales"),
    ],
)
def test_a_quantised_model_is_judged_by_its_integers(
    htp: OpTable, tmp_path: Path, domain: str, scale: float, found: str
) -> None:
    text = quantized(scale, op=HALVED, domain=domain, dtype="uint8")
    report = check(read(text, tmp_path), table=htp, precision="float")
    failing = [v for v in report.violations if v.level != "unknown"]
    assert [(v.level, v.found) for v in failing] == ([("silent-wrong", found)] if found else [])
    assert report.passed is not bool(found)


def test_the_share_of_macs_is_named(htp: OpTable, tmp_path: Path) -> None:
    body = "a = Conv(image, w) b = Conv <dilations = [40, 40], pads = [40, 40, 40, 40]> (a, v) y = Erf(b)"
    model = onnx.parser.parse_model('<ir_version: 8, opset_import: ["" : 18]>\n' + image(body))
    for name, shape in (("w", (8, 8, 1, 1)), ("v", (8, 8, 3, 1))):
        model.graph.initializer.append(numpy_helper.from_array(np.zeros(shape, np.float32), name))
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    report = check(read_model(path), table=htp, precision="float")
    shares = {violation.op: violation.macs_share for violation in report.violations}
    assert report.macs == 16 * 16 * 8 * 8 + 16 * 96 * 8 * 8 * 3
    assert shares == {"Conv": pytest.approx(16 * 96 * 3 / (16 * 96 * 3 + 256)), "Erf": 0.0}


def test_fallback_is_counted_where_the_runtime_allows_it(htp: OpTable, tmp_path: Path) -> None:
    lenient = htp.model_copy(update={"fallback": True})
    report = check(read(image("y = Erf(image)"), tmp_path), table=lenient, precision="float")
    assert only(report).level == "fallback"
    assert report.passed


def test_the_report_as_json(htp: OpTable, tmp_path: Path) -> None:
    report = check(read(image("y = Erf(image)"), tmp_path), table=htp, precision="w8a8")
    found = json.loads(json.dumps(report.to_json()))
    assert found["passed"] is False
    assert found["precision"] == "w8a8"
    assert found["table"] == "qnn-htp"
    assert found["tool"].startswith("onnxruntime-qnn 2.7.0")
    assert found["nodes"] == 1
    assert found["violations"] == [
        {
            "level": "unsupported",
            "node": "y",
            "op": "Erf",
            "rule": "erf",
            "found": "operator Erf",
            "allowed": "",
            "macs_share": 0.0,
            "fix": "as part of GELU write ai.onnx Gelu (opset 20) or its tanh form",
            "error": "Operators of type `Erf` are not supported by QNN EP.",
            "source": "",
        }
    ]


def test_no_runtime_is_loaded() -> None:
    code = (
        "import sys; import mosaic_deploy.gate.op_support.judge, mosaic_deploy.graph.reader.read;"
        "import mosaic_deploy.gate.op_support.load;"
        "mosaic_deploy.gate.op_support.load.load_table('qnn-htp');"
        "print(*({'torch', 'onnxruntime', 'openvino', 'tensorflow', 'sympy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == ""


def test_a_cast_of_the_raw_pixels_goes_with_quantising(tmp_path: Path, htp: OpTable) -> None:
    text = "g (uint8[1,3,16,16] image) => (float[] y) { x = Cast <to = 1> (image) y = Relu (x) }"
    model = read(text, tmp_path)
    assert check(model, table=htp, precision="w8a8").violations == ()
    assert only(check(model, table=htp, precision="float")).level == "silent-wrong"
    strict = htp.model_copy(update={"folds_input_cast": "never"})
    assert only(check(model, table=strict, precision="w8a8")).level == "silent-wrong"
    always = htp.model_copy(update={"folds_input_cast": "always"})
    assert check(model, table=always, precision="float").violations == ()


def test_the_tables_integers_decide(tmp_path: Path, htp: OpTable) -> None:
    model = read("g (float[1,8,16,16] image) => (float[] y) { y = Relu (image) }", tmp_path)
    assert check(model, table=htp, precision="w8a8").violations == ()
    signed = htp.model_copy(update={"integers": Activations(w8a8="int16")})
    assert only(check(model, table=signed, precision="w8a8")).found == "quantised int16"


FUSED = """g (float[1,8,16,16] image) => (float[] y) <float[8,8,1,1] w = {{ {zeros} }}> {{
    a = Conv <kernel_shape = [1, 1]> (image, w)
    b = Relu (a)
    y = {end} }}""".replace("{zeros}", ",".join(["0"] * 64))


@pytest.mark.parametrize(
    ("end", "precision", "judged"),
    [
        pytest.param("Sigmoid (b)", "w8a8", 2, id="fused"),
        pytest.param("Sigmoid (b)", "float", 3, id="only-where-quantised-so"),
        pytest.param("Add (a, b)", "w8a8", 3, id="another-reads-what-is-before-it"),
    ],
)
def test_what_is_fused_is_not_judged(
    tmp_path: Path, htp: OpTable, end: str, precision: Precision, judged: int
) -> None:
    fusion = Fusion(op="Relu", after=("Conv",), quantized_dtypes=("uint8",), evidence=Evidence(cases=1))
    refusal = OpRule(id="no", op="Relu", verdict="wrong", evidence=Evidence(cases=1), fix="leave it out")
    rules = (refusal, *(rule for rule in htp.rules if rule.op != "Relu"))
    table = htp.model_copy(update={"fuses": (fusion,), "rules": rules})
    report = check(read(FUSED.format(end=end), tmp_path), table=table, precision=precision)
    assert report.nodes == judged
    assert ("no" in {violation.rule for violation in report.violations}) == (judged == 3)


def test_a_fused_activation_keeps_to_its_constraints(tmp_path: Path, htp: OpTable) -> None:
    fusion = Fusion(
        op="Relu",
        after=("Conv",),
        quantized_dtypes=("uint8",),
        constraints=("inputs_are_two",),
        evidence=Evidence(cases=1),
    )
    table = htp.model_copy(update={"fuses": (fusion,)})
    assert check(read(FUSED.format(end="Sigmoid (b)"), tmp_path), table=table, precision="w8a8").nodes == 3


@pytest.mark.parametrize(
    ("stated", "meant"),
    [
        pytest.param("", 0, id="no-padding"),
        pytest.param(", pads = [0, 0, 0, 0]", 0, id="pads-of-zero"),
        pytest.param(", pads = [1, 1, 1, 1]", 1, id="padded"),
        pytest.param(', auto_pad = "SAME_UPPER"', 1, id="padded-by-itself"),
        pytest.param(", ceil_mode = 1", 0, id="beyond-the-edge"),
    ],
)
def test_counting_a_padding_that_is_none_means_nothing(tmp_path: Path, stated: str, meant: int) -> None:
    body = f"y = AveragePool <kernel_shape = [2, 2], count_include_pad = 1{stated}> (image)"
    (pool,) = nodes(read(image(body), tmp_path))
    assert pool.attributes["count_include_pad"] == meant


def test_a_window_that_states_nothing_has_no_padding_and_steps_of_one(tmp_path: Path) -> None:
    (pool,) = nodes(read(image("y = MaxPool <kernel_shape = [2, 2]> (image)"), tmp_path))
    assert (pool.attributes["strides"], pool.attributes["pads"]) == ((1, 1), (0, 0, 0, 0))
    assert pool.defaults["dilations"] == (1, 1)
    stated = "y = MaxPool <kernel_shape = [2, 2], strides = [2, 1]> (image)"
    (pool,) = nodes(read(image(stated), tmp_path))
    assert (pool.attributes["strides"], pool.defaults["strides"]) == ((2, 1), (1, 1))


@pytest.mark.parametrize(
    ("mode", "idle"),
    [
        pytest.param("linear", {"nearest_mode", "cubic_coeff_a", "extrapolation_value"}, id="linear"),
        pytest.param("nearest", {"cubic_coeff_a", "extrapolation_value"}, id="nearest"),
        pytest.param("cubic", {"nearest_mode", "extrapolation_value"}, id="cubic"),
    ],
)
def test_what_a_resize_mode_does_not_use_means_nothing(tmp_path: Path, mode: str, idle: set[str]) -> None:
    stated = {"nearest_mode": '"floor"', "cubic_coeff_a": "-0.5", "extrapolation_value": "3.0"}
    text = ", ".join(f"{name} = {value}" for name, value in stated.items())
    body = f'y = Resize <mode = "{mode}", {text}> (image, , s)'
    (resize,) = nodes(read(image(body, constants="float[4] s = {1, 1, 2, 2}"), tmp_path))
    assert {name for name in stated if resize.attributes[name] == resize.defaults[name]} == idle


def test_some_operators_may_fall_back(tmp_path: Path, htp: OpTable) -> None:
    text = "g (float[1,8,16,16] image) => (float[] y) { y = Erf (image) }"
    refusal = next(rule for rule in htp.rules if rule.op == "Erf" and not rule.accepts)
    rules = (refusal.model_copy(update={"verdict": "falls-back"}),)
    for fallback, level in ((("Erf",), "fallback"), (("ArgMax",), "unsupported"), (False, "unsupported")):
        given = htp.model_copy(update={"rules": rules, "fallback": fallback})
        assert only(check(read(text, tmp_path), table=given, precision="w8a8")).level == level
