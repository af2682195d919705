"""Parts of models as models of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx.reference import ReferenceEvaluator

from mosaic_deploy.errors import ModelError
from mosaic_deploy.graph.reader.read import read_model
from mosaic_deploy.graph.subgraph import around, cut

BRANCHES = """g (float[1,3,8,8] image) => (float[] y, float[] z) <float[3] w = {1, 2, 3}> {
    shape = Constant <value_ints = [1, 3, 64]> ()
    a = Relu (image)
    b = Reshape (a, shape)
    c = Neg (b)
    d = Transpose <perm = [0, 2, 1]> (c)
    e = Mul (d, w)
    y = Abs (e)
    z = Exp (c) }"""


def read(text: str, folder: Path) -> onnx.ModelProto:
    path = folder / "model.onnx"
    header = '<ir_version: 8, opset_import: ["" : 18]>\n'
    path.write_bytes(onnx.parser.parse_model(header + text).SerializeToString())
    return read_model(path)


def places(model: onnx.ModelProto, *outputs: str) -> set[int]:
    return {i for i, node in enumerate(model.graph.node) if set(node.output) & set(outputs)}


def test_a_part_computes_what_it_does_in_the_model(tmp_path: Path) -> None:
    model = read(BRANCHES, tmp_path)
    part = cut(model, places(model, "b", "c", "d", "e"))
    onnx.checker.check_model(part, full_check=True)
    assert [value.name for value in part.graph.input] == ["a"]
    assert [value.name for value in part.graph.output] == ["c", "e"]  # both are read elsewhere
    assert [node.op_type for node in part.graph.node] == ["Constant", "Reshape", "Neg", "Transpose", "Mul"]
    image = np.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype(np.float32)
    whole = dict(zip(("y", "z"), ReferenceEvaluator(model).run(None, {"image": image}), strict=True))
    c, e = ReferenceEvaluator(part).run(None, {"a": np.maximum(image, 0)})
    np.testing.assert_array_equal(np.abs(e), whole["y"])
    np.testing.assert_array_equal(np.exp(c), whole["z"])


def test_an_end_of_the_model_stays_one(tmp_path: Path) -> None:
    model = read(BRANCHES, tmp_path)
    part = cut(model, places(model, "y"))
    assert [value.name for value in part.graph.output] == ["y"]
    assert not part.graph.initializer


def test_what_a_body_reads_from_outside_becomes_an_input(tmp_path: Path) -> None:
    text = """g (float[1,3,8,8] image) => (float[1,3,8,8] y) {
        a = Relu (image)
        on = Constant <value = bool {1}> ()
        y = If (on) <then_branch = t () => (float[1,3,8,8] u) { u = Neg (a) },
                     else_branch = f () => (float[1,3,8,8] v) { v = Abs (a) }> }"""
    model = read(text, tmp_path)
    part = cut(model, places(model, "y"))
    assert [value.name for value in part.graph.input] == ["a"]


def test_a_cut_where_no_shape_is_known_is_an_error(tmp_path: Path) -> None:
    text = (
        "g (float[1,3,8,8] image) => (float[] y) { a = NonZero (image) b = Cast <to = 1> (a) y = Relu (b) }"
    )
    model = read(text, tmp_path)
    del model.graph.value_info[:]
    with pytest.raises(ModelError, match="'b' has no known shape"):
        cut(model, places(model, "y"))


def test_the_neighbourhood_grows_by_edges_up_to_its_limit(tmp_path: Path) -> None:
    model = read(BRANCHES, tmp_path)
    (at,) = places(model, "c")
    names = {model.graph.node[i].output[0] for i in around(model, at, hops=1, most=48)}
    assert names == {"b", "c", "d", "z"}
    assert len(around(model, at, hops=9, most=3)) == 3
    assert around(model, at, hops=9, most=48) == set(range(len(model.graph.node)))
