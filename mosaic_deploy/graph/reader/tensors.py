"""Tensors of an ONNX model: their data is as long as their shapes say, inside bounds, and in the folder."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, final

from mosaic_deploy.errors import ModelError
from mosaic_deploy.graph.reader.names import graphs

if TYPE_CHECKING:
    import onnx

_EXTERNAL = 1  # TensorProto.EXTERNAL
_STRING = 8
_BITS = {
    1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128,
    16: 16, 17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8, 25: 2, 26: 2,
}  # fmt: skip
"""Bits per element of each ``TensorProto.DataType``; strings (8) have none."""

_TYPED: dict[int, Callable[[onnx.TensorProto], Sequence[object]]] = {
    **dict.fromkeys((1, 14), attrgetter("float_data")),
    **dict.fromkeys((2, 3, 4, 5, 6, 9, 10, *range(16, 27)), attrgetter("int32_data")),
    7: attrgetter("int64_data"),
    8: attrgetter("string_data"),
    **dict.fromkeys((11, 15), attrgetter("double_data")),
    **dict.fromkeys((12, 13), attrgetter("uint64_data")),
}
"""Where each ``DataType`` lies if not in ``raw_data``."""

_STORES = tuple({id(store): store for store in _TYPED.values()}.values())
_PAIRS = (14, 15)  # complex: two numbers per element
_MAX_RANK = 64  # numpy's
_MOST_FILES = 10_000
_SPACE = 2**60  # bytes that a shape may span where a side of 0 leaves it empty
_NESTED_BYTES = 16 << 20
_QUANTISING = ("QuantizeLinear", "DequantizeLinear")


def load(model: onnx.ModelProto, folder: Path, *, budget: int) -> None:
    """Bring external data into the model, and check the length of all data.

    Args:
        model: changed in place; afterwards no tensor lies outside.
        folder: the model's; nothing outside it is opened, symbolic links included.
        budget: bytes of external data that may be read in all.

    Raises:
        ModelError: data is missing, too long or too short, lies outside the folder or, but for weights of
            the main graph, is large; a stored scale or zero point is no number.
    """
    nested, files = 0, _Files(folder)
    for graph, depth in graphs(model.graph):
        if graph.sparse_initializer:
            raise ModelError("holds sparse initialisers: store them dense")
        for tensor in graph.initializer:
            if tensor.data_location == _EXTERNAL:
                budget -= _bring_in(tensor, files, budget)
            size = _require_length(tensor)
            nested += size if depth else 0
        for node, tensor in _attributes(graph):
            if tensor.data_location == _EXTERNAL:
                raise ModelError(f"tensor '{tensor.name}' in a node's attribute has external data")
            size = _require_length(tensor)
            nested += size if depth or node.op_type != "Constant" else 0
        if nested > _NESTED_BYTES:
            raise ModelError(
                f"attributes and bodies hold more than {_NESTED_BYTES >> 20} MiB of numbers: store them as "
                "initialisers of the main graph"
            )
        _require_numbers(graph)


def require_bounded(graph: onnx.GraphProto, limit: int) -> None:
    """Raise ``ModelError`` if a tensor of known shape would take more than ``limit`` bytes."""
    for value in (*graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        shape = [dim.dim_value for dim in tensor.shape.dim]
        if len(shape) > _MAX_RANK:
            raise ModelError(
                f"tensor '{value.name:.80}' has {len(shape)} dimensions: up to {_MAX_RANK} are supported"
            )
        size = math.prod(shape) * _BITS.get(tensor.elem_type, 32) // 8
        if size > limit or any(side < 0 for side in shape) or math.prod(s or 1 for s in shape) > _SPACE:
            raise ModelError(f"tensor '{value.name:.80}' {_shown(shape)} takes {_gib(size)}: make it smaller")


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if 0 <= size < _SPACE else "a size beyond numbers"


def _shown(shape: Sequence[int]) -> str:
    return f"[{', '.join(str(side) for side in shape[:8])}{', ...' if len(shape) > 8 else ''}]"


def _attributes(graph: onnx.GraphProto) -> Iterator[tuple[onnx.NodeProto, onnx.TensorProto]]:
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.sparse_tensors or attribute.HasField("sparse_tensor"):
                raise ModelError(f"node '{node.name}' ({node.op_type}) holds a sparse tensor: store it dense")
            if attribute.HasField("t"):
                yield node, attribute.t
            for tensor in attribute.tensors:
                yield node, tensor


def _bytes(tensor: onnx.TensorProto) -> int:
    if tensor.data_type not in _BITS:
        raise ModelError(f"constant '{tensor.name}' is of type {tensor.data_type}, which is not supported")
    _require_shape(tensor)
    bits: int = math.prod(tensor.dims) * _BITS[tensor.data_type]
    return -(-bits // 8)


def _require_shape(tensor: onnx.TensorProto) -> None:
    dims = tensor.dims
    if (
        len(dims) > _MAX_RANK
        or any(not 0 <= dim < 2**40 for dim in dims)
        or math.prod(dim or 1 for dim in dims) > _SPACE
    ):
        raise ModelError(f"constant '{tensor.name}' has the impossible shape {_shown(dims)}")


def _require_length(tensor: onnx.TensorProto) -> int:
    """Return the bytes that a tensor's data takes; raises ``ModelError`` if its shape says other."""
    if tensor.HasField("segment"):
        raise ModelError(f"constant '{tensor.name}' comes in segments: store it whole")
    size = _text_bytes(tensor) if tensor.data_type == _STRING else _bytes(tensor)
    typed = sum(len(store(tensor)) for store in _STORES)
    if tensor.HasField("raw_data"):
        if tensor.data_type == _STRING or typed:
            raise ModelError(f"constant '{tensor.name}' holds raw data and other data: keep one")
        if len(tensor.raw_data) != size:
            raise ModelError(
                f"constant '{tensor.name}' {_shown(tensor.dims)} needs {size} bytes and has "
                f"{len(tensor.raw_data)}"
            )
        return size
    own, count = len(_TYPED[tensor.data_type](tensor)), math.prod(tensor.dims)
    if tensor.data_type in _PAIRS:
        count *= 2
    elif _BITS.get(tensor.data_type, 8) < 8:
        count = size  # packed into bytes
    if own != count or typed != own:
        raise ModelError(
            f"constant '{tensor.name}' {_shown(tensor.dims)} needs {count} numbers and has {own}"
            + (f", and {typed - own} of another type" if typed != own else "")
        )
    return size


