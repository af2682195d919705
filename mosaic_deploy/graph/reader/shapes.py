"""Shapes of every tensor, by onnx's own inference, in a child process that is kept small and short.

onnx's C++ ends by SIGSEGV or SIGFPE on graphs that its checker lets pass, a ``Conv`` whose weight has other
rank than its image among them. So it never runs in this process, whatever the model; ``model_native`` loads
its library alone, which makes the child a matter of some 60 ms.
"""

from __future__ import annotations

import math
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from mosaic_deploy.errors import ModelError, ToolError
from mosaic_deploy.graph.reader import native, wire
from mosaic_deploy.graph.reader.names import graphs
from mosaic_deploy.workers.call import Call, call

if TYPE_CHECKING:
    import onnx

_SMALL = 1024  # elements up to which a constant may be a shape, which inference wants to see
_PROPAGATED = 10_000
_PASSED_ON = {"Gather", "Slice", "Squeeze", "Unsqueeze", "Cast", "Identity", "Add", "Sub", "Mul", "Div"}
_REMEMBERED_BYTES = 64 << 10
_FLOAT = 1  # TensorProto.FLOAT
_CPU_S = 5
_TIMEOUT_S = 15.0  # only what waits instead of working takes so long
_MEMORY = 384 << 20


def infer(model: onnx.ModelProto) -> None:
    """Check the model natively and note every shape in ``value_info``.

    onnx gets to see a sketch only: a large constant is there an input of its type, which check and
    inference treat alike, and nodes without shape inference are replaced by ones of the same shapes.

    Raises:
        ModelError: ``onnx.checker`` or shape inference object, and their words are in the message; or they
            crash, or take too long or too much memory.
        ToolError: the child process cannot be started, or there is no space for its files.
    """
    import onnx

    sketch = sketch_of(model)
    data = sketch.SerializeToString(deterministic=True)
    found = _remembered(data) if len(data) <= _REMEMBERED_BYTES else _outcome(sketch)
    if isinstance(found, str):
        raise ModelError(found)
    note(model, sketch, onnx.ModelProto.FromString(found))


@lru_cache(maxsize=512)
def _remembered(sketch: bytes) -> bytes | str:
    """As ``_outcome``; the search for fixes asks for the same few nodes over and over."""
    import onnx

    return _outcome(onnx.ModelProto.FromString(sketch))


def _outcome(sketch: onnx.ModelProto) -> bytes | str:
    """The sketch with shapes, serialised, or what is wrong with it; raises ``ToolError`` alone."""
    try:
        with tempfile.TemporaryDirectory(prefix="mosaic-shapes-") as scratch:
            return _natively(sketch, Path(scratch))
    except OSError as err:
        raise ToolError(f"shape inference: cannot use the temporary folder ({err.strerror})") from err
    except ModelError as err:
        return str(err)


def note(model: onnx.ModelProto, sketch: onnx.ModelProto, inferred: onnx.ModelProto) -> None:
    """Write the shapes that inference found for a model's ``sketch`` into the model's ``value_info``."""
    stated = [value for value in sketch.graph.input if value.name in _folded(model.graph)]
    del model.graph.value_info[:], model.graph.output[:]
    model.graph.value_info.extend(inferred.graph.value_info)
    model.graph.value_info.extend(stated)
    model.graph.output.extend(inferred.graph.output)


def _natively(sketch: onnx.ModelProto, scratch: Path) -> bytes:
    """Run check and inference in a child; returns the sketch with shapes, serialised."""
    (scratch / "sketch").write_bytes(sketch.SerializeToString())
    (scratch / "checked").write_bytes(_with_stated_outputs(sketch).SerializeToString())
    request = {
        "folder": str(scratch),
        "propagate": propagated_numbers(sketch.graph) <= _PROPAGATED,
        "memory_bytes": _MEMORY,
        "cpu_s": _CPU_S,
    }
    job = Call(
        native.infer,
        request,
        timeout_s=_TIMEOUT_S,
        memory_bytes=_MEMORY,
        log=scratch / "log",
        cwd=scratch / "work",
        name="shape inference",
        keep_log=False,
    )
    try:
        call(job)
    except ToolError as err:
        if not (scratch / "begun").exists():  # the machine's fault, not the model's
            raise
        reason = str(err).partition("; log:")[0]
        if "SIGXCPU" in reason:
            reason = f"takes longer than {_CPU_S} s"
        raise ModelError(
            f"onnx cannot infer its shapes: {reason:.300}; perhaps some node's inputs do not fit it: "
            "export it again"
        ) from err
    data = (scratch / "inferred").read_bytes()
    wire.require_small(data)
    return data


