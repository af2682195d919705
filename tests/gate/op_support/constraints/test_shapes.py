"""Constraints on sides and ranks."""

from __future__ import annotations

import pytest

from mosaic_deploy.graph.facts import Node
from tests.gate.op_support.constraints.judging import breach, doubt, holds, node


def identity(sides: str) -> Node:
    return node(f"g (float[{sides}] x) => (float[] y) {{ y = Identity(x) }}", op="Identity")


def pair(left: str, right: str, *, op: str = "Add") -> Node:
    text = f"g (float[{left}] x, float[{right}] w) => (float[] y) {{ y = {op}(x, w) }}"
    return node(text, op=op)


def reshape(before: str, *after: int) -> Node:
    stored = f"<int64[{len(after)}] s = {{{', '.join(map(str, after))}}}>"
    return node(f"g (float[{before}] x) => (float[] y) {stored} {{ y = Reshape(x, s) }}", op="Reshape")


def resize(size: str) -> Node:
    return node(
        f"""g (float[1,2,8,8] x) => (float[] y) <int64[4] size = {{{size}}}>
        {{ y = Resize <mode = "nearest"> (x, , , size) }}""",
        op="Resize",
    )


def test_shapes_are_static() -> None:
    assert holds("shapes_are_static", identity("1,2,8,8"))
    found = node("g (float[2,3] x) => (int64[2,n] y) { y = NonZero(x) }", op="NonZero")
    assert breach("shapes_are_static", found) == "'y' has a shape that only running tells"


def test_rank_is_five_at_most() -> None:
    assert holds("rank_is_five_at_most", identity("1,2,3,4,5"))
    assert breach("rank_is_five_at_most", reshape("4,4", 1, 2, 2, 1, 2, 2)) == "'y' has rank 6"


def test_ranks_are_four_at_most() -> None:
    assert holds("ranks_are_four_at_most", reshape("1,2,3,4", 1, 6, 4))
    assert breach("ranks_are_four_at_most", reshape("1,2,3,4", 1, 2, 3, 2, 2)) == "'y' has rank 5"


def test_sizes_grow_by_whole_factors() -> None:
    assert holds("sizes_grow_by_whole_factors", resize("1, 2, 16, 24"))
    assert breach("sizes_grow_by_whole_factors", resize("1, 2, 12, 16")) == "[1, 2, 8, 8] to [1, 2, 12, 16]"
    assert breach("sizes_grow_by_whole_factors", resize("1, 2, 4, 4")) == "[1, 2, 8, 8] to [1, 2, 4, 4]"
    computed = "g (float[1,2,8,8] x, int64[4] size) => (float[] y) { y = Resize(x, , , size) }"
    assert doubt("sizes_grow_by_whole_factors", node(computed, op="Resize")) == "an unknown shape"


def test_sizes_shrink_by_whole_factors() -> None:
    assert holds("sizes_shrink_by_whole_factors", resize("1, 2, 4, 2"))
    assert breach("sizes_shrink_by_whole_factors", resize("1, 2, 5, 4")) == "[1, 2, 8, 8] to [1, 2, 5, 4]"
    assert breach("sizes_shrink_by_whole_factors", resize("1, 2, 16, 8")) == "[1, 2, 8, 8] to [1, 2, 16, 8]"


def test_only_height_and_width_change() -> None:
    assert holds("only_height_and_width_change", resize("1, 2, 5, 7"))
    assert breach("only_height_and_width_change", resize("1, 4, 8, 8")) == "[1, 2, 8, 8] to [1, 4, 8, 8]"


def test_batch_is_kept() -> None:
    assert holds("batch_is_kept", identity("2,4"))
    assert breach("batch_is_kept", reshape("2,4", 4, 2)) == "[2, 4] to [4, 2]"


