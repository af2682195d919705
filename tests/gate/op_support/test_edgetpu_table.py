"""The Edge TPU's op table, made of documentation: it agrees with what ``build --target edgetpu`` takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from mosaic_deploy.backends.litert.edgetpu.operators import read_table
from mosaic_deploy.gate.op_support.judge import CheckReport, check
from mosaic_deploy.gate.op_support.load import load_table
from mosaic_deploy.gate.op_support.tables import OpTable
from mosaic_deploy.graph.reader.read import read_model
from mosaic_deploy.probing.sketch import versions_of
from mosaic_deploy.specs.root import spec_root
from tests.backends.qnn.test_backend import network
from tests.gate.op_support.constraints.judging import breach, holds, node

IMAGE = "g (float[1,8,16,16] x) => (float[] y) "
ROWS = "g (float[1,12,16] x) => (float[] y) "
ROW = "g (float[1,24] x) => (float[] y) "
WEIGHTS = "float[8,8,3,3] w, float[8] b"

BECOMES = {
    "ADD": IMAGE + "{ y = Add(x, x) }",
    "AVERAGE_POOL_2D": IMAGE + "{ y = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (x) }",
    "CONCATENATION": IMAGE + "{ y = Concat <axis = 1> (x, x) }",
    "CONV_2D": IMAGE + f"<{WEIGHTS}> {{ y = Conv <pads = [1, 1, 1, 1]> (x, w, b) }}",
    "DEPTHWISE_CONV_2D": IMAGE + "<float[8,1,3,3] w> { y = Conv <group = 8, pads = [1, 1, 1, 1]> (x, w) }",
    "FULLY_CONNECTED": ROW + "<float[10,24] w, float[10] b> { y = Gemm <transB = 1> (x, w, b) }",
    "LOGISTIC": IMAGE + "{ y = Sigmoid(x) }",
    "MAXIMUM": IMAGE + "<float[1,8,1,1] w> { y = Max(x, w) }",
    "MAX_POOL_2D": IMAGE + "{ y = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (x) }",
    "MEAN": IMAGE + "{ y = GlobalAveragePool(x) }",
    "MUL": IMAGE + "{ y = Mul(x, x) }",
    "PAD": IMAGE + "<int64[8] pads = {0, 0, 1, 1, 0, 0, 1, 1}> { y = Pad(x, pads) }",
    "QUANTIZE": IMAGE + "{ y = Concat <axis = 1> (x, x) }",
    "REDUCE_MIN": ROWS + "<int64[1] axes = {2}> { y = ReduceMin(x, axes) }",
    "RELU": IMAGE + "{ y = Relu(x) }",
    "RELU6": IMAGE + "<float low = {0.0}, float high = {6.0}> { y = Clip(x, low, high) }",
    "RESHAPE": ROW + "<int64[3] sides = {1, 4, 6}> { y = Reshape(x, sides) }",
    "RESIZE_BILINEAR": IMAGE + '<float[4] scales = {1.0, 1.0, 2.0, 2.0}> '
    '{ y = Resize <mode = "linear"> (x, , scales) }',
    "RESIZE_NEAREST_NEIGHBOR": IMAGE + '<float[4] scales = {1.0, 1.0, 2.0, 2.0}> { y = Resize '
    '<coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"> (x, , scales) }',
    "SLICE": IMAGE + "<int64[1] from = {2}, int64[1] to = {6}, int64[1] axes = {1}> "
    "{ y = Slice(x, from, to, axes) }",
    "SOFTMAX": ROW + "{ y = Softmax(x) }",
    "SPACE_TO_DEPTH": IMAGE + "{ y = SpaceToDepth <blocksize = 2> (x) }",
    "SPLIT": IMAGE.replace("y)", "y, float[] z)") + "{ y, z = Split <axis = 1, num_outputs = 2> (x) }",
    "SUB": IMAGE + "{ y = Sub(x, x) }",
    "SUM": ROWS + "<int64[1] axes = {2}> { y = ReduceSum(x, axes) }",
    "TANH": IMAGE + "{ y = Tanh(x) }",
    "TRANSPOSE_CONV": IMAGE
    + f"<{WEIGHTS}> {{ y = ConvTranspose <strides = [2, 2], pads = [1, 1, 1, 1]> (x, w, b) }}",
}  # fmt: skip
"""TFLite's operator -> a graph of the ONNX operator that converts to it."""

UNREACHED = {
    "EXPAND_DIMS": "onnx2tf writes RESHAPE",
    "L2_NORMALIZATION": "ai-edge-quantizer has no integers for it",
    "MINIMUM": "ai-edge-quantizer has no integers for it",
    "PACK": "onnx2tf writes CONCATENATION",
    "PRELU": "ai-edge-quantizer has no integers for it",
    "REDUCE_MAX": "ai-edge-quantizer has no integers for it",
    "RELU_N1_TO_1": "ai-edge-quantizer has no integers for it",
    "SQUEEZE": "onnx2tf writes RESHAPE",
    "STRIDED_SLICE": "onnx2tf writes SLICE for a Slice of unit steps, and STRIDED_SLICE only inside others",
}
"""What Coral's compiler maps and a build does not come to."""


