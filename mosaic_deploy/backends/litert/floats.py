"""Which operators of an int8 file stay in float32, so that XNNPACK runs them; in child processes.

    int8 -> SOFTMAX (a slow kernel of the interpreter's) -> int8
        becomes  int8 -> DEQUANTIZE -> SOFTMAX (XNNPACK) -> QUANTIZE -> int8

XNNPACK has kernels in float for operators that it has none for in integers. Nobody says which: the quantised
file is loaded, and what XNNPACK leaves of it is compared with what it leaves of the float file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mosaic_deploy.backends.litert import flatbuffer, xnnpack

_HOPELESS = ("DIV", "BATCH_MATMUL")
"""Operators whose integer kernels in LiteRT 2.1.2 are no use: DIV ends with an error where a divisor is
stored as 0, which may be any number of its grid."""
_STATISTICS = frozenset(
    ("ADD", "SUB", "MUL", "MEAN", "SUM", "SQUARE", "SQUARED_DIFFERENCE", "SQRT", "RSQRT", "NEG", "DIV")
)
"""What the statistics of a normalisation are made of."""


def hopeless(plain: Path) -> set[str]:
    """Names of the outputs of operators of a float file that must not be quantised at all."""
    model = flatbuffer.load(plain)
    operators = model.subgraphs[0].operators
    return {_name(model, op) for op in operators if flatbuffer.kind(model, op) in _HOPELESS}


def staying(plain: Path, quantized: Path) -> set[str]:
    """Names of the outputs of operators that are better left in float.

    Those are what XNNPACK leaves of the quantised file and takes of the float one, and the sums that serve
    them alone: a variance in integers is no good to a square root in floats.
    """
    model = flatbuffer.load(plain)
    stay = (_left(quantized) - _left(plain)) | hopeless(plain)
    users: dict[int, list[Any]] = {}
    operators = model.subgraphs[0].operators
    for op in operators:
        for index in op.inputs:
            users.setdefault(int(index), []).append(op)
    for op in reversed(operators):
        takers = [user for index in op.outputs for user in users.get(int(index), [])]
        serves = takers and all(_name(model, user) in stay for user in takers)
        if serves and flatbuffer.kind(model, op) in _STATISTICS:
            stay.add(_name(model, op))
    return stay


def _left(path: Path) -> set[str]:
    """What XNNPACK leaves of a file, by the names of the outputs."""
    model = flatbuffer.load(path)
    operators = model.subgraphs[0].operators
    left = xnnpack.left(model, xnnpack.open_file(path, threads=1))
    return {_name(model, operators[number]) for number in left}


def _name(model: Any, op: Any) -> str:
    return flatbuffer.title(model.subgraphs[0].tensors[op.outputs[0]])