def test_first_input_has_the_output_shape() -> None:
    assert holds("first_input_has_the_output_shape", pair("2,3", "3"))
    assert breach("first_input_has_the_output_shape", pair("3", "2,3")) == "[3] to [2, 3]"
    assert doubt("first_input_has_the_output_shape", pair("n,3", "3")) == "an unknown shape"


def test_no_image_is_reshaped() -> None:
    assert holds("no_image_is_reshaped", reshape("2,3,4", 6, 4))
    assert breach("no_image_is_reshaped", reshape("1,2,3,4", 6, 4)) == "[1, 2, 3, 4] to [6, 4]"
    assert breach("no_image_is_reshaped", reshape("6,4", 1, 2, 3, 4)) == "[6, 4] to [1, 2, 3, 4]"
    computed = "g (float[6,4] x, int64[2] s) => (float[] y) { y = Reshape(x, s) }"
    assert doubt("no_image_is_reshaped", node(computed, op="Reshape")) == "an unknown shape"


def test_channels_and_length_differ() -> None:
    assert holds("channels_and_length_differ", identity("1,3,4"))
    assert holds("channels_and_length_differ", identity("1,4,4,4"))
    assert breach("channels_and_length_differ", identity("1,4,4")) == "4 of each"
    assert doubt("channels_and_length_differ", identity("n,4,4")) == "an unknown shape"


@pytest.mark.parametrize(("sizes", "fine"), [("2, 2", True), ("1, 3", False)], ids=["equal", "uneven"])
def test_parts_are_equal(sizes: str, fine: bool) -> None:
    text = f"g (float[4] x) => (float[] a, float[] b) <int64[2] s = {{{sizes}}}> {{ a, b = Split(x, s) }}"
    found = node(text, op="Split")
    if fine:
        assert holds("parts_are_equal", found)
    else:
        assert breach("parts_are_equal", found) == "parts [[1], [3]]"


def test_output_is_one_row() -> None:
    assert holds("output_is_one_row", identity("1,8,1"))
    assert breach("output_is_one_row", identity("1,8,2")) == "an output of [1, 8, 2]"
    assert doubt("output_is_one_row", identity("n,8")) == "an unknown shape"


def test_output_has_16000_numbers_at_most() -> None:
    assert holds("output_has_16000_numbers_at_most", identity("160,100"))
    assert breach("output_has_16000_numbers_at_most", identity("16001")) == "an output of 16001 numbers"
    assert doubt("output_has_16000_numbers_at_most", identity("n,8")) == "an unknown shape"


def test_inputs_share_a_shape() -> None:
    assert holds("inputs_share_a_shape", pair("2,3", "2,3"))
    assert breach("inputs_share_a_shape", pair("2,3", "3")) == "[2, 3] and [3]"
    assert doubt("inputs_share_a_shape", pair("2,3", "n,3")) == "an unknown shape"
    three = "g (float[2,3] x, float[n,3] w, float[3] v) => (float[] y) { y = Sum(x, w, v) }"
    assert breach("inputs_share_a_shape", node(three, op="Sum")) == "[2, 3] and [3]"


def test_inputs_share_a_rank() -> None:
    assert holds("inputs_share_a_rank", pair("2,3", "1,3"))
    assert breach("inputs_share_a_rank", pair("2,3", "3")) == "ranks 2 and 1"
    assert doubt("inputs_share_a_rank", pair("2,3", "n,3")) == "an unknown shape"


def test_inputs_are_matrices() -> None:
    assert holds("inputs_are_matrices", pair("2,3", "3,4", op="MatMul"))
    assert breach("inputs_are_matrices", pair("2,3", "3", op="MatMul")) == "'w' has rank 1"
    assert doubt("inputs_are_matrices", pair("2,3", "3,n", op="MatMul")) == "an unknown shape"


def test_batches_are_equal() -> None:
    assert holds("batches_are_equal", pair("2,3,4,5", "2,3,5,6", op="MatMul"))
    found = breach("batches_are_equal", pair("2,3,4,5", "3,5,6", op="MatMul"))
    assert found == "[2, 3, 4, 5] times [3, 5, 6]"
    assert doubt("batches_are_equal", pair("n,4,5", "5,6", op="MatMul")) == "an unknown shape"


