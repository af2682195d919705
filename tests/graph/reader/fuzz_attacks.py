"""Mutations of a model with a plan: memory that grows from few bytes, work that doubles, files elsewhere."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.graph.reader.fuzz_bytes import build
from tests.graph.reader.fuzz_graphs import INTS, attribute

SECRET = "secret.bin"
"""A file beside the model's folder, which nothing may open."""


def external(model: onnx.ModelProto, rng: random.Random) -> None:
    """Let a constant lie elsewhere: above, at the root, behind a link, beyond an end, at no name at all."""
    holder = model.graph.initializer.add(name=f"new{rng.randrange(10**6)}", data_type=1, dims=[4, 4])
    if rng.random() < 0.7 and len(model.graph.initializer) > 1:
        holder = rng.choice([t for t in model.graph.initializer if t.dims])
    if rng.random() < 0.15:
        node = rng.choice(model.graph.node)
        holder = node.attribute.add(name="value", type=onnx.AttributeProto.TENSOR).t
        holder.data_type = 1
    size = rng.choice((len(holder.raw_data) or 64, len(holder.raw_data) or 64, 0, 2**40))
    holder.ClearField("raw_data")
    holder.data_location = TensorProto.EXTERNAL
    del holder.external_data[:]
    above = "../" * rng.choice((1, 2, 3, 8))
    places = (
        SECRET, f"../{SECRET}", f"./../{SECRET}", f"{above}{SECRET}", f"{above}etc/hostname", "/etc/hostname",
        "/proc/self/environ", "/dev/zero", "/dev/stdin", "link.bin", "sub/secret.bin", "loop.bin", "data.bin",
        "hard.bin", "pipe", "model.onnx", ".", "", "C:\\secret.bin", f"..\\{SECRET}", "data.bin\0x", "~/x",
        "x" * 5000, "/" * 3000, "a/" * 3000 + "b", "file:///etc/hostname",
    )  # fmt: skip
    notes = {
        "location": rng.choice((*places, *["data.bin"] * 12, *["model.onnx", "./data.bin"] * 3)),
        "offset": rng.choice(("0", "0", "0", "16", "-1", "99999999", "9" * 40, "1e3", "0x10", "")),
        "length": rng.choice((str(size), str(size), str(size), "0", "-1", "9" * 19, "٣")),
    }
    for key, value in notes.items():
        if rng.random() < 0.6 or key == "location":
            holder.external_data.add(key=key, value=value)


def bodies(model: onnx.ModelProto, rng: random.Random) -> None:
    """Wrap a node into bodies of If, Loop and Scan: deep, many, some with the wrong inputs and outputs."""
    graph, shape = model.graph, [1, 3, 8, 8]
    yes, turns = f"yes{rng.randrange(10**6)}", f"turns{rng.randrange(10**6)}"
    graph.initializer.append(helper.make_tensor(yes, TensorProto.BOOL, [], [1]))
    graph.initializer.append(helper.make_tensor(turns, TensorProto.INT64, [], [rng.choice(INTS)]))
    name = f"w{rng.randrange(10**6)}"
    inner = helper.make_node(rng.choice(("Relu", "Relu", "Shape", "Nothing")), ["image"], [f"{name}_0"])
    for level in range(1, 1 + rng.choice((1, 1, 2, 3, 6, 9, 12, 15, 16, 17, 28))):
        last, made = f"{name}_{level - 1}", f"{name}_{level}"
        kind = rng.choice(("If", "Loop", "Loop", "Scan", "Acme"))
        stated = rng.choice((None, None, shape, [], [2**40] * 4))
        outs = [helper.make_tensor_value_info(last, TensorProto.FLOAT, stated)]
        ins, nodes, reads = [], [inner], [yes]
        if kind == "Loop":
            ins = [(f"i{made}", 7, []), (f"g{made}", 9, []), (f"x{made}", 1, stated)]
            nodes.append(helper.make_node("Identity", [f"g{made}"], [f"on{made}"]))
            outs = [helper.make_tensor_value_info(f"on{made}", TensorProto.BOOL, []), *outs]
            reads = [turns, yes, "image"]
        elif kind == "Scan":
            ins, reads = [(f"x{made}", 1, stated)], ["image"]
        if rng.random() < 0.04:
            ins, outs, reads = ins[1:], outs * rng.choice((0, 2)), reads * rng.choice((0, 2))
        body = helper.make_graph(nodes, "b", [helper.make_tensor_value_info(*i) for i in ins], outs)
        inner = helper.make_node(kind, reads, [made], domain="acme" if kind == "Acme" else "")
        both = kind == "If" and inner.ByteSize() + 2 * body.ByteSize() < 1 << 18
        for key in ("then_branch", "else_branch")[: 1 + both] if kind == "If" else ("body",):
            inner.attribute.append(helper.make_attribute(key, body))
        if kind == "Scan" and rng.random() < 0.9:
            inner.attribute.append(helper.make_attribute("num_scan_inputs", rng.choice((1, 1, 1, *INTS))))
    if "acme" not in [opset.domain for opset in model.opset_import]:
        model.opset_import.append(helper.make_opsetid("acme", 1))
    graph.node.append(inner)


