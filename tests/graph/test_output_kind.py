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
from mosaic_deploy.graph.output_kind import contract_with, with_output
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


def ending(mode: str, way: str, extra: str = "", low: tuple[int, int] = (4, 6)) -> onnx.ModelProto:
    """(1, 3, 32, 48) -> scores at ``low`` size, resized to the input's."""
    model = onnx.parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 18]>
        net (float[1, 3, {HEIGHT}, {WIDTH}] image) => (float[1, 3, {HEIGHT}, {WIDTH}] logits)
        <int64[4] small = {{1, 3, {low[0]}, {low[1]}}}, int64[4] size = {{1, 3, {HEIGHT}, {WIDTH}}}> {{
          low = Resize<mode = "cubic">(image, , , small)
          logits = Resize<mode = "{mode}", coordinate_transformation_mode = "{way}"{extra}>(low, , , size)
        }}
    """)
    return onnx.shape_inference.infer_shapes(model)


@pytest.mark.parametrize("low", [(4, 6), (7, 11)], ids=["whole", "odd"])
@pytest.mark.parametrize(
    "way", ["half_pixel", "pytorch_half_pixel", "half_pixel_symmetric", "align_corners", "asymmetric"]
)
def test_the_contract_resizes_as_the_network_did(way: str, low: tuple[int, int]) -> None:
    """Otherwise 8 to 20 % of the pixels of a network with aligned corners change their class."""
    start, card = ending("linear", way, low=low), contract("logits")
    told = contract_with(start, card, want="lowres")
    small = run(with_output(start, card, want="lowres"), image())
    assert small.shape == (1, 3, *low)
    full = run(start, image())
    found = told.class_map(small, (HEIGHT, WIDTH))
    clear = np.diff(np.sort(full[0], axis=0)[-2:], axis=0)[0] > 1e-4
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(found[clear], full[0].argmax(axis=0)[clear])
    if way in ("align_corners", "asymmetric"):
        assert told.sampling == way
        wrong = told.model_copy(update={"sampling": "half_pixel"}).class_map(small, (HEIGHT, WIDTH))
        assert (wrong != full[0].argmax(axis=0)).mean() > 0.03
    again = run(with_output(with_output(start, card, want="lowres"), told, want="logits"), image())
    np.testing.assert_allclose(again, full, rtol=0, atol=1e-5)


def test_aligned_corners_are_found_behind_a_class_map() -> None:
    start = with_output(ending("linear", "align_corners"), contract("logits"), want="classmap")
    told = contract_with(start, contract("classmap"), want="lowres")
    assert (told.output, told.sampling) == ("lowres", "align_corners")
    small = run(with_output(start, contract("classmap"), want="lowres"), image())
    same = told.class_map(small, (HEIGHT, WIDTH)) == run(start, image())[0]
    assert same.mean() > 0.999


@pytest.mark.parametrize(
    ("mode", "way", "extra", "says"),
    [
        pytest.param("cubic", "half_pixel", "", "it is cubic", id="cubic"),
        pytest.param("nearest", "asymmetric", "", "it is nearest", id="nearest"),
        pytest.param("linear", "half_pixel", ", antialias = 1", "antialiased", id="antialias"),
    ],
)
def test_a_resize_that_no_contract_can_state_stays(mode: str, way: str, extra: str, says: str) -> None:
    model = ending(mode, way, extra)
    with pytest.raises(ModelError, match=f"lowres is not possible.*stays, since.*{says}"):
        with_output(model, contract("logits"), want="lowres")
    with pytest.raises(ModelError, match=says):
        contract_with(model, contract("logits"), want="lowres")


def test_scales_that_give_no_whole_side_stay() -> None:
    """What ONNX then samples by is the scale, not the ratio of the sides."""
    model = onnx.parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 18]>
        net (float[1, 3, {HEIGHT}, {WIDTH}] image) => (float[1, 3, 33, {WIDTH}] logits)
        <float[4] scales = {{1.0, 1.0, 2.1, 2.0}}, int64[4] small = {{1, 3, 16, 24}}> {{
          low = Resize<mode = "linear">(image, , , small)
          logits = Resize<mode = "linear">(low, , scales)
        }}
    """)
    model = onnx.shape_inference.infer_shapes(model)
    with pytest.raises(ModelError, match=r"16 by 2\.1 is no whole side"):
        with_output(model, contract("logits"), want="lowres")


@pytest.mark.parametrize("want", ["lowres", "logits"])
@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (2 * HEIGHT, 2 * WIDTH), (45, 71)])
def test_a_small_class_map_and_its_scores_are_the_same_map(want: OutputKind, size: tuple[int, int]) -> None:
    """Ids are enlarged to the nearest, so their scores are compared first; only a whole factor keeps that."""
    low = network()
    own = contract("classmap")
    small = with_output(
        low,
        own.model_copy(update={"output": "logits", "height": HEIGHT // 2, "width": WIDTH // 2}),
        want="classmap",
    )
    made, said = with_output(small, own, want=want), contract_with(small, own, want=want)
    ids = own.class_map(run(small, image()), size)
    found = said.class_map(run(made, image()), size)
    if want == "lowres":
        assert said.sampling == "nearest"
        assert (found == ids).all()
    else:
        assert (
            said.class_map(run(made, image()), (HEIGHT, WIDTH))
            == own.class_map(run(small, image()), (HEIGHT, WIDTH))
        ).all()
