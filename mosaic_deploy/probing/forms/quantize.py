"""Quantisation: QuantizeLinear and DequantizeLinear as the model's own nodes.

Data is drawn at most 0.3 steps from a whole step, so that no rounding decides. In a chain it is what is
there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.probing.form import Form
from mosaic_deploy.probing.sketch import Sketch, UnfitError, Wire

_ZERO = {"uint8": 120, "int8": -7, "uint16": 31_000, "int16": 0, "int32": 0}
"""Zero point by type; symmetrical types as exporters write them, the 8-bit ones not."""


def _step(dtype: str) -> float:
    """Scale at which numbers between -3 and 3 fill an integer type."""
    return 3.1 / 2 ** (8 * np.dtype(dtype).itemsize - 1) if dtype != "int32" else 1e-4


def _along(scales: NDArray[np.float64], rank: int, place: int) -> NDArray[np.float64]:
    """The scales of an axis, shaped to multiply data of that rank."""
    sides = [1] * rank
    sides[place] = -1
    return scales.reshape(sides)


def _scales(s: Sketch, count: int, dtype: str) -> NDArray[np.float64]:
    return _step(dtype) * s.rng.uniform(0.7, 1.6, count)


def _real(s: Sketch, shape: tuple[int, ...], scale: NDArray[np.float64] | float) -> Wire:
    """Numbers near whole steps of a scale."""
    if s.chained:
        return s.data()
    steps = np.rint(s.rng.uniform(-3, 3, shape) / scale)
    return s.input(shape, values=(steps + s.rng.uniform(-0.3, 0.3, shape)) * scale)


def _integers(s: Sketch, shape: tuple[int, ...]) -> Wire:
    if s.chained:
        return s.data()
    kind = np.iinfo(s.dtype)
    low, high = max(kind.min, -(2**15)), min(kind.max, 2**16 - 1)
    return s.input(shape, values=s.rng.integers(low, high + 1, shape))


def _opset_has(s: Sketch, op: str, dtype: str) -> None:
    if dtype in ("uint16", "int16") and s.since(op) < 21:
        raise UnfitError(f"{dtype} before version 21")


def _shape(s: Sketch) -> tuple[int, ...]:
    """Shape of the data to be drawn, or of what is there."""
    return s.data().shape if s.chained else s.shape()


def _quantize(s: Sketch) -> None:
    to = s["to"]
    _opset_has(s, "QuantizeLinear", to)
    scale = _step(to)
    x = _real(s, _shape(s), scale)
    zero = _ZERO[to] if s.values.get("zero", "given") == "given" else 0
    s.node("QuantizeLinear", [x, s.constant(scale, "float32"), s.constant(zero, to)])


def _quantize_bare(s: Sketch) -> None:
    """Without a zero point: to uint8, or from version 21 on to what the node says."""
    to = s["to"]
    named = s.since("QuantizeLinear") >= 21
    if not named and to != "uint8":
        raise UnfitError("only uint8 is the default")
    _opset_has(s, "QuantizeLinear", to)
    scale = _step(to)
    x = _real(s, _shape(s), scale)
    s.node(
        "QuantizeLinear", [x, s.constant(scale, "float32")],
        output_dtype=_onnx_type(to) if named and to != "uint8" else None,
    )  # fmt: skip


def _onnx_type(dtype: str) -> int:
    import onnx

    return int(onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def _quantize_channels(s: Sketch) -> None:
    to, axis = s["to"], s["axis"]
    _opset_has(s, "QuantizeLinear", to)
    place, shape = s.place(axis), _shape(s)
    scales = _scales(s, shape[place], to)
    x = _real(s, shape, _along(scales, len(shape), place))
    zeros = np.full(shape[place], _ZERO[to])
    s.node("QuantizeLinear", [x, s.constant(scales, "float32"), s.constant(zeros, to)], axis=axis)


def _dequantize(s: Sketch) -> None:
    _opset_has(s, "DequantizeLinear", s.dtype)
    x = _integers(s, _shape(s))
    if s.dtype not in _ZERO:
        raise UnfitError(f"{s.dtype} stands for no numbers")
    inputs = [x, s.constant(_step(s.dtype), "float32")]
    if s["zero"] == "given":
        inputs.append(s.constant(_ZERO[s.dtype]))
    s.node("DequantizeLinear", inputs)


def _dequantize_channels(s: Sketch) -> None:
    _opset_has(s, "DequantizeLinear", s.dtype)
    if s.dtype not in _ZERO:
        raise UnfitError(f"{s.dtype} stands for no numbers")
    place = s.place(s["axis"])
    x = _integers(s, _shape(s))
    scales = _scales(s, x.shape[place], s.dtype)
    zeros = np.full(x.shape[place], _ZERO[s.dtype])
    s.node(
        "DequantizeLinear", [x, s.constant(scales, "float32"), s.constant(zeros)], axis=s["axis"]
    )  # fmt: skip


_BYTES, _WORDS = ("uint8", "int8"), ("uint16", "int16")
_RANKS = (1, 2, 3, 4)
_TELLS = ("scale_is_one_number", "parameters_are_constant")

FORMS: tuple[Form, ...] = (
    Form("QuantizeLinear", "bytes", _quantize, _RANKS, quantized=False, axes={"to": _BYTES},
         more={"to": _WORDS}, discriminators=_TELLS),
    Form("QuantizeLinear", "words", _quantize, (2, 3, 4), quantized=False, axes={"to": _WORDS},
         discriminators=_TELLS,
         least=21),
    Form("QuantizeLinear", "zero", _quantize, quantized=False, axes={"to": _BYTES, "zero": ("zero",)},
         more={"to": _WORDS}, discriminators=_TELLS),
    Form("QuantizeLinear", "bare", _quantize_bare, quantized=False, axes={"to": ("uint8",)},
         more={"to": ("int8", *_WORDS)}, discriminators=_TELLS),
    Form("QuantizeLinear", "named", _quantize_bare, quantized=False, axes={"to": ("int8", *_WORDS)},
         discriminators=_TELLS, least=21),
    Form("QuantizeLinear", "channels", _quantize_channels, (2, 4), quantized=False,
         axes={"to": _BYTES, "axis": (1, -1)}, more={"to": _WORDS, "axis": (0, 2, -2)}, discriminators=_TELLS,
         least=13),
    Form("QuantizeLinear", "channels of words", _quantize_channels, quantized=False,
         axes={"to": _WORDS, "axis": (1, -1)}, more={"axis": (0, 2)}, discriminators=_TELLS, least=21),
    Form("DequantizeLinear", "bytes", _dequantize, _RANKS, _BYTES, quantized=False,
         axes={"zero": ("given", "left out")}, discriminators=_TELLS),
    Form("DequantizeLinear", "sums", _dequantize, (1, 4), ("int32",), quantized=False,
         axes={"zero": ("left out", "given")}, discriminators=_TELLS),
    Form("DequantizeLinear", "words", _dequantize, (2, 3, 4), _WORDS, quantized=False,
         axes={"zero": ("given",)}, more={"zero": ("left out",)}, discriminators=_TELLS, least=21),
    Form("DequantizeLinear", "channels", _dequantize_channels, (2, 4), _BYTES, quantized=False,
         axes={"axis": (1, -1)}, more={"axis": (0, 2, -2)}, discriminators=_TELLS, least=13),
    Form("DequantizeLinear", "channels of words", _dequantize_channels, (4,), _WORDS, quantized=False,
         axes={"axis": (1, -1)}, more={"axis": (0, 2)}, discriminators=_TELLS, least=21),
)  # fmt: skip