def functions(model: onnx.ModelProto, rng: random.Random) -> None:
    """Define local functions that call themselves, each other, or operators that ONNX has already."""
    for name in ("F", "G", "Relu"):
        called = rng.choice(("F", "G", "Relu"))
        node = helper.make_node(called, ["x"], ["y"], domain=rng.choice(("local", "")))
        opsets = [helper.make_opsetid("", 18), helper.make_opsetid("local", 1)]
        made = helper.make_function(rng.choice(("local", "", "acme")), name, ["x"], ["y"], [node], opsets)
        model.functions.append(made)
    rng.choice(model.graph.node).domain = "local"
    if rng.random() < 0.5:
        model.opset_import.append(helper.make_opsetid("local", 1))


def shapes(model: onnx.ModelProto, rng: random.Random) -> None:
    """Compute shapes that are endless, or that an inference might fill with numbers."""
    graph = model.graph
    big = [rng.choice((2**31, 2**40, 2**62, 2**63 - 1, -1, 0, 10**9, 100_000)) for _ in range(4)]
    if rng.random() < 0.2:
        big = big * rng.choice((10, 250, 2000))
    name = f"big{rng.randrange(10**6)}"
    graph.initializer.append(helper.make_tensor(name, TensorProto.INT64, [len(big)], big))
    one = helper.make_tensor(f"{name}1", TensorProto.INT64, [], [big[0]])
    graph.initializer.append(one)
    act, out = rng.randrange(9), f"{name}o"
    if act == 0:
        graph.node.add(op_type="ConstantOfShape", input=[name], output=[out])
    elif act <= 3:
        op = ("Expand", "Tile", "Reshape")[act - 1]
        graph.node.add(op_type=op, input=["image", name], output=[out])
    elif act == 4:
        graph.node.add(op_type="Range", input=[f"{name}1"] * 3, output=[out])
    elif act == 5:
        graph.node.add(op_type="OneHot", input=["image", f"{name}1", name], output=[out])
    else:
        op, last = rng.choice(("Concat", "Add", "Mul")), name
        for i in range(rng.choice((5, 20, 40, 3000))):
            node = graph.node.add(op_type=op, input=[last, last], output=[f"{out}{i}"])
            if op == "Concat":
                node.attribute.append(helper.make_attribute("axis", 0))
            last = f"{out}{i}"
        graph.node.add(op_type=rng.choice(("ConstantOfShape", "Neg")), input=[last], output=[out])


def many(model: onnx.ModelProto, rng: random.Random) -> None:
    """Repeat one kind of thing thousands of times."""
    graph, count, act = model.graph, rng.choice((1000, 5000, 19_000, 30_000)), rng.randrange(8)
    if act == 0:
        graph.input.extend(
            [helper.make_tensor_value_info(f"in{i}", rng.choice((1, 7)), [1]) for i in range(count)]
        )
    elif act == 1:
        graph.output.extend([helper.make_tensor_value_info("logits", 1, [1])] * count)
    elif act == 2:
        last = graph.node[-1].output[0] if graph.node and graph.node[-1].output else "image"
        op = rng.choice(("Relu", "Identity", "HardSwish", "acme", "Shape", "QuantizeLinear"))
        for i in range(count):
            graph.node.add(op_type=op, input=[last], output=[f"m{i}"], name=f"m{i}")
            last = f"m{i}" if rng.random() < 0.99 else last
    elif act == 3:
        graph.initializer.extend([helper.make_tensor(f"k{i}", 1, [1], [1.0]) for i in range(count)])
    elif act == 4:
        rng.choice(graph.node).attribute.extend([attribute(f"a{i}", 2, rng) for i in range(count)])
    elif act == 5:
        rng.choice(graph.node).output.extend([f"o{i}" for i in range(count)])
    elif act == 6:
        graph.value_info.extend([helper.make_tensor_value_info(f"v{i}", 1, [1] * 9) for i in range(count)])
    else:
        for i in range(count):
            rng.choice(graph.node).metadata_props.add(key=f"k{i}", value="File " * 50)


def giants(model: onnx.ModelProto, rng: random.Random) -> None:
    """Hold megabytes that unpack to more: packed zeros, long texts, empty messages, megabytes of names."""
    graph, size, act = model.graph, rng.choice((1 << 20, 4 << 20, 16 << 20)), rng.randrange(7)
    if act <= 1:
        number, kind = rng.choice(((5, 6), (7, 7), (11, 13)))
        head = onnx.TensorProto(name="zeros", data_type=kind, dims=[rng.choice((size, 1, 1024))])
        packed = head.SerializeToString() + build([(number, 2, bytes(size))])
        graph.initializer.append(onnx.TensorProto.FromString(packed))
    elif act == 2:
        place = rng.choice(graph.node)
        place.doc_string = "d" * size
    elif act == 3:
        made = rng.choice(graph.node).attribute.add(name="value", type=onnx.AttributeProto.INTS)
        made.ints.extend([0] * (size // 8))
    elif act == 4:
        node = rng.choice(graph.node)
        node.attribute.append(
            helper.make_attribute("value", numpy_helper.from_array(np.zeros(size // 4, np.float32), "t"))
        )
    elif act == 5:
        graph.node.extend([onnx.NodeProto()] * (size // 64))
    else:
        rng.choice(graph.node).input.extend([""] * (size // 8))


MUTATIONS: Mapping[str, Callable[[onnx.ModelProto, random.Random], None]] = {
    "external data": external,
    "bodies": bodies,
    "functions": functions,
    "endless shapes": shapes,
    "too many": many,
    "giants": giants,
}
"""Each class of mutation by its name."""