@pytest.fixture(scope="module")
def table() -> OpTable:
    return load_table("edgetpu")


def graph(text: str) -> onnx.ModelProto:
    """A graph of ONNX text, its constants without values random."""
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 18]> {text}')
    given = {tensor.name for tensor in model.graph.initializer}
    rng = np.random.default_rng(1)
    for value in [v for v in model.graph.value_info if v.name in {"w", "b"} and v.name not in given]:
        sides = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        model.graph.initializer.append(
            numpy_helper.from_array(rng.normal(size=sides).astype(np.float32), value.name)
        )
        model.graph.value_info.remove(value)
    return onnx.shape_inference.infer_shapes(model, data_prop=True)


def judged(model: onnx.ModelProto, table: OpTable) -> CheckReport:
    return check(model, table=table, precision="w8a8")


def test_every_operator_of_corals_list_is_spoken_of() -> None:
    listed = read_table(spec_root() / "targets" / "compilers" / "coral.toml").ops
    assert {*BECOMES} & {*UNREACHED} == set()
    assert {*BECOMES, *UNREACHED} == set(listed)


@pytest.mark.parametrize("kind", BECOMES)
def test_what_becomes_an_operator_of_corals_list_is_cleared(kind: str, table: OpTable) -> None:
    report = judged(graph(BECOMES[kind]), table)
    assert [str(violation) for violation in report.violations] == []


@pytest.mark.parametrize(
    "node",
    ["ArgMax <axis = 1> (x)", "HardSwish(x)", "MatMul(x, x)", "Transpose <perm = [1, 0, 2, 3]> (x)",
     "Erf(x)", "LeakyRelu(x)", "Div(x, x)", "DepthToSpace <blocksize = 2> (x)"],
)  # fmt: skip
def test_what_coral_does_not_list_fails_the_gate(node: str, table: OpTable) -> None:
    text = (IMAGE + f"{{ y = {node} }}").replace(
        "float[] y", "int64[] y" if "ArgMax" in node else "float[] y"
    )
    report = judged(graph(text), table)
    assert [violation.level for violation in report.violations] == ["unsupported"]
    assert not report.passed


def test_nobody_knows_of_a_change_of_layout(table: OpTable) -> None:
    """Within a network onnx2tf may do away with it; what it leaves, the build refuses."""
    report = judged(graph(IMAGE + "{ y = Transpose <perm = [0, 2, 3, 1]> (x) }"), table)
    assert [violation.level for violation in report.violations] == ["unknown"]


def test_floats_stay_on_the_cpu(table: OpTable) -> None:
    report = check(graph(BECOMES["RELU"]), table=table, precision="float")
    assert [violation.rule for violation in report.violations] == ["integers-of-eight-bits"]


def test_it_agrees_with_the_build_on_small_networks(table: OpTable, tmp_path: Path) -> None:
    for head, refused in (("lowres", []), ("classmap", ["ArgMax", "Cast"])):
        path = tmp_path / f"{head}.onnx"
        onnx.save(network(head), path)
        report = judged(read_model(path), table)
        assert [violation.op for violation in report.violations] == refused


@pytest.mark.slow
def test_mosaic_is_cleared(table: OpTable, mosaic: Path) -> None:
    report = judged(read_model(mosaic), table)
    assert [str(violation) for violation in report.violations] == []
    assert report.nodes > 100


def test_it_is_documentation(table: OpTable) -> None:
    assert len(table.ops) >= 110
    for rule in table.rules:
        assert rule.evidence.cases == 0, rule.id
        assert rule.evidence.source, rule.id
        assert not rule.accepts or rule.quantized_dtypes == ("int8",), rule.id
        assert all(version in versions_of(rule.op) for version in rule.versions if rule.op != "*"), rule.id


@pytest.mark.parametrize(
    ("constants", "inputs", "found"),
    [
        pytest.param("float low = {0.0}, float high = {6.0}", "low, high", "", id="relu6"),
        pytest.param("float low = {0.0}", "low", "", id="relu"),
        pytest.param("float low = {0.0}, float high = {1.0}", "low, high", "bounds 0.0 and 1.0", id="unit"),
        pytest.param("float high = {6.0}", ", high", "bounds None and 6.0", id="above"),
    ],
)
def test_bounds_are_those_of_relu(constants: str, inputs: str, found: str) -> None:
    clip = node(f"g (float[1,2,3,3] x) => (float[] y) <{constants}> {{ y = Clip(x, {inputs}) }}", op="Clip")
    if found:
        assert breach("bounds_are_those_of_relu", clip) == found
    else:
        assert holds("bounds_are_those_of_relu", clip)


def test_bounds_may_be_attributes() -> None:
    text = "g (float[1,2,3,3] x) => (float[1,2,3,3] y) { y = Clip <min = 0.0, max = 6.0> (x) }"
    assert holds("bounds_are_those_of_relu", node(text, op="Clip", opset=10))
    text = "g (float[1,2,3,3] x) => (float[1,2,3,3] y) { y = Clip <max = 6.0> (x) }"
    assert breach("bounds_are_those_of_relu", node(text, op="Clip", opset=10)).startswith("bounds None")
