"""Each constraint holds where it should and breaks where it should; one test of the same name each."""

from __future__ import annotations

from collections.abc import Callable

import onnx
import onnx.parser
import pytest

from mosaic_deploy.constraints import CONSTRAINTS
from mosaic_deploy.nodes import Node, nodes


def node(text: str, *, op: str, opset: int = 18) -> Node:
    """The last node of one operator in a graph of ONNX text, with inferred shapes."""
    header = f'<ir_version: 8, opset_import: ["" : {opset}, "com.microsoft" : 1]>\n'
    model = onnx.shape_inference.infer_shapes(onnx.parser.parse_model(header + text), data_prop=True)
    return [found for found in nodes(model) if found.op == op][-1]


def holds(name: str, found: Node) -> bool:
    return CONSTRAINTS[name].breach(found) is None


def breach(name: str, found: Node) -> str:
    broken = CONSTRAINTS[name].breach(found)
    assert broken is not None
    assert broken.certain
    return broken.found


def pool(kernel: int, side: int, *, stride: int, ceil: int, pads: int = 0) -> Node:
    return node(
        f"""g (float[1,2,{side},{side}] x) => (float[] y) {{
            y = AveragePool <kernel_shape = [{kernel}, {kernel}], strides = [{stride}, {stride}],
                pads = [{pads}, {pads}, {pads}, {pads}], ceil_mode = {ceil}> (x) }}""",
        op="AveragePool",
    )


def quantised_pool(kernel: int, *, side: int, scale: float) -> Node:
    return node(
        f"""g (uint8[1,2,{side},{side}] x) => (uint8[1,2,h,w] y)
        <float s = {{0.5}}, uint8 z = {{128}}, float t = {{{scale}}}> {{
            a = DequantizeLinear(x, s, z)
            b = AveragePool <kernel_shape = [{kernel}, {kernel}], strides = [{kernel}, {kernel}]> (a)
            y = QuantizeLinear(b, t, z) }}""",
        op="AveragePool",
    )


def resize(size: str) -> Node:
    return node(
        f"""g (float[1,2,8,8] x) => (float[] y) <int64[4] size = {{{size}}}>
        {{ y = Resize <mode = "nearest"> (x, , , size) }}""",
        op="Resize",
    )


def pad(pads: str) -> Node:
    rank = (pads.count(",") + 1) // 2
    dims = ",".join(["4"] * rank)
    return node(
        f"g (float[{dims}] x) => (float[] y) <int64[{2 * rank}] p = {{{pads}}}> {{ y = Pad(x, p) }}", op="Pad"
    )


def test_every_constraint_has_a_test_and_a_sentence() -> None:
    for name, constraint in CONSTRAINTS.items():
        assert f"test_{name}" in globals()
        assert constraint.name == name
        assert constraint.sentence.endswith(".")
        assert constraint.sentence[0].isupper()


def test_shapes_are_static() -> None:
    assert holds("shapes_are_static", pool(2, 8, stride=2, ceil=0))
    found = node("g (float[2,3] x) => (int64[2,n] y) { y = NonZero(x) }", op="NonZero")
    assert "'y'" in breach("shapes_are_static", found)


def test_rank_is_five_at_most() -> None:
    assert holds(
        "rank_is_five_at_most", node("g (float[1,2,3,4,5] x) => (float[] y) { y = Relu(x) }", op="Relu")
    )
    found = node(
        "g (float[4,4] x) => (float[] y) <int64[6] s = {1,2,2,1,2,2}> { y = Reshape(x, s) }", op="Reshape"
    )
    assert breach("rank_is_five_at_most", found) == "'y' has rank 6"


def test_parameters_are_constant() -> None:
    stored = "g (float[1,2,8,8] x) => (float[] y) <float low = {0}> { y = Clip(x, low) }"
    assert holds("parameters_are_constant", node(stored, op="Clip"))
    folded = """g (float[1,2,8,8] x) => (float[] y) { s = Shape(x) t = Identity(s) y = Reshape(x, t) }"""
    assert holds("parameters_are_constant", node(folded, op="Reshape"))
    found = node("g (float[1,2] x, float low) => (float[] y) { y = Clip(x, low) }", op="Clip")
    assert breach("parameters_are_constant", found) == "'low' is computed"


