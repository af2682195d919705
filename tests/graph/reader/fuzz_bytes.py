"""Mutations of a serialised model that know bytes and protobuf's wire format, and nothing of ONNX."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Mapping

_NUMBERS = (
    0,
    1,
    2,
    7,
    8,
    127,
    128,
    2**16,
    2**31 - 1,
    2**31,
    2**32,
    2**40,
    2**62,
    2**63 - 1,
    2**63,
    2**64 - 1,
)


def flip(data: bytes, rng: random.Random) -> bytes:
    """Flip one to eight bits."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def overwrite(data: bytes, rng: random.Random) -> bytes:
    """Write an extreme number over what is there."""
    at = rng.randrange(len(data))
    patch = rng.choice((struct.pack("<I", 2**31), b"\xff" * 4, bytes(4), rng.randbytes(4), b"\xff" * 10))
    return data[:at] + patch + data[at + len(patch) :]


def cut(data: bytes, rng: random.Random) -> bytes:
    """Take some bytes out."""
    at = rng.randrange(len(data))
    return data[:at] + data[at + rng.randrange(1, 32) :]


def double(data: bytes, rng: random.Random) -> bytes:
    """Repeat some bytes."""
    at = rng.randrange(len(data))
    return data[:at] + data[at : at + rng.randrange(1, 64)] * rng.choice((2, 2, 2, 1000)) + data[at:]


def truncate(data: bytes, rng: random.Random) -> bytes:
    """Keep the beginning, or lose the beginning."""
    at = rng.randrange(len(data))
    return data[:at] if rng.random() < 0.8 else data[at:]


def splice(data: bytes, rng: random.Random) -> bytes:
    """Move a piece elsewhere."""
    start, at = rng.randrange(len(data)), rng.randrange(len(data))
    piece = data[start : start + rng.randrange(1, 200)]
    return data[:at] + piece + data[at + rng.choice((0, len(piece))) :]


def rewire(data: bytes, rng: random.Random) -> bytes:
    """Drop, double, move, nest or renumber a field at some depth, and mend all lengths around it."""
    fields = parse(data)
    if not fields:
        return flip(data, rng)
    at = rng.randrange(len(fields))
    number, wire, value = fields[at]
    if wire == 2 and rng.random() < 0.85 and isinstance(value, bytes) and parse(value):
        fields[at] = (number, wire, rewire(value, rng))
    else:
        rng.choice(_REWIRINGS)(fields, at, rng)
    return build(fields)


Field = tuple[int, int, int | bytes]


def _drop(fields: list[Field], at: int, rng: random.Random) -> None:
    del fields[at]


def _repeat(fields: list[Field], at: int, rng: random.Random) -> None:
    fields[at:at] = [fields[at]] * rng.choice((1, 1, 1, 50))


def _exchange(fields: list[Field], at: int, rng: random.Random) -> None:
    other = rng.randrange(len(fields))
    fields[at], fields[other] = fields[other], fields[at]


def _renumber(fields: list[Field], at: int, rng: random.Random) -> None:
    fields[at] = (rng.choice((*range(1, 32), 536870911)), *fields[at][1:])


def _nest(fields: list[Field], at: int, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 2, 30, 200))):
        fields[at] = (fields[at][0], 2, build([fields[at]]))


def _replace(fields: list[Field], at: int, rng: random.Random) -> None:
    number, wire, _ = fields[at]
    if wire == 2 and rng.random() < 0.7:
        contents = (b"", b"\xff", rng.randbytes(9), bytes(4000), b"x" * 70_000, b"../secret.bin", b"\n")
        fields[at] = (number, 2, rng.choice(contents))
    else:
        fields[at] = (number, 0, rng.choice(_NUMBERS))


_REWIRINGS: tuple[Callable[[list[Field], int, random.Random], None], ...] = (
    _drop, _repeat, _exchange, _renumber, _nest, _replace, _replace, _replace,
)  # fmt: skip


def varint(value: int) -> bytes:
    """Encode a number."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes((*out, value))


def build(fields: list[Field]) -> bytes:
    """Encode a message."""
    out = bytearray()
    for number, wire, value in fields:
        out += varint(number << 3 | wire)
        if isinstance(value, int):
            out += varint(value)
        else:
            out += varint(len(value)) * (wire == 2) + value
    return bytes(out)


def parse(data: bytes) -> list[Field]:
    """Decode a message; empty if it is none."""
    fields: list[Field] = []
    at = 0
    try:
        while at < len(data):
            tag, at = _number(data, at)
            number, wire = tag >> 3, tag & 7
            if not 0 < number < 100 or wire not in (0, 1, 2, 5):
                return []
            if wire == 0:
                value, at = _number(data, at)
                fields.append((number, 0, value))
                continue
            length, at = (8 if wire == 1 else 4, at) if wire != 2 else _number(data, at)
            if at + length > len(data):
                return []
            fields.append((number, wire, data[at : at + length]))
            at += length
    except IndexError:
        return []
    return fields


def _number(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 128 or shift > 63:
            return value, at


MUTATIONS: Mapping[str, Callable[[bytes, random.Random], bytes]] = {
    "flipped bits": flip,
    "overwritten": overwrite,
    "cut": cut,
    "doubled": double,
    "truncated": truncate,
    "spliced": splice,
    "rewired fields": rewire,
}
"""Each class of mutation by its name."""
