"""Nodes in the bodies of If and Loop are described, and judged like any other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import onnx.parser
import pytest

from mosaic_deploy.gate.op_support.judge import check
from mosaic_deploy.gate.op_support.load import load_table
from mosaic_deploy.graph.facts import nodes, nodes_with_bodies
from mosaic_deploy.graph.reader.read import read_model

HEAD = '<ir_version: 8, opset_import: ["" : 18]> g (float[1,3,8,8] image) => (float[1,3,8,8] y) '
IF = """{
    c = Constant <value = bool {1}> ()
    r = Relu(image)
    y = If (c) <
        then_branch = yes () => (float[1,3,8,8] t) { [inner] t = OP(r) },
        else_branch = no () => (float[1,3,8,8] e) { e = Identity(r) }>
}"""
NESTED = """{
    c = Constant <value = bool {1}> ()
    [outer] y = If (c) <
        then_branch = yes () => (float[1,3,8,8] t) {
            [deep] t = If (c) <
                then_branch = a () => (float[1,3,8,8] u) { [leaf] u = Relu(image) },
                else_branch = b () => (float[1,3,8,8] v) { v = Identity(image) }> },
        else_branch = no () => (float[1,3,8,8] e) { e = Identity(image) }>
}"""


ReadText = Callable[[str], onnx.ModelProto]


@pytest.fixture
def read(tmp_path: Path) -> ReadText:
    def read_text(text: str) -> onnx.ModelProto:
        onnx.save(onnx.parser.parse_model(HEAD + text), tmp_path / "m.onnx")
        return read_model(tmp_path / "m.onnx")

    return read_text


def test_bodies_follow_their_node(read: ReadText) -> None:
    model = read(NESTED)
    names = [node.name for node in nodes_with_bodies(model)]
    assert names[1:4] == ["outer", "outer/then_branch/deep", "outer/then_branch/deep/then_branch/leaf"]
    assert len(names) == 6
    assert len(nodes(model)) == 2


def test_a_body_knows_the_tensors_around_it(read: ReadText) -> None:
    (inner,) = (n for n in nodes_with_bodies(read(IF.replace("OP", "Abs"))) if n.name.endswith("inner"))
    assert inner.data is not None
    assert (inner.data.name, inner.data.shape, inner.data.dtype) == ("r", (1, 3, 8, 8), "float32")


@pytest.mark.parametrize(
    ("op", "refused"), [pytest.param("Erf", True, id="refused"), pytest.param("Abs", False, id="taken")]
)
def test_a_body_is_judged_as_the_main_graph_is(read: ReadText, op: str, refused: bool) -> None:
    report = check(read(IF.replace("OP", op)), table=load_table("qnn-htp"), precision="w8a8")
    found = {v.node.split("/", 1)[-1]: v.level for v in report.violations}
    assert found.get("then_branch/inner") == ("unsupported" if refused else None)
