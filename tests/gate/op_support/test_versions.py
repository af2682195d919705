"""What a rule knows of one version holds for those that mean the same, and for no others."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.gate.op_support.rules import judge
from mosaic_deploy.gate.op_support.tables import OpRule
from mosaic_deploy.graph.facts import Node, nodes


def node(opset: int, body: str, *, shape: str = "1,4,8,8", constants: str = "") -> Node:
    held = f"<{constants}>" if constants else ""
    text = f'<ir_version: 8, opset_import: ["" : {opset}]> g (float[{shape}] x) => (y) {held} {{ {body} }}'
    model = onnx.shape_inference.infer_shapes(onnx.parser.parse_model(text), data_prop=True)
    return nodes(model)[-1]


def rule(op: str, *versions: int, **fields: object) -> OpRule:
    known = {"dtypes": ["float32"], "ranks": [1, 2, 3, 4], "verdict": "runs", "evidence": {"cases": 1}}
    return OpRule.model_validate({"id": "known", "op": op, "versions": versions, **known, **fields})


def clears(known: OpRule, found: Node) -> bool:
    return judge(found, [known], integers="", devices=("any",)).decided


WEIGHTS = "float[4,1,1,1] w = {1,1,1,1}"
TARGET = "int64[2] t = {4, 64}"


@pytest.mark.parametrize(
    ("known", "found"),
    [
        pytest.param(rule("Relu", 6), node(14, "y = Relu(x)"), id="more-types"),
        pytest.param(rule("Relu", 14), node(11, "y = Relu(x)"), id="fewer-types"),
        pytest.param(
            rule("Reshape", 5), node(14, "y = Reshape(x, t)", constants=TARGET), id="an-attribute-by-default"
        ),
        pytest.param(
            rule("Reshape", 14), node(13, "y = Reshape(x, t)", constants=TARGET), id="an-attribute-less"
        ),
        pytest.param(rule("Cast", 9, attributes={"to": [10]}), node(19, "y = Cast <to = 10> (x)"), id="cast"),
        pytest.param(
            rule("ConvTranspose", 1, attributes={"kernel_shape": "any"}),
            node(11, "y = ConvTranspose <kernel_shape = [1, 1]> (x, w)", constants=WEIGHTS),
            id="changed-for-others-only",
        ),
    ],
)  # fmt: skip
def test_versions_that_mean_the_same_count_as_the_same(known: OpRule, found: Node) -> None:
    assert found.version not in known.versions
    assert clears(known, found)


@pytest.mark.parametrize(
    ("known", "found"),
    [
        pytest.param(rule("Softmax", 11), node(13, "y = Softmax(x)"), id="another-default"),
        pytest.param(rule("Clip", 11), node(6, "y = Clip <min = 0.0> (x)"), id="what-became-an-input"),
        pytest.param(
            rule("Resize", 10, attributes={"mode": "any"}),
            node(13, "y = Resize(x, , s)", constants="float[4] s = {1,1,2,2}"),
            id="other-inputs",
        ),
        pytest.param(
            rule("ConvTranspose", 1, attributes={"kernel_shape": "any", "auto_pad": "any"}),
            node(
                11, 'y = ConvTranspose <kernel_shape = [1, 1], auto_pad = "SAME_UPPER"> (x, w)',
                constants=WEIGHTS,
            ),
            id="a-padding-that-is-computed-otherwise",
        ),
        pytest.param(rule("PRelu", 7), node(9, "y = PRelu(x, x)"), id="broadcasting"),
        pytest.param(
            rule("ArgMax", 12, attributes={"select_last_index": [1], "axis": "any"}),
            node(11, "y = ArgMax <axis = 1> (x)"),
            id="known-of-another-value-alone",
        ),
    ],
)  # fmt: skip
def test_versions_that_mean_something_else_do_not(known: OpRule, found: Node) -> None:
    assert not clears(known, found)


def test_a_refusal_holds_for_the_versions_that_it_names() -> None:
    no = rule("Relu", 6, verdict="wrong", fix="no")
    assert clears(no, node(11, "y = Relu(x)"))
    assert not clears(no, node(14, "y = Relu(x)"))


def test_a_version_that_is_refused_somewhere_is_not_the_same() -> None:
    known, no = rule("Relu", 6), rule("Relu", 14, ranks=[5], verdict="wrong", fix="no")
    found = node(14, "y = Relu(x)")
    assert judge(found, [known], integers="", devices=("any",)).decided
    assert not judge(
        found, [known, no.model_copy(update={"id": "no"})], integers="", devices=("any",)
    ).decided


@pytest.mark.parametrize(
    ("axis", "allowed", "cleared"),
    [
        pytest.param(3, (-1,), True, id="the-last"),
        pytest.param(-3, (1,), True, id="from-the-end"),
        pytest.param(-2, (1, -1), False, id="another-axis"),
    ],
)
def test_an_axis_counts_from_either_end(axis: int, allowed: tuple[int, ...], cleared: bool) -> None:
    known = rule("Softmax", 13, attributes={"axis": list(allowed)})
    assert clears(known, node(13, f"y = Softmax <axis = {axis}> (x)")) is cleared


def test_an_axis_of_the_output_does_not_count_from_the_inputs_end() -> None:
    known = rule("Unsqueeze", 11, attributes={"axes": [3]})
    assert clears(known, node(11, "y = Unsqueeze <axes = [3]> (x)", shape="2,3,4"))
    assert not clears(known, node(11, "y = Unsqueeze <axes = [0]> (x)", shape="2,3,4"))


@pytest.mark.parametrize(
    ("opset", "body", "name", "constants"),
    [
        pytest.param(
            15, "y = BatchNormalization <momentum = 0.1> (x, c, c, c, c)", "momentum",
            "float[4] c = {1,1,1,1}", id="momentum",
        ),
        pytest.param(14, "y = Reshape <allowzero = 1> (x, t)", "allowzero", TARGET, id="allowzero"),
        pytest.param(13, "y = Gemm <beta = 0.5> (m, m)", "beta", "float[2,2] m = {1,2,3,4}", id="beta"),
        pytest.param(12, "y = Dropout <seed = 3> (x)", "seed", "", id="seed"),
        pytest.param(10, "y = Dropout <ratio = 0.1> (x)", "ratio", "", id="ratio"),
        pytest.param(19, "y = Cast <to = 10, saturate = 0> (x)", "saturate", "", id="saturate"),
        pytest.param(
            18, "y = ReduceSum <noop_with_empty_axes = 1> (x, a)", "noop_with_empty_axes", "int64[1] a = {1}",
            id="noop",
        ),
    ],
)  # fmt: skip
def test_what_changes_nothing_means_nothing(opset: int, body: str, name: str, constants: str) -> None:
    found = node(opset, body, constants=constants)
    assert found.attributes.get(name) == found.defaults.get(name)


@pytest.mark.parametrize(
    ("opset", "body", "name", "constants"),
    [
        pytest.param(
            15, "y, m, v = BatchNormalization <momentum = 0.1, training_mode = 1> (x, c, c, c, c)",
            "momentum", "float[4] c = {1,1,1,1}", id="in-training",
        ),
        pytest.param(13, "y = Gemm <beta = 0.5> (m, m, m)", "beta", "float[2,2] m = {1,2,3,4}", id="beta"),
        pytest.param(
            18, "y = ReduceSum <noop_with_empty_axes = 1> (x)", "noop_with_empty_axes", "", id="noop"
        ),
        pytest.param(19, "y = Cast <to = 17, saturate = 0> (x)", "saturate", "", id="eight-bit-floats"),
    ],
)  # fmt: skip
def test_what_changes_something_is_kept(opset: int, body: str, name: str, constants: str) -> None:
    found = node(opset, body, constants=constants)
    assert found.attributes[name] != found.defaults.get(name)
