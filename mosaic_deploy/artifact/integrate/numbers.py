"""What an app computes at both ends of a network, as expressions of three languages.

At the input every pixel becomes a number by itself, in one of three ways, and which one is found out by
feeding all 256 pixels:

    bytes   pixel * factor + offset, exactly
    floats  (pixel - mean) / scale
    grid    round((pixel - mean) / scale / step + zero point), cut to the type
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.artifact.stored import stored_input
from mosaic_deploy.specs.contract import Contract

CPP = {
    "float32": "float", "float16": "_Float16", "int8": "int8_t", "uint8": "uint8_t", "int16": "int16_t",
    "uint16": "uint16_t", "int32": "int32_t", "int64": "int64_t",
}  # fmt: skip
_PUT = {
    "float32": "x.putFloat(4 * i, {})", "int8": "x.put(i, ({}).toByte())", "uint8": "x.put(i, ({}).toByte())",
    "int16": "x.putShort(2 * i, ({}).toShort())", "uint16": "x.putShort(2 * i, ({}).toShort())",
}  # fmt: skip
_GET = {
    "float32": "y.getFloat(4 * i)", "int8": "y.get(i).toInt()", "uint8": "(y.get(i).toInt() and 0xff)",
    "int16": "y.getShort(2 * i).toInt()", "uint16": "(y.getShort(2 * i).toInt() and 0xffff)",
    "int32": "y.getInt(4 * i)", "int64": "y.getLong(8 * i).toInt()",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Feeding:
    """How a pixel becomes a number of the input."""

    python: str
    """Of ``x``, (H, W, 3) uint8 in the network's order of colours."""
    cpp: str
    """Of ``p``, an int, and the colour ``c``."""
    kotlin: str
    """The statement that puts it at the place ``i``."""
    words: str
    constants: Mapping[str, Sequence[float]]
    """Names of the constants that these use, with a number for each colour."""


def feeding(contract: Contract, facts: Mapping[str, Any]) -> Feeding:
    """Find out how pixels become the file's input; ``facts`` are those of its input."""
    table = _table(contract, facts)
    dtype = str(facts["dtype"])
    kotlin = _PUT.get(dtype, "x.put(i, ({}).toByte())")
    steps = np.diff(table, axis=0)
    if table.dtype.kind in "iu" and np.all(steps == steps[0, 0]) and np.all(table[0] == table[0, 0]):
        factor, offset = int(steps[0, 0]), int(table[0, 0])
        said = f"{{}}{f' * {factor}' if factor != 1 else ''}{_signed(offset)}"
        number = said.format("p")
        return Feeding(
            python=f"({said.format('x.astype(np.int32)')}).astype(np.{dtype})",
            cpp=f"static_cast<{CPP[dtype]}>({number})",
            kotlin=kotlin.format(number),
            words=f"{said.format('pixel')}, a whole number: nothing is rounded",
            constants={},
        )
    constants = {"MEAN": contract.mean, "SCALE": contract.scale}
    if facts["scale"] is None:
        floats = contract.dtype == "float32"
        return Feeding(
            python=f"((x.astype(np.float32) - MEAN) / SCALE).astype(np.{dtype})"
            if floats
            else f"x.astype(np.{dtype})",
            cpp="(p - MEAN[c]) / SCALE[c]" if floats else f"{CPP[dtype]}(p)",
            kotlin=kotlin.format("(p - MEAN[c]) / SCALE[c]" if floats else "p.toFloat()"),
            words="(pixel - mean) / scale" if floats else "the pixel itself",
            constants=constants if floats else {},
        )
    step = repr(float(facts["scale"]))
    zero = float(facts["zero_point"]) - float(facts.get("pixel_shift") or 0)
    bounds = np.iinfo(dtype)
    return Feeding(
        python=f"np.clip(np.rint(((x.astype(np.float32) - MEAN) / SCALE).astype(np.float64) / {step} "
        f"+ {zero}), {bounds.min}, {bounds.max}).astype(np.{dtype})",
        cpp=f"static_cast<{CPP[dtype]}>(std::clamp(std::nearbyint(double((p - MEAN[c]) / SCALE[c]) / {step} "
        f"+ {zero}), {bounds.min}.0, {bounds.max}.0))",
        kotlin=kotlin.format(
            f"kotlin.math.round(((p - MEAN[c]) / SCALE[c]).toDouble() / {step} + {zero})"
            f".coerceIn({bounds.min}.0, {bounds.max}.0).toInt()"
        ),
        words=f"round((pixel - mean) / scale / {step} + {zero:g}), cut to {bounds.min} .. {bounds.max}",
        constants=constants,
    )


def reading(facts: Mapping[str, Any]) -> Mapping[str, str]:
    """How the output's number at the place ``i`` is read, as a float: ``cpp`` and ``kotlin``."""
    dtype = str(facts["dtype"])
    number = _GET.get(dtype, "y.get(i).toInt()")
    stored = {
        "cpp": "static_cast<float>(y[i])",
        "kotlin": number if dtype == "float32" else f"{number}.toFloat()",
    }
    if facts["scale"] is None:
        return stored
    zero, step = int(facts["zero_point"]), float(facts["scale"])
    return {name: f"({text} - {zero}.0f) * {step!r}f" for name, text in stored.items()}


def _signed(offset: int) -> str:
    return f" {'-' if offset < 0 else '+'} {abs(offset)}" if offset else ""


def _table(contract: Contract, facts: Mapping[str, Any]) -> NDArray[Any]:
    """(256, 3) what each pixel becomes, per colour."""
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    values = ramp if contract.dtype == "uint8" else contract.normalise(ramp)
    return stored_input(values, {**facts, "shape": ramp.shape})
