"""Number formats of networks."""

from __future__ import annotations

from typing import Literal

Precision = Literal["float", "w8a8", "w8a16"]
"""The model as it is, or as a recipe with 8-bit weights and 8- or 16-bit activations will leave it."""

Integers = Literal["uint8", "uint16", "int8", "int16", "int32"]

DType = Literal[
    "float32", "float16", "bfloat16", "float64", "int8", "int16", "int32", "int64",
    "uint8", "uint16", "uint32", "uint64", "bool",
]  # fmt: skip
