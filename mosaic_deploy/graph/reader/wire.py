"""An ONNX file's outline, walked before protobuf unpacks it: what it will take in memory.

Two bytes of a file can become a message of two hundred, and a byte of packed zeros eight. So the walk goes
through the nested messages alone, in time proportional to their number, and skips the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from mosaic_deploy.errors import ModelError

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor  # type: ignore[import-untyped]  # has no stubs

STRUCTURE_BYTES = 64 << 20
"""Most bytes of everything but tensors' data: nodes, names, notes."""

FIELDS = 1_000_000
"""Most fields outside tensors' data, the elements of lists counted singly."""

UNPACKED_BYTES = 448 << 20
"""Most memory that protobuf may need for the whole of it, by the sizes below."""

_MESSAGE_BYTES = 320  # what the largest empty message takes, with the list that holds it
_FIELD_BYTES = 32
_DEPTH = 100  # as protobuf itself has it
_DATA = frozenset(
    ("float_data", "int32_data", "string_data", "int64_data", "raw_data", "double_data", "uint64_data")
)
_FIXED = (1, 2, 6, 7, 15, 16)  # of FieldDescriptor.type: as wide in the file as in memory
_WIDTHS = {3: 8, 4: 8, 5: 4, 8: 1, 13: 4, 14: 4, 17: 4, 18: 8}  # bytes in memory of the others


@dataclass(frozen=True, slots=True)
class _Kind:
    """How a length-delimited field of a message unpacks."""

    message: _Kinds | None = None
    """What may nest in it; None for text, bytes and numbers."""
    packed: int = 1
    """Bytes in memory for each byte in the file, at most."""
    elements: bool = False
    """Whether it is a list of numbers outside tensors' data."""
    data: bool = False
    """Whether it is a tensor's data."""


@dataclass(slots=True)
class _Kinds:
    """The length-delimited fields of one type of message, by number; the rest is text."""

    fields: dict[int, _Kind]


_TEXT = _Kind()
_OUTERMOST = 10_000  # fields that are looked at to tell why a file is no model
_LAST_FIELD = 30  # larger than any number of ModelProto
_VERSION_TAG = 8  # ir_version, with which exporters begin


def require_small(data: bytes) -> None:
    """Refuse a serialised model that would unpack to more than the bounds above.

    Raises:
        ModelError: it would, or it is no protobuf message, or cut short or damaged.
    """
    try:
        _measure(data)
    except _MalformedError as err:
        raise ModelError(why_unparsed(data)) from err


def why_unparsed(data: bytes) -> str:
    """Tell a file that was cut short from one that never was ONNX, by its outermost protobuf fields."""
    if not data:
        return "the file is empty"
    at = fields = 0
    cut = "cut short or damaged ({} bytes): copy or export it again"
    try:
        while at < len(data) and fields < _OUTERMOST:
            tag, at = _varint(data, at, len(data))
            if not 1 <= tag >> 3 <= _LAST_FIELD or tag & 7 not in (0, 2):
                return "not an ONNX file"
            length, at = _varint(data, at, len(data))
            at += length if tag & 7 == 2 else 0
            fields += 1
    except _MalformedError:
        return cut.format(len(data)) if fields or data[0] == _VERSION_TAG else "not an ONNX file"
    return cut.format(len(data)) if at > len(data) or data[0] == _VERSION_TAG else "not an ONNX file"


class _MalformedError(Exception):
    """The bytes are no protobuf message."""


def _measure(data: bytes) -> None:
    structure, fields, unpacked = len(data), 0, len(data)
    stack, at, end, kinds = [(len(data), _model())], 0, -1, _model()
    while stack:
        end, kinds = stack[-1]
        if at == end:
            stack.pop()
            continue
        tag, at = _varint(data, at, end)
        wire, fields = tag & 7, fields + 1
        if wire == 2:
            length, at = _varint(data, at, end)
            if at + length > end:
                raise _MalformedError
            kind = kinds.fields.get(tag >> 3, _TEXT)
            unpacked += length * (kind.packed - 1)
            if kind.message is not None:
                stack.append((at + length, kind.message))
                unpacked += _MESSAGE_BYTES
            else:
                structure -= length if kind.data else 0
                fields += length if kind.elements else 0
                at += length
        else:
            at = _skipped(data, at, end, wire)
        if fields > FIELDS or len(stack) > _DEPTH or not tag >> 3:
            _refuse(fields, len(stack))
    if structure > STRUCTURE_BYTES:
        raise ModelError(
            f"{structure >> 20} MiB besides weights; up to {STRUCTURE_BYTES >> 20} MiB are supported"
        )
    unpacked += fields * _FIELD_BYTES
    if unpacked > UNPACKED_BYTES:
        raise ModelError(
            f"takes {unpacked >> 20} MiB of memory; up to {UNPACKED_BYTES >> 20} MiB are supported: make it "
            "smaller, and store its weights as raw data"
        )


def _refuse(fields: int, depth: int) -> None:
    if fields > FIELDS:
        raise ModelError(f"more than {FIELDS} fields besides weights: no network has so many")
    if depth > _DEPTH:
        raise ModelError(f"messages are nested more than {_DEPTH} deep")
    raise _MalformedError


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    if at < end and data[at] < 128:
        return data[at], at + 1
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise _MalformedError
        value |= (data[at] & 127) << shift
        at += 1
        if data[at - 1] < 128:
            return value, at
    raise _MalformedError


def _skipped(data: bytes, at: int, end: int, wire: int) -> int:
    """Return where a number ends; raises ``Malformed`` for groups, which ONNX never had."""
    if wire == 0:
        return _varint(data, at, end)[1]
    if wire not in (1, 5) or at + (8 if wire == 1 else 4) > end:
        raise _MalformedError
    return at + (8 if wire == 1 else 4)


@cache
def _model() -> _Kinds:
    import onnx

    return _kinds(onnx.ModelProto.DESCRIPTOR, {})


def _kinds(message: Descriptor, known: dict[str, _Kinds]) -> _Kinds:
    if message.full_name in known:
        return known[message.full_name]
    kinds = known[message.full_name] = _Kinds({})
    for field in message.fields:
        data = message.name == "TensorProto" and field.name in _DATA
        if field.message_type is not None:
            kinds.fields[field.number] = _Kind(message=_kinds(field.message_type, known))
        elif field.is_repeated and (field.type in _FIXED or field.type in _WIDTHS):
            # A byte of a varint may be a whole number, and lists that grow leave their smaller selves behind.
            packed = 2 if field.type in _FIXED else 3 * _WIDTHS[field.type]
            kinds.fields[field.number] = _Kind(packed=packed, elements=not data, data=data)
        elif data:
            kinds.fields[field.number] = _Kind(data=True)
    return kinds