def test_second_input_is_one_number() -> None:
    assert holds("second_input_is_one_number", pair("2,3", "1,1"))
    assert breach("second_input_is_one_number", pair("2,3", "3")) == "a second input of shape [3]"
    assert doubt("second_input_is_one_number", pair("2,3", "n")) == "an unknown shape"


@pytest.mark.parametrize(
    ("slope", "fine"),
    [
        pytest.param("8,1,1", True, id="behind-the-batch"),
        pytest.param("1,8,1,1", True, id="full-rank"),
        pytest.param("8", False, id="per-column"),
        pytest.param("1,1,1", False, id="one-number"),
        pytest.param("8,1,8", False, id="per-channel-and-column"),
    ],
)
def test_second_input_is_one_per_channel(slope: str, fine: bool) -> None:
    found = pair("1,8,4,8", slope)
    if fine:
        assert holds("second_input_is_one_per_channel", found)
    else:
        words = f"[{slope.replace(',', ', ')}] for data of shape [1, 8, 4, 8]"
        assert breach("second_input_is_one_per_channel", found) == words


def test_a_second_input_of_unknown_shape_may_be_one_per_channel() -> None:
    assert doubt("second_input_is_one_per_channel", pair("1,8,4,8", "n,1,1")) == "an unknown shape"


def test_second_input_is_a_matrix() -> None:
    assert holds("second_input_is_a_matrix", pair("3,4,5", "5,6", op="MatMul"))
    assert breach("second_input_is_a_matrix", pair("3,4,5", "3,5,6", op="MatMul")) == "'w' has rank 3"
    assert doubt("second_input_is_a_matrix", pair("3,4,5", "5,n", op="MatMul")) == "an unknown shape"


def test_indices_form_a_list() -> None:
    text = "g (float[4] x, int64%s i) => (float[] y) { y = Gather(x, i) }"
    assert holds("indices_form_a_list", node(text % "[2]", op="Gather"))
    assert breach("indices_form_a_list", node(text % "[1,2]", op="Gather")) == "indices of rank 2"
    assert doubt("indices_form_a_list", node(text % "[n]", op="Gather")) == "an unknown shape"


def test_one_index_is_picked() -> None:
    text = "g (float[4] x, int64%s i) => (float[] y) { y = Gather(x, i) }"
    assert holds("one_index_is_picked", node(text % "[1]", op="Gather"))
    assert breach("one_index_is_picked", node(text % "[1,2]", op="Gather")) == "indices of shape [1, 2]"
    assert doubt("one_index_is_picked", node(text % "[n]", op="Gather")) == "an unknown shape"


def test_output_is_wider_than_one() -> None:
    assert holds("output_is_wider_than_one", identity("1,8,4,2"))
    assert holds("output_is_wider_than_one", identity("4,1"))
    assert breach("output_is_wider_than_one", identity("1,8,4,1")) == "an output of [1, 8, 4, 1]"
    assert doubt("output_is_wider_than_one", identity("1,8,4,n")) == "an unknown shape"


def test_output_is_higher_than_one() -> None:
    assert holds("output_is_higher_than_one", identity("1,8,2,4"))
    assert holds("output_is_higher_than_one", identity("8,1,4"))
    assert breach("output_is_higher_than_one", identity("1,8,1,4")) == "an output of [1, 8, 1, 4]"
    assert doubt("output_is_higher_than_one", identity("1,8,n,4")) == "an unknown shape"


def test_batch_is_one() -> None:
    assert holds("batch_is_one", identity("1,8,4,4"))
    assert breach("batch_is_one", identity("2,8,4,4")) == "a batch of 2"
    assert doubt("batch_is_one", identity("n,8,4,4")) == "an unknown shape"