@pytest.mark.parametrize(
    ("dilations", "fine"),
    [
        pytest.param("", True, id="none"),
        pytest.param("dilations = [1, 1],", True, id="one"),
        pytest.param("dilations = [1, 2],", False, id="two"),
    ],
)
def test_dilations_are_one(dilations: str, fine: bool) -> None:
    text = f"g (float[1,2,9,9] x) => (float[] y) {{ y = MaxPool <{dilations} kernel_shape = [3, 3]> (x) }}"
    found = node(text, op="MaxPool")
    if fine:
        assert holds("dilations_are_one", found)
    else:
        assert breach("dilations_are_one", found) == "dilations [1, 2]"


@pytest.mark.parametrize(
    ("found", "fine"),
    [
        pytest.param(lambda: pool(2, 15, stride=2, ceil=0), True, id="floor"),
        pytest.param(lambda: pool(2, 16, stride=2, ceil=1), True, id="whole"),
        pytest.param(lambda: pool(3, 15, stride=2, ceil=1, pads=1), True, id="whole-with-pads"),
        pytest.param(lambda: pool(2, 15, stride=2, ceil=1), False, id="partial"),
        pytest.param(lambda: pool(3, 16, stride=2, ceil=1, pads=1), False, id="partial-with-pads"),
    ],
)
def test_windows_are_whole(found: Callable[[], Node], fine: bool) -> None:
    if fine:
        assert holds("windows_are_whole", found())
    else:
        assert "overshoot" in breach("windows_are_whole", found())


def test_padding_is_counted() -> None:
    assert holds("padding_is_counted", pool(3, 8, stride=1, ceil=0))
    assert "do not count" in breach("padding_is_counted", pool(3, 8, stride=1, ceil=0, pads=1))
    counted = """g (float[1,2,8,8] x) => (float[] y) {
        y = AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1], count_include_pad = 1> (x) }"""
    assert holds("padding_is_counted", node(counted, op="AveragePool"))


@pytest.mark.parametrize(
    ("kernel", "side", "scale", "fine"),
    [
        pytest.param(8, 16, 0.5, True, id="one-scale"),
        pytest.param(8, 16, 0.25, False, id="two-scales"),
        pytest.param(4, 12, 0.25, False, id="four-by-four"),
        pytest.param(2, 16, 0.25, True, id="small-window"),
        pytest.param(5, 15, 0.25, True, id="odd-window"),
        pytest.param(8, 8, 0.25, True, id="one-window"),
        pytest.param(8, 17, 0.25, True, id="rest-left-out"),
    ],
)
def test_halved_windows_share_a_scale(kernel: int, side: int, scale: float, fine: bool) -> None:
    found = quantised_pool(kernel, side=side, scale=scale)
    if fine:
        assert holds("halved_windows_share_a_scale", found)
    else:
        assert breach("halved_windows_share_a_scale", found) == f"scale 0.5 in, {scale:g} out"


def test_sizes_grow_by_whole_factors() -> None:
    assert holds("sizes_grow_by_whole_factors", resize("1, 2, 16, 24"))
    assert breach("sizes_grow_by_whole_factors", resize("1, 2, 12, 16")) == "[1, 2, 8, 8] to [1, 2, 12, 16]"
    assert breach("sizes_grow_by_whole_factors", resize("1, 2, 4, 4"))


def test_only_height_and_width_change() -> None:
    assert holds("only_height_and_width_change", resize("1, 2, 5, 7"))
    assert breach("only_height_and_width_change", resize("1, 4, 8, 8"))


@pytest.mark.parametrize(
    ("axis", "fine"),
    [
        pytest.param(-1, True, id="counted-back"),
        pytest.param(2, True, id="last"),
        pytest.param(1, False, id="middle"),
    ],
)
def test_axis_is_last(axis: int, fine: bool) -> None:
    text = f"g (float[1,4,6] x) => (float[] y) {{ y = Softmax <axis = {axis}> (x) }}"
    found = node(text, op="Softmax")
    if fine:
        assert holds("axis_is_last", found)
    else:
        assert breach("axis_is_last", found) == "axis 1 of 3"


