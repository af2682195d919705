"""What a file in ONNX Runtime's own format really holds: its nodes, read without a session.

Nothing is optimised when such a file is loaded, so these are the kernels that run on the device.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mosaic_deploy.errors import RefusedError, ToolError
from mosaic_deploy.quantize.ort_tools import tool

_DOMAINS = ("", "ai.onnx", "com.microsoft")
_BLOCKED = "com.microsoft.nchwc"

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the file."""

    op: str
    name: str
    domain: str
    floats: bool
    """Whether it computes in floating point: a tensor that it takes or gives, constants aside, is one."""
    taken: tuple[Shape | None, ...] = ()
    given: tuple[Shape | None, ...] = ()
    """Shapes of what it takes and gives; None where one is not known."""

    @property
    def title(self) -> str:
        """``Conv 'stem'``."""
        return f"{self.op} '{self.name}'" if self.name else self.op


def nodes(path: Path) -> tuple[Node, ...]:
    """Every node of the file, subgraphs included.

    Raises ``ToolError`` if this is no file of that format.
    """
    fbs = tool("ort_format_model.ort_flatbuffers_py.fbs")
    session = fbs.InferenceSession.InferenceSession
    held = bytearray(path.read_bytes())
    if len(held) < 8 or not session.InferenceSessionBufferHasIdentifier(held, 0):
        raise ToolError(f"{path.name}: is not a file in ONNX Runtime's format")
    return tuple(_walk(session.GetRootAsInferenceSession(held, 0).Model().Graph(), fbs))


def require_portable(found: tuple[Node, ...], *, file: str) -> None:
    """Raise ``RefusedError`` where a node belongs to one kind of processor, as blocked layouts do."""
    strange = [node for node in found if node.domain not in _DOMAINS]
    if any(node.domain == _BLOCKED for node in strange):
        raise RefusedError(
            f"{file}: {titles(strange)} are in the blocked NCHWc layout of the CPU that "
            "optimised them and do not run on others; convert it for the platform 'arm'"
        )
    if strange:
        raise RefusedError(f"{file}: {titles(strange)} are no operators of ONNX or ONNX Runtime's own")


def titles(found: Sequence[Node]) -> str:
    """The first three of some nodes, and how many more there are."""
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return ", ".join(node.title for node in found[:3]) + more


def _walk(graph: Any, fbs: Any) -> Iterator[Node]:
    floats, shapes = _tensors(graph, fbs)
    for index in range(graph.NodesLength()):
        node = graph.Nodes(index)
        taken = [node.Inputs(i) for i in range(node.InputsLength())]
        given = [node.Outputs(i) for i in range(node.OutputsLength())]
        op, name, domain = (str(text or b"", "utf-8") for text in (node.OpType(), node.Name(), node.Domain()))
        sides = [tuple(shapes.get(tensor) for tensor in tensors) for tensors in (taken, given)]
        yield Node(op, name, domain, not floats.isdisjoint((*taken, *given)), *sides)
        for attribute in (node.Attributes(i) for i in range(node.AttributesLength())):
            if attribute.G() is not None:
                yield from _walk(attribute.G(), fbs)


def _tensors(graph: Any, fbs: Any) -> tuple[set[bytes], dict[bytes, Shape]]:
    """Names of the tensors that a run computes in floating point, and the shapes of all tensors."""
    kinds = fbs.TensorDataType.TensorDataType
    real = {kinds.FLOAT, kinds.FLOAT16, kinds.DOUBLE, kinds.BFLOAT16}
    constants = {graph.Initializers(i).Name() for i in range(graph.InitializersLength())}
    floats: set[bytes] = set()
    shapes: dict[bytes, Shape] = {}
    for index in range(graph.NodeArgsLength()):
        argument = graph.NodeArgs(index)
        described = argument.Type()
        if described is None or described.ValueType() != fbs.TypeInfoValue.TypeInfoValue.tensor_type:
            continue
        tensor = fbs.TensorTypeAndShape.TensorTypeAndShape()
        tensor.Init(described.Value().Bytes, described.Value().Pos)
        if tensor.ElemType() in real and argument.Name() not in constants:
            floats.add(argument.Name())
        shape = tensor.Shape()
        if shape is not None:
            values = [shape.Dim(i).Value() for i in range(shape.DimLength())]
            if all(value is not None for value in values):
                shapes[argument.Name()] = tuple(int(value.DimValue()) for value in values)
    return floats, shapes
