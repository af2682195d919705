"""The same network with another end, run on ONNX Runtime before and after."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from mosaic_deploy.errors import ModelError
from mosaic_deploy.graph.output_kind import with_output
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.specs.fields import OutputKind

HEIGHT, WIDTH = 32, 48
KINDS: tuple[OutputKind, ...] = ("lowres", "logits", "classmap")


def contract(kind: OutputKind, layout: str = "NCHW") -> Contract:
    return Contract.model_validate(
        {
            "height": HEIGHT,
            "width": WIDTH,
            "layout": layout,
            "output": kind,
            "classes": ("sky", "road", "car"),
            "palette": ((1, 2, 3), (4, 5, 6), (7, 8, 9)),
        }
    )


def network() -> onnx.ModelProto:
    """(1, 3, 32, 48) -> scores of three classes at half the size."""
    model = onnx.parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 18]>
        net (float[1, 3, {HEIGHT}, {WIDTH}] image) => (float[1, 3, {HEIGHT // 2}, {WIDTH // 2}] scores) {{
          scores = AveragePool<kernel_shape = [2, 2], strides = [2, 2]>(image)
        }}
    """)
    return onnx.shape_inference.infer_shapes(model)


def run(model: onnx.ModelProto, image: NDArray[Any]) -> NDArray[Any]:
    onnx.checker.check_model(model, full_check=True)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    result: NDArray[Any] = session.run(None, {session.get_inputs()[0].name: image})[0]
    return result


def image() -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(1, 3, HEIGHT, WIDTH)).astype(np.float32)


def enlarged(scores: NDArray[Any]) -> NDArray[np.float64]:
    """Twice as high and wide, bilinearly with half-pixel centres: (n, c, h, w) -> (n, c, 2h, 2w)."""
    for axis in (2, 3):
        side = scores.shape[axis]
        place = np.clip((np.arange(2 * side) + 0.5) / 2 - 0.5, 0, side - 1)
        low = np.floor(place).astype(int)
        share = (place - low).reshape([-1 if a == axis else 1 for a in range(4)])
        near, far = (np.take(scores, index, axis) for index in (low, np.minimum(low + 1, side - 1)))
        scores = near * (1 - share) + far * share
    return scores


@pytest.mark.parametrize("have", KINDS)
@pytest.mark.parametrize("want", KINDS)
def test_every_kind_from_every_other(have: OutputKind, want: OutputKind) -> None:
    start = network()
    lowres = run(start, image())
    logits = enlarged(lowres)
    model = with_output(start, contract("lowres"), want=have)
    found = run(with_output(model, contract(have), want=want), image())
    if want == "classmap":
        np.testing.assert_array_equal(found, logits.argmax(axis=1))
        assert found.dtype == np.int32
    else:
        np.testing.assert_allclose(found, lowres if want == "lowres" else logits, rtol=0, atol=1e-6)
        assert found.dtype == np.float32


def test_what_is_left_off_leaves_no_node_behind() -> None:
    longest = with_output(network(), contract("lowres"), want="classmap")
    shortest = with_output(longest, contract("classmap"), want="lowres")
    assert [node.op_type for node in longest.graph.node] == ["AveragePool", "Resize", "ArgMax", "Cast"]
    assert [node.op_type for node in shortest.graph.node] == ["AveragePool"]
    assert not shortest.graph.initializer


def test_the_given_model_stays_as_it_was() -> None:
    model = network()
    before = model.SerializeToString()
    with_output(model, contract("lowres"), want="classmap")
    assert model.SerializeToString() == before


def test_scores_with_the_classes_last() -> None:
    model = onnx.parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 18]>
        net (float[1, {HEIGHT}, {WIDTH}, 3] image) => (float[1, {HEIGHT}, {WIDTH}, 3] logits) {{
          logits = Relu(image)
        }}
    """)
    values = np.moveaxis(image(), 1, -1)
    found = run(with_output(model, contract("logits", "NHWC"), want="classmap"), values)
    np.testing.assert_array_equal(found, np.maximum(values, 0).argmax(axis=-1))


@pytest.mark.parametrize(
    ("have", "want", "says"),
    [
        ("logits", "lowres", "does not end in a Resize"),
        ("classmap", "logits", "does not end in an ArgMax"),
    ],
    ids=["no-resize", "no-argmax"],
)
def test_a_graph_without_the_ending_is_refused(have: OutputKind, want: OutputKind, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        with_output(network(), contract(have), want=want)


def test_an_opset_without_half_pixels_is_refused() -> None:
    old = network()
    old.opset_import[0].version = 10
    with pytest.raises(ModelError, match="opset 10"):
        with_output(old, contract("lowres"), want="logits")
