"""What a compiled context binary says of itself, read by Qualcomm's own library; in child processes."""

from __future__ import annotations

from ctypes import POINTER, byref, c_void_p
from typing import Any

from mosaic_deploy.backends.qnn.c_interface import HTP, BinaryInfo, invoke, system
from mosaic_deploy.errors import ModelError, ToolError
from mosaic_deploy.workers.worker import JsonObject

_MOST_AXES = 8
_VERSION = 3
_DTYPES = {
    0x008: "int8", 0x016: "int16", 0x032: "int32", 0x064: "int64",
    0x108: "uint8", 0x116: "uint16", 0x132: "uint32", 0x164: "uint64",
    0x216: "float16", 0x232: "float32",
    0x308: "int8", 0x316: "int16", 0x332: "int32",
    0x408: "uint8", 0x416: "uint16", 0x432: "uint32",
    0x508: "bool",
}  # fmt: skip
"""``Qnn_DataType_t``: the first digit is the kind, the other two are the bits."""
_ON_A_GRID = (3, 4)
"""Kinds of fixed-point numbers, signed and unsigned."""
_DEFINED, _ONE_SCALE = 1, 0


def describe(data: bytes, name: str) -> JsonObject:
    """Read a context binary without running it.

    Args:
        data: the binary.
        name: of the file, for messages.

    Returns:
        ``graph``, its name; ``arch``, the Hexagon architecture as a number; ``sdk``, the version of QNN that
        made it; ``input`` and ``output`` as a manifest has them.

    Raises:
        ModelError: it is no context binary of one network with one input and one output for the Hexagon.
        ToolError: the library cannot be used.
    """
    library, handle, found = system(), c_void_p(), POINTER(BinaryInfo)()
    if invoke(library, "create", byref(handle)):
        raise ToolError("QNN's system library cannot be started")
    refused = invoke(library, "read_binary", handle, data, len(data), byref(found))
    if refused:
        raise ModelError(
            f"{name}: no context binary that QNN can read (its error {refused}): of another kind, damaged, "
            "or of a newer QNN; if it is OpenVINO's weights, name the .xml"
        )
    info = found.contents
    if info.version != _VERSION or info.metadata_bytes < 8:
        raise ModelError(
            f"{name}: made by a QNN that does not write into it for which Hexagon it is: compile it with a "
            "newer one"
        )
    if info.backend != HTP:
        raise ModelError(f"{name}: compiled for QNN's backend {info.backend}, not {HTP}, the Hexagon")
    if info.graphs != 1:
        raise ModelError(f"{name}: holds {info.graphs} networks, one is expected")
    graph = info.graph[0]
    for role, count in (("input", graph.inputs), ("output", graph.outputs)):
        if count != 1:
            raise ModelError(f"{name}: has {count} {role}s, one is expected")
    return {
        "graph": _text(graph.name),
        "arch": int(info.metadata[0].arch),
        "sdk": _text(info.build).removeprefix("v"),
        "input": _port(graph.input[0], name),
        "output": _port(graph.output[0], name),
    }


def _port(tensor: Any, name: str) -> JsonObject:
    """A tensor as a manifest has it."""
    called = _text(tensor.name)
    dtype = _DTYPES.get(tensor.dtype)
    if dtype is None or tensor.rank > _MOST_AXES:
        raise ModelError(f"{name}: '{called:.80}' is of a type or shape that is not known")
    scale = zero_point = None
    if tensor.dtype >> 8 in _ON_A_GRID:
        grid = tensor.grid
        if grid.definition != _DEFINED or grid.encoding != _ONE_SCALE or not grid.scale > 0:
            raise ModelError(f"{name}: '{called:.80}' is no tensor of one scale and one zero point")
        scale, zero_point = float(grid.scale), -int(grid.offset)
    shape = [int(tensor.dimensions[axis]) for axis in range(tensor.rank)]
    return {"name": called, "shape": shape, "dtype": dtype, "scale": scale, "zero_point": zero_point}


def _text(value: bytes | None) -> str:
    return (value or b"").decode(errors="replace")