@pytest.mark.parametrize(
    ("pads", "fine"),
    [
        pytest.param("0,0,1,1,0,0,1,1", True, id="around"),
        pytest.param("0,0,0,0,0,0,0,1", True, id="right-only"),
        pytest.param("0,0,0,0,0,0,1,0", True, id="bottom-only"),
        pytest.param("0,0,0,1,0,0,1,1", True, id="left-too"),
        pytest.param("0,0,0,0,0,0,1,1", False, id="right-and-bottom"),
        pytest.param("0,0,1,0,0,0,1,1", False, id="no-left"),
        pytest.param("0,0,1,1", False, id="matrix"),
        pytest.param("0,0,0,0,0,0,0,0,1,1", True, id="rank-5"),
    ],
)
def test_long_rows_begin_with_padding(pads: str, fine: bool) -> None:
    if fine:
        assert holds("long_rows_begin_with_padding", pad(pads))
    else:
        assert breach("long_rows_begin_with_padding", pad(pads)).startswith("pads [")


def test_opset_is_21_at_least() -> None:
    text = "g (float[1,2,3,3] x) => (int64[1,3,3] y) { y = ArgMax <axis = 1, keepdims = 0> (x) }"
    assert holds("opset_is_21_at_least", node(text, op="ArgMax", opset=21))
    assert breach("opset_is_21_at_least", node(text, op="ArgMax", opset=20)) == "opset 20"


def test_a_constraint_says_when_it_cannot_tell() -> None:
    text = "g (float[1,2,8,8] x, int64[4] size) => (float[] y) { y = Resize(x, , , size) }"
    broken = CONSTRAINTS["sizes_grow_by_whole_factors"].breach(node(text, op="Resize"))
    assert broken is not None
    assert not broken.certain


def test_batch_is_kept() -> None:
    assert holds("batch_is_kept", node("g (float[2,4] x) => (float[] y) { y = Neg(x) }", op="Neg"))
    text = "g (float[2,4] x) => (float[] y) <int64[2] s = {4, 2}> { y = Reshape(x, s) }"
    assert breach("batch_is_kept", node(text, op="Reshape")) == "[2, 4] to [4, 2]"


@pytest.mark.parametrize(("sizes", "fine"), [("2, 2", True), ("1, 3", False)], ids=["equal", "uneven"])
def test_parts_are_equal(sizes: str, fine: bool) -> None:
    text = f"g (float[4] x) => (float[] a, float[] b) <int64[2] s = {{{sizes}}}> {{ a, b = Split(x, s) }}"
    found = node(text, op="Split")
    if fine:
        assert holds("parts_are_equal", found)
    else:
        assert breach("parts_are_equal", found) == "parts [[1], [3]]"


def test_steps_are_positive() -> None:
    text = """g (float[4] x) => (float[] y)
        <int64[1] a = {3}, int64[1] b = {-9}, int64[1] c = {0}, int64[1] d = {%d}>
        { y = Slice(x, a, b, c, d) }"""
    assert holds("steps_are_positive", node(text % 2, op="Slice"))
    assert breach("steps_are_positive", node(text % -1, op="Slice")) == "-1 in 'd'"


def test_pads_are_not_negative() -> None:
    assert holds("pads_are_not_negative", pad("0,1"))
    assert breach("pads_are_not_negative", pad("0,-1")) == "-1 in 'p'"
    stated = "g (float[4] x) => (float[] y) { y = Pad <pads = [0, -2]> (x) }"
    assert breach("pads_are_not_negative", node(stated, op="Pad", opset=10)) == "pads [0, -2]"


def gather(indices: str, dims: str) -> Node:
    text = f"g (float[4] x) => (float[] y) <int64{dims} i = {{{indices}}}> {{ y = Gather(x, i) }}"
    return node(text, op="Gather")


