"""A small network with a branch, in float and with Q/DQ pairs."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.conftest import HEIGHT, WIDTH


def branched() -> onnx.ModelProto:
    """Float image -> first -> (left, right) -> sum -> logits (1, 3, 32, 48)."""
    rng = np.random.default_rng(5)
    kernels = {name: rng.normal(size=(3, 3, 3, 3)).astype(np.float32) / 4 for name in "ab"}
    last = np.array([[1, 1, 1], [-1, -1, -1], [0, 0, 0]], np.float32).reshape(3, 3, 1, 1)
    around = [1, 1, 1, 1]
    pool = helper.make_node(
        "AveragePool", ["first"], ["right"], name="right", kernel_shape=[3, 3], pads=around
    )
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["image", "a"], ["first"], name="first", pads=around),
            helper.make_node("Conv", ["first", "b"], ["left"], name="left", pads=around),
            pool,
            helper.make_node("Add", ["left", "right"], ["sum"], name="sum"),
            helper.make_node("Conv", ["sum", "d"], ["logits"], name="last"),
        ],
        "branched",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, HEIGHT, WIDTH])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3, HEIGHT, WIDTH])],
        [
            numpy_helper.from_array(kernels["a"], "a"),
            numpy_helper.from_array(kernels["b"], "b"),
            numpy_helper.from_array(last, "d"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def quantised() -> onnx.ModelProto:
    """The same with every tensor on a grid of its own, integers at both ends."""
    model = branched()
    nodes, grids = [], {}
    graph = model.graph
    for value, kind in ((graph.input[0], "uint8"), (graph.output[0], "uint8")):
        value.type.tensor_type.elem_type = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    nodes.append(helper.make_node("DequantizeLinear", ["image", "image/s", "z"], ["image/f"]))
    grids["image"] = 0.1
    for place, node in enumerate(graph.node):
        made = node.output[0]
        whole = [f"{name}/f" if name in (*grids, "image") else name for name in node.input]
        ends = made == "logits"
        out = f"{made}_QuantizeLinear_Input" if ends else made
        nodes.append(helper.make_node(node.op_type, whole, [out], name=node.name))
        nodes[-1].attribute.extend(node.attribute)
        stored = made if ends else f"{made}/q"
        nodes.append(helper.make_node("QuantizeLinear", [out, f"{made}/s", "z"], [stored]))
        if not ends:
            nodes.append(helper.make_node("DequantizeLinear", [stored, f"{made}/s", "z"], [f"{made}/f"]))
        grids[made] = 0.2 + place / 10
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.append(numpy_helper.from_array(np.array(128, np.uint8), "z"))
    for name, scale in grids.items():
        graph.initializer.append(numpy_helper.from_array(np.array(scale, np.float32), f"{name}/s"))
    onnx.checker.check_model(model, full_check=True)
    return model


def unfolded() -> onnx.ModelProto:
    """Float image -> first -> normal, a BatchNormalization of its own -> logits."""
    model = branched()
    rng = np.random.default_rng(1)
    numbers = {
        "scale": rng.uniform(0.5, 1.5, 3),
        "shift": rng.normal(0, 0.3, 3),
        "mean": -rng.uniform(0.5, 3, 3),
        "variance": 10 ** rng.uniform(-4, -2, 3),
    }
    graph = model.graph
    first, last = graph.node[0], graph.node[-1]
    last.input[0] = "normal"
    nodes = [first, helper.make_node("Relu", ["first"], ["active"], name="active")]
    nodes.append(helper.make_node("BatchNormalization", ["active", *numbers], ["normal"], name="normal"))
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in (*nodes, last)]
    del graph.node[:]
    graph.node.extend(nodes)
    for name, values in numbers.items():
        graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), name))
    return model
