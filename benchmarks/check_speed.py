"""What ``mosaic-deploy check`` and ``--help`` cost: whole processes, their children and start-up included.

    uv run python benchmarks/check_speed.py [MODEL.onnx ...]

Processor time is user and system; machines that do other work lengthen it, the least of the runs less so.
Without models: a network in the manner of a ViT, 3,000 nodes and 100 MB, made in a temporary folder.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

WIDTH, HEADS, TOKENS, BLOCKS = 144, 4, 196, 104
TARGET = "dsp"
REPEATS = 9


class _Graph:
    """Nodes and weights as they come; each node's only output is its return value."""

    def __init__(self, seed: int) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.random = np.random.default_rng(seed)

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Add a node; returns the name of its output."""
        name = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def weight(self, *shape: int) -> str:
        """Add a random float32 weight."""
        return self.constant(self.random.standard_normal(shape, dtype=np.float32) * 0.02)

    def constant(self, values: NDArray[Any]) -> str:
        """Add a stored constant."""
        name = f"constant_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def numbers(self, *values: int) -> str:
        """Add stored int64 numbers, such as a shape."""
        return self.constant(np.array(values, np.int64))


def _linear(graph: _Graph, x: str, width_in: int, width_out: int) -> str:
    product = graph.add("MatMul", x, graph.weight(width_in, width_out))
    return graph.add("Add", product, graph.weight(width_out))


def _attention(graph: _Graph, x: str) -> str:
    size = WIDTH // HEADS
    split = graph.numbers(1, TOKENS, HEADS, size)
    query, key, value = (
        graph.add(
            "Transpose",
            graph.add("Reshape", _linear(graph, x, WIDTH, WIDTH), split),
            perm=[0, 2, 3, 1] if turned else [0, 2, 1, 3],
        )
        for turned in (False, True, False)
    )
    scores = graph.add(
        "Mul", graph.add("MatMul", query, key), graph.constant(np.array([size**-0.5], np.float32))
    )
    mixed = graph.add("MatMul", graph.add("Softmax", scores, axis=-1), value)
    joined = graph.add(
        "Reshape", graph.add("Transpose", mixed, perm=[0, 2, 1, 3]), graph.numbers(1, TOKENS, WIDTH)
    )
    return _linear(graph, joined, WIDTH, WIDTH)


def _normed(graph: _Graph, x: str) -> str:
    return graph.add("LayerNormalization", x, graph.weight(WIDTH), graph.weight(WIDTH), axis=-1)


def vit(path: Path, *, blocks: int = BLOCKS) -> None:
    """Write a ViT-like classifier of patches: 29 nodes and 1 MB for each block."""
    graph = _Graph(seed=0)
    patches = graph.add("Conv", "image", graph.weight(WIDTH, 3, 16, 16), strides=[16, 16])
    x = graph.add("Reshape", patches, graph.numbers(1, WIDTH, TOKENS))
    x = graph.add("Transpose", x, perm=[0, 2, 1])
    for _ in range(blocks):
        x = graph.add("Add", x, _attention(graph, _normed(graph, x)))
        inner = graph.add("Gelu", _linear(graph, _normed(graph, x), WIDTH, 4 * WIDTH))
        x = graph.add("Add", x, _linear(graph, inner, 4 * WIDTH, WIDTH))
    scores = _linear(graph, _normed(graph, x), WIDTH, 19)
    proto = helper.make_graph(
        graph.nodes,
        "vit",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 224, 224])],
        [helper.make_tensor_value_info(scores, TensorProto.FLOAT, [1, TOKENS, 19])],
        graph.weights,
    )
    model = helper.make_model(proto, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    path.write_bytes(model.SerializeToString())


def cost(*arguments: str) -> str:
    """Median and least of some runs, after one that warms the caches: processor time, and as one waits."""
    command = [sys.executable, "-m", "mosaic_deploy", *arguments]
    processor, waited = [], []
    for _ in range(REPEATS + 1):
        begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        waited.append(time.perf_counter() - begun)
        processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        if done.returncode not in (0, 1):
            raise SystemExit(done.stderr)
    figures = (
        f"{sorted(taken[1:])[REPEATS // 2]:.2f} s (least of {REPEATS}: {min(taken[1:]):.2f} s)"
        for taken in (processor, waited)
    )
    return "{} of processor time, {} waited".format(*figures)


def main() -> None:
    """Print what --help costs, and nodes, size and times of each model."""
    print(f"--help: {cost('--help')}")
    with tempfile.TemporaryDirectory() as folder:
        models = [Path(name) for name in sys.argv[1:]]
        if not models:
            models = [Path(folder) / "vit.onnx"]
            vit(models[0])
        for path in models:
            count = len(onnx.load(path, load_external_data=False).graph.node)
            facts = f"{path.name}: {count} nodes, {path.stat().st_size / 1e6:.0f} MB"
            print(f"{facts}: {cost('check', str(path), '--target', TARGET)}")


if __name__ == "__main__":
    main()