def _text_bytes(tensor: onnx.TensorProto) -> int:
    _require_shape(tensor)
    try:
        return sum(len(text.decode()) for text in tensor.string_data)
    except UnicodeDecodeError as err:
        raise ModelError(f"constant '{tensor.name}' holds text that is not UTF-8") from err


def _require_numbers(graph: onnx.GraphProto) -> None:
    """Refuse what would stand for a number and is none: scales, zero points, values of ``Constant``."""
    stored = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and any(
            attribute.name == "value" and not attribute.HasField("t") for attribute in node.attribute
        ):
            raise ModelError(f"node '{node.name}' ({node.op_type}): its value is not a tensor")
        if node.op_type not in _QUANTISING:
            continue
        for name in node.input[1:]:
            if name in stored and not _is_numeric(stored[name]):
                raise ModelError(f"node '{node.name}' ({node.op_type}): '{name}' is not a finite number")


def _is_numeric(tensor: onnx.TensorProto) -> bool:
    """Whether a tensor, if it is one number, is real and finite."""
    if tensor.data_type == _STRING or tensor.data_type in _PAIRS:
        return False
    if math.prod(tensor.dims) != 1:
        return True
    from onnx import numpy_helper

    return math.isfinite(float(numpy_helper.to_array(tensor).reshape(())[()]))


@final
class _Files:
    """Files of external data, each looked up once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._found: dict[str | bytes, Path] = {}

    def find(self, location: str | bytes, name: str) -> Path:
        """As ``_inside``; raises ``ModelError`` as well where there are too many."""
        if location not in self._found:
            if len(self._found) == _MOST_FILES:
                raise ModelError(f"external data in more than {_MOST_FILES} files: save it in one")
            self._found[location] = _inside(self._folder, location, name)
        return self._found[location]


def _bring_in(tensor: onnx.TensorProto, files: _Files, budget: int) -> int:
    """Read one tensor's external data; returns its bytes."""
    notes = {entry.key: entry.value for entry in tensor.external_data}
    place = files.find(notes.get("location", ""), tensor.name)
    size = _bytes(tensor)
    offset = _number(notes.get("offset", "0"), tensor.name)
    length = _number(notes.get("length", str(size)), tensor.name)
    if length != size:
        raise ModelError(f"constant '{tensor.name}' needs {size} bytes, its external data has {length}")
    if size > budget:
        raise ModelError("too much external data: with it, the model is larger than what is supported")
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
