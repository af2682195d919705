"""Segments: the same numbers as of the whole, in order, each with what it needs and no more."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from numpy.typing import NDArray

from mosaic_deploy.graph.execute import Session, expose
from mosaic_deploy.graph.segments import segments

BRANCHED = onnx.shape_inference.infer_shapes(
    onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 18]>
        net (float[1, 2, 10, 10] image) => (float[1, 4, 10, 10] y)
          <float[1, 2, 1, 1] w = {2, 3}, int64[1] axes = {1}> {
          a = Relu(image)
          b = Mul(a, w)
          s = Shape(a)
          c = Neg(b)
          d = Add(c, image)
          least, most = TopK<axis = 1, largest = 0>(d, axes)
          e = Reshape(d, s)
          f = Mul(e, w)
          y = Concat<axis = 1>(f, a)
        }
    """)
)
CAPTURES = onnx.shape_inference.infer_shapes(
    onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 18]>
        net (float[1, 2, 10, 10] image) => (float[1, 2, 10, 10] y) {
          a = Relu(image)
          b = Neg(image)
          yes = Constant<value = bool {1}>()
          y = If(yes)<
            then_branch = g1 () => (float[1, 2, 10, 10] t) { t = Add(a, b) },
            else_branch = g2 () => (float[1, 2, 10, 10] u) { u = Sub(a, b) }
          >
        }
    """)
)
IMAGE = np.random.default_rng(0).normal(size=(1, 2, 10, 10)).astype(np.float32)


def run(model: onnx.ModelProto, most_bytes: int) -> tuple[dict[str, NDArray[Any]], list[int]]:
    """All that the segments make, and how many tensors were held between them."""
    held: dict[str, NDArray[Any]] = {"image": IMAGE}
    found: dict[str, NDArray[Any]] = {}
    between = []
    for part in segments(model, most_bytes):
        session = Session(part.model)
        made = session.run({port.name: held[port.name] for port in session.inputs})
        named = {port.name: values for port, values in zip(session.outputs, made, strict=True)}
        found |= named
        held = {name: values for name, values in (held | named).items() if name not in part.last_use}
        between.append(len(held))
    return found, between


@pytest.mark.parametrize("model", [BRANCHED, CAPTURES], ids=["branched", "captured by a body"])
@pytest.mark.parametrize("most_bytes", [1, 1700, 1 << 20], ids=str)
def test_the_same_as_the_whole(model: onnx.ModelProto, most_bytes: int) -> None:
    found, between = run(model, most_bytes)
    whole = Session(expose(model))
    names = [port.name for port in whole.outputs]
    expected = dict(zip(names, whole.run({"image": IMAGE}), strict=True))
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)
    assert between[-1] == 0


def test_as_many_as_are_needed() -> None:
    assert len(list(segments(BRANCHED, 1 << 20))) == 1
    assert len(list(segments(BRANCHED, 1))) == len(BRANCHED.graph.node)
    assert 1 < len(list(segments(BRANCHED, 1700))) < len(BRANCHED.graph.node)


def test_no_cut_where_a_type_is_unknown() -> None:
    bare = onnx.ModelProto()
    bare.CopyFrom(BRANCHED)
    del bare.graph.value_info[:]
    assert len(list(segments(bare, 1))) == 1
