"""Functions for graphs that are being changed."""

from __future__ import annotations

import onnx
import onnx.parser

from mosaic_deploy.graph.index import consumers_of, free_name, producer_of, prune, reads, replace_name


def graph(body: str) -> onnx.GraphProto:
    text = f'<ir_version: 8, opset_import: ["" : 18]> g (float[4] x, bool c) => (float[4] y) {{ {body} }}'
    return onnx.parser.parse_model(text).graph


BRANCHES = (
    "w = Neg(x) "
    "y = If (c) <"
    "then_branch = yes () => (float[4] t) { own = Abs(w) t = Neg(own) }, "
    "else_branch = no () => (float[4] e) { e = Identity(x) }>"
)


def test_a_node_reads_what_its_bodies_take_from_outside() -> None:
    assert sorted(reads(graph(BRANCHES).node[1])) == ["c", "w", "x"]


def test_consumers_and_producers_are_found_as_the_graph_stands() -> None:
    found = graph(BRANCHES)
    assert [node.op_type for node in consumers_of(found, "w")] == ["If"]
    made = producer_of(found, "w")
    assert made is not None
    assert made.op_type == "Neg"
    assert producer_of(found, "x") is None


def test_pruning_keeps_what_leads_to_the_output() -> None:
    found = graph(f"dead = Abs(x) deader = Neg(dead) {BRANCHES}")
    found.initializer.append(onnx.helper.make_tensor("unread", onnx.TensorProto.FLOAT, [1], [0]))
    found.value_info.append(onnx.helper.make_tensor_value_info("dead", onnx.TensorProto.FLOAT, [4]))
    prune(found)
    assert [node.op_type for node in found.node] == ["Neg", "If"]
    assert not found.initializer
    assert not found.value_info


def test_a_free_name_is_nobodys() -> None:
    found = graph("a = Neg(x) y = Abs(a)")
    assert free_name(found, "b") == "b"
    assert free_name(found, "a") == "a_"
    assert free_name(found, "y") == "y_"


def test_only_the_one_name_is_replaced() -> None:
    node = graph("y = Add(x, x)").node[0]
    replace_name(node.input, "x", "z")
    replace_name(node.output, "x", "q")
    assert (list(node.input), list(node.output)) == (["z", "z"], ["y"])
