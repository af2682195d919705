"""What every pass must keep to: same outputs on ONNX Runtime, same names, nothing more to do afterwards."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnx.shape_inference
from numpy.typing import NDArray
from onnx import numpy_helper

from mosaic_deploy.graph.execute import Session
from mosaic_deploy.graph.passes import Applied, Pass, apply
from mosaic_deploy.graph.passes.recheck import difference, random_and_given
from mosaic_deploy.graph.reader.shapes import note, sketch_of

Arrays = dict[str, NDArray[Any]]


def network(text: str, *, opset: int = 18, constants: Arrays | None = None) -> onnx.ModelProto:
    """Parse a graph of ONNX text, with further constants, and note its shapes as ``read_model`` does.

    Tests call this while they are collected, hundreds of times. So the shapes are inferred in this process:
    these graphs are our own, and onnx's C++ is known to survive them.
    """
    header = f'<ir_version: 8, opset_import: ["" : {opset}, "acme" : 1, "com.microsoft" : 1]>\n'
    model = onnx.parser.parse_model(header + text)
    for name, value in (constants or {}).items():
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    sketch = sketch_of(model)
    inferred = onnx.shape_inference.infer_shapes(sketch, check_type=True, strict_mode=True, data_prop=True)
    note(model, sketch, inferred)
    return model


def image(
    body: str, *, shape: str = "1,4,6,8", opset: int = 18, out: str = "float[] y", **constants: object
) -> onnx.ModelProto:
    """A graph from one float image to one output; constants are arrays or lists of 64-bit integers."""
    arrays = {k: v if isinstance(v, np.ndarray) else np.asarray(v, np.int64) for k, v in constants.items()}
    return network(f"g (float[{shape}] image) => ({out}) {{ {body} }}", opset=opset, constants=arrays)


def random(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def number(value: float) -> NDArray[np.float32]:
    return np.asarray(value, np.float32)


def ops(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def run(model: onnx.ModelProto, *, inputs: tuple[Path, ...] = ()) -> list[list[NDArray[Any]]]:
    """Outputs on two random inputs."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(model.SerializeToString())
        session = Session(path)
        request = {"seed": 0, "random": 2, "inputs": inputs}
        names = [value.name for value in model.graph.output]
        return [session.run(feed, names) for feed in random_and_given(session.inputs[0], request)]


def error(before: onnx.ModelProto, after: onnx.ModelProto) -> float:
    """Largest difference of outputs as a share of their range."""
    pairs = zip(run(before), run(after), strict=True)
    return max(difference(a, b) for old, new in pairs for a, b in zip(old, new, strict=True))


def agrees(step: Pass, model: onnx.ModelProto, *, changes: int = 1) -> Applied:
    """Apply a pass, hold it to what it says of itself, and return what came of it."""
    given = model.SerializeToString()
    applied = apply(step, model)
    assert model.SerializeToString() == given
    assert applied.modified == changes
    found = error(model, applied.model)
    assert found <= (0 if step.bit_exact else 1e-5 if step.exact else 2e-3), found
    for kind in ("input", "output"):
        old, new = ([v.SerializeToString() for v in getattr(m.graph, kind)] for m in (model, applied.model))
        assert old == new
    kept = {node.name or node.output[0]: node.op_type for node in applied.model.graph.node}
    replaced = {name for change in applied.changes for name in change.covered}
    for node in model.graph.node:
        title = node.name or node.output[0]
        assert title in replaced or kept[title] == node.op_type
    onnx.checker.check_model(applied.model, full_check=True)
    again = apply(step, applied.model)
    assert again.modified == 0
    assert again.model is applied.model
    return applied


def leaves(step: Pass, model: onnx.ModelProto) -> None:
    """Hold a pass to leaving a graph alone."""
    applied = apply(step, model)
    assert applied.modified == 0
    assert applied.model is model
