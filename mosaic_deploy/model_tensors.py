"""Tensors of an ONNX model: their data is as long as their shapes say, inside bounds, and in the folder."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

from mosaic_deploy.errors import ModelError
from mosaic_deploy.model_names import graphs

if TYPE_CHECKING:
    import onnx

_EXTERNAL = 1  # TensorProto.EXTERNAL
_STRING = 8
_BITS = {
    1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128,
    16: 16, 17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8, 25: 2, 26: 2,
}  # fmt: skip
"""Bits per element of each ``TensorProto.DataType``; strings (8) have none."""

_MAX_RANK = 64


def load(model: onnx.ModelProto, folder: Path, *, budget: int) -> None:
    """Bring external data into the model, and check the length of all data.

    Args:
        model: changed in place; afterwards no tensor lies outside.
        folder: the model's; nothing outside it is opened, symbolic links included.
        budget: bytes of external data that may be read in all.

    Raises:
        ModelError: data is missing, too long or too short, or lies outside the folder.
    """
    for graph, _ in graphs(model.graph):
        for tensor in graph.initializer:
            if tensor.data_location == _EXTERNAL:
                budget -= _bring_in(tensor, folder, budget)
            _require_length(tensor)
        for tensor in _attributes(graph):
            if tensor.data_location == _EXTERNAL:
                raise ModelError(f"tensor '{tensor.name}' in a node's attribute has external data")
            _require_length(tensor)


def require_bounded(graph: onnx.GraphProto, limit: int) -> None:
    """Raise ``ModelError`` if a tensor of known shape would take more than ``limit`` bytes."""
    for value in (*graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        size = math.prod(dim.dim_value for dim in tensor.shape.dim) * _BITS.get(tensor.elem_type, 32) // 8
        if size > limit or any(dim.dim_value < 0 for dim in tensor.shape.dim):
            shape = [dim.dim_value for dim in tensor.shape.dim]
            raise ModelError(f"tensor '{value.name}' {shape} takes {size / 2**30:.1f} GiB: make it smaller")


def _attributes(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.sparse_tensors or attribute.HasField("sparse_tensor"):
                raise ModelError(f"node '{node.name}' ({node.op_type}) holds a sparse tensor: store it dense")
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def _bytes(tensor: onnx.TensorProto) -> int:
    if tensor.data_type not in _BITS:
        raise ModelError(f"constant '{tensor.name}' is of type {tensor.data_type}, which is not taken")
    if len(tensor.dims) > _MAX_RANK or any(not 0 <= dim < 2**40 for dim in tensor.dims):
        raise ModelError(f"constant '{tensor.name}' has the impossible shape {list(tensor.dims)[:8]}")
    bits: int = math.prod(tensor.dims) * _BITS[tensor.data_type]
    return -(-bits // 8)


def _require_length(tensor: onnx.TensorProto) -> None:
    if tensor.data_type == _STRING:
        return
    size = _bytes(tensor)
    if not tensor.HasField("raw_data"):
        return  # typed fields: onnx.checker counts them
    if len(tensor.raw_data) != size:
        raise ModelError(
            f"constant '{tensor.name}' {list(tensor.dims)[:8]} needs {size:.4g} bytes and has "
            f"{len(tensor.raw_data)}"
        )


def _bring_in(tensor: onnx.TensorProto, folder: Path, budget: int) -> int:
    """Read one tensor's external data; returns its bytes."""
    notes = {entry.key: entry.value for entry in tensor.external_data}
    place = _inside(folder, notes.get("location", ""), tensor.name)
    size = _bytes(tensor)
    offset = _number(notes.get("offset", "0"), tensor.name)
    length = _number(notes.get("length", str(size)), tensor.name)
    if length != size:
        raise ModelError(f"constant '{tensor.name}' needs {size} bytes, its external data has {length}")
    if size > budget:
        raise ModelError("external data of more than 1 GiB in all")
    try:
        with place.open("rb") as file:
            file.seek(offset)
            data = file.read(size)
    except OSError as err:
        raise ModelError(f"external data '{place.name}' cannot be read ({err.strerror})") from err
    if len(data) != size:
        raise ModelError(f"external data '{place.name}' ends before constant '{tensor.name}' does")
    tensor.raw_data = data
    tensor.ClearField("data_location")
    del tensor.external_data[:]
    return size


def _number(text: str | bytes, name: str) -> int:
    if isinstance(text, bytes) or not text.isascii() or not text.isdigit() or len(text) > 15:
        raise ModelError(f"constant '{name}': offset and length of external data are not numbers")
    return int(text)


def _inside(folder: Path, location: str | bytes, name: str) -> Path:
    """Find a file of external data; raises ``ModelError`` unless it truly lies in the model's folder."""
    said = f"external data '{location!s:.80}' of constant '{name}'"
    if isinstance(location, bytes) or not location or "\0" in location or "\\" in location:
        raise ModelError(f"{said} has no usable file name")
    way = PurePosixPath(location)
    if way.is_absolute() or PureWindowsPath(location).drive or ".." in way.parts:
        raise ModelError(f"{said} lies outside the model's folder: keep it beside the model")
    home = folder.resolve()
    try:
        place = (home / way).resolve()
        found = place.is_file()
    except (OSError, RuntimeError) as err:  # too long, or links in a circle
        raise ModelError(f"{said} cannot be found") from err
    if not place.is_relative_to(home):
        raise ModelError(f"{said} is a link out of the model's folder: copy the file itself there")
    if not found:
        raise ModelError(f"{said} is missing: keep it beside the model")
    return place