def test_indices_are_not_negative() -> None:
    assert holds("indices_are_not_negative", gather("0, 3", "[2]"))
    assert breach("indices_are_not_negative", gather("0, -1", "[2]")) == "-1 in 'i'"
    computed = CONSTRAINTS["indices_are_not_negative"].breach(
        node("g (float[4] x, int64[2] i) => (float[] y) { y = Gather(x, i) }", op="Gather")
    )
    assert computed is not None
    assert not computed.certain


def test_indices_form_a_list() -> None:
    assert holds("indices_form_a_list", gather("0, 3", "[2]"))
    assert breach("indices_form_a_list", gather("0, 3", "[1,2]")) == "indices of rank 2"


def test_scale_is_one_number() -> None:
    text = "g (float[2,4] x) => (int8[] y) <float%s s = {%s}> { y = QuantizeLinear <axis = 0> (x, s) }"
    assert holds("scale_is_one_number", node(text % ("", "0.5"), op="QuantizeLinear"))
    assert breach("scale_is_one_number", node(text % ("[2]", "0.5, 1.0"), op="QuantizeLinear")) == "2 scales"


def test_ranks_are_four_at_most() -> None:
    text = "g (float[1,2,3,4] x) => (float[] y) <int64[%s] s = {%s}> { y = Reshape(x, s) }"
    assert holds("ranks_are_four_at_most", node(text % (3, "1, 6, 4"), op="Reshape"))
    found = breach("ranks_are_four_at_most", node(text % (5, "1, 2, 3, 2, 2"), op="Reshape"))
    assert found == "'y' has rank 5"


def conv(*, channels: int, group: int, pads: str = "1, 1, 1, 1") -> Node:
    return node(
        f"""g (float[1,{channels},8,8] x, float[{channels},{channels // group},3,3] w) => (float[] y) {{
            y = Conv <kernel_shape = [3, 3], pads = [{pads}], group = {group}> (x, w) }}""",
        op="Conv",
    )


def test_groups_are_channels() -> None:
    assert holds("groups_are_channels", conv(channels=8, group=8))
    assert breach("groups_are_channels", conv(channels=8, group=4)) == "4 groups of 8 channels"


def test_groups_hold_several_channels() -> None:
    assert holds("groups_hold_several_channels", conv(channels=8, group=4))
    assert breach("groups_hold_several_channels", conv(channels=8, group=8)) == "8 groups of 8 channels"


def test_pads_are_symmetric() -> None:
    assert holds("pads_are_symmetric", conv(channels=8, group=1))
    assert breach("pads_are_symmetric", conv(channels=8, group=1, pads="0, 0, 1, 1")) == "pads [0, 0, 1, 1]"


def scaled(scale: float) -> Node:
    return node(
        f"""g (float[1,2,10,12] x) => (float[] y) <float[4] scales = {{1, 1, {scale}, {scale}}}> {{
            y = Resize <mode = "linear"> (x, , scales) }}""",
        op="Resize",
    )


def test_sizes_shrink_by_whole_factors() -> None:
    assert holds("sizes_shrink_by_whole_factors", scaled(0.5))
    assert breach("sizes_shrink_by_whole_factors", scaled(0.6)) == "[1, 2, 10, 12] to [1, 2, 6, 7]"


def test_scales_are_exact() -> None:
    assert holds("scales_are_exact", scaled(1.5))
    assert (
        breach("scales_are_exact", scaled(0.6))
        == "[1, 2, 10, 12] to [1, 2, 6, 7] by scales ['1', '1', '0.6', '0.6']"
    )
    sized = """g (float[1,2,10,12] x) => (float[] y) <int64[4] sizes = {1, 2, 6, 7}> {
        y = Resize <mode = "linear"> (x, , , sizes) }"""
    assert holds("scales_are_exact", node(sized, op="Resize"))


def test_batches_are_equal() -> None:
    text = "g (float[2,3,4,5] x, float[{}5,6] w) => (float[] y) {{ y = MatMul (x, w) }}"
    assert holds("batches_are_equal", node(text.format("2,3,"), op="MatMul"))
    assert breach("batches_are_equal", node(text.format("3,"), op="MatMul")) == "[2, 3, 4, 5] times [3, 5, 6]"