def propagated_numbers(graph: onnx.GraphProto) -> float:
    """Bound the count of numbers that shape inference computes for one tensor of shapes.

    A chain of ``Concat`` with itself doubles them each time, so that forty nodes can fill any memory.
    """
    known: dict[str, float] = {}
    largest = 0.0
    for body, _ in graphs(graph):
        for tensor in body.initializer:
            known[tensor.name] = float(tensor.dims[0]) if len(tensor.dims) == 1 else 1.0
        for node in body.node:
            size = _numbers_of(node, [known.get(name, 0.0) for name in node.input])
            largest = max(largest, size)
            known.update(dict.fromkeys(node.output, size))
    return largest


def _numbers_of(node: onnx.NodeProto, sizes: list[float]) -> float:
    if node.op_type == "Constant":
        lists = [max(len(a.ints), len(a.floats), math.prod(a.t.dims)) for a in node.attribute]
        return float(max(lists, default=1))
    if node.op_type in ("Shape", "Size"):
        return 64.0
    if node.op_type == "Concat":
        return sum(sizes)
    return max(sizes, default=0.0) if node.op_type in _PASSED_ON else 0.0


def sketch_of(model: onnx.ModelProto) -> onnx.ModelProto:
    """Copy what shape inference needs of a model: no large constant, and only nodes that it can infer."""
    import onnx

    sketch = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    graph = sketch.graph
    graph.name = model.graph.name or "network"
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    types = {name: tensor.data_type for name, tensor in constants.items()}
    folded = _folded(model.graph)
    graph.node.extend(_plain(n, types) for n in model.graph.node if n.output[0] not in folded)
    graph.output.extend(model.graph.output)
    graph.value_info.extend(model.graph.value_info)
    large = folded | {n: tensor for n, tensor in constants.items() if math.prod(tensor.dims) > _SMALL}
    graph.input.extend(value for value in model.graph.input if value.name not in large)
    for name, tensor in large.items():
        graph.input.append(onnx.helper.make_tensor_value_info(name, tensor.data_type, tensor.dims))
    graph.initializer.extend(tensor for name, tensor in constants.items() if name not in large)
    return sketch


def _folded(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    """Map the outputs of ``Constant`` nodes that hold weights to these."""
    return {
        node.output[0]: attribute.t
        for node in graph.node
        if node.op_type == "Constant" and not node.domain and len(node.attribute) == 1
        for attribute in node.attribute
        if attribute.name == "value" and math.prod(attribute.t.dims) > _SMALL
    }


def _with_stated_outputs(sketch: onnx.ModelProto) -> onnx.ModelProto:
    """Leave out outputs without a shape, which the checker forbids and inference completes."""
    import onnx

    checked = onnx.ModelProto()
    checked.CopyFrom(sketch)
    stated = [value for value in sketch.graph.output if value.type.tensor_type.HasField("shape")]
    del checked.graph.output[:]
    checked.graph.output.extend(stated)
    return checked


def _plain(node: onnx.NodeProto, types: dict[str, int]) -> onnx.NodeProto:
    """Replace what onnx infers no shapes for: ``com.microsoft``'s Q and DQ, and ``GroupNormalization``."""
    import onnx

    if node.op_type == "GroupNormalization" and not node.domain:
        return onnx.helper.make_node("Identity", node.input[:1], node.output[:1], name=node.name)
    if node.domain == "com.microsoft" and node.op_type in ("QuantizeLinear", "DequantizeLinear"):
        quantizes = node.op_type == "QuantizeLinear" and len(node.input) > 2
        to = types.get(node.input[2], _FLOAT) if quantizes else _FLOAT
        return onnx.helper.make_node("Cast", node.input[:1], node.output[:1], name=node.name, to=to)
    return onnx.NodeProto(  # without the notes, which may be longer than all the rest
        op_type=node.op_type,
        domain=node.domain,
        overload=node.overload,
        name=node.name,
        input=node.input,
        output=node.output,
        attribute=node.attribute,
    )
