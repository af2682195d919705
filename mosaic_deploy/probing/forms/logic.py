"""Comparisons, logic, choices and conversions between types."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mosaic_deploy.probing.form import Form
from mosaic_deploy.probing.forms.arithmetic import BROADCAST, off_edges, partner
from mosaic_deploy.probing.sketch import Sketch, UnfitError, Wire

_MORE = {"other": ("one", "row", "short-channel", "short-row")}

# -- comparisons --------------------------------------------------------------------------------------


def _steps(s: Sketch, wire: Wire) -> Wire:
    """Give an input whole numbers from -3 to 3, both among them: ties stay ties when quantised."""
    held = np.asarray(s.rng.integers(-3, 4, wire.shape)).reshape(-1)
    held[0], held[-1] = -3, 3
    s.feeds[wire.name] = np.asarray(held if held.size > 1 else held * 0, wire.dtype).reshape(wire.shape)
    return wire


def _compared(s: Sketch) -> Wire:
    if s.dtype == "bool":
        raise UnfitError("bools are compared in a form of their own")
    return _steps(s, s.data(low=-2.9))


def _comparison(op: str) -> tuple[Form, ...]:
    def computed(s: Sketch) -> None:
        x = _compared(s)
        shape = partner(x.shape, s["other"])
        s.node(op, [x, _steps(s, s.input(shape))])

    def constant(s: Sketch) -> None:
        s.node(op, [_compared(s), s.constant(np.zeros(()))])

    def per_channel(s: Sketch) -> None:
        x = _compared(s)
        s.node(op, [x, s.constant(s.rng.integers(-2, 3, partner(x.shape, "channel")))])

    computed_axis = {"other": ("same", "channel")}
    return (
        Form(op, "computed", computed, (4,), axes=computed_axis, more=_MORE, discriminators=BROADCAST),
        Form(op, "constant", constant, (3, 4), discriminators=BROADCAST),
        Form(op, "constant-per-channel", per_channel, (4,), quantized=False, discriminators=BROADCAST),
        Form(op, "integers", constant, (2,), ("int32", "int64"), discriminators=BROADCAST,
             least={"Equal": 7, "Greater": 9, "Less": 9}.get(op, 12)),
        Form(op, "integers-computed", computed, (4,), ("int32", "int64"), axes={"other": ("same",)},
             more={"other": ("channel", *_MORE["other"])}, discriminators=BROADCAST,
             least={"Equal": 13, "Greater": 13, "Less": 13}.get(op, 16)),
    )  # fmt: skip


# -- logic --------------------------------------------------------------------------------------------


_SHAPES = ("inputs_share_a_shape", "inputs_share_a_rank", "first_input_has_the_output_shape")


def _logic(op: str) -> Form:
    def draw(s: Sketch) -> None:
        x = s.data()
        s.node(op, [x, s.input(partner(x.shape, s["other"]))])

    return Form(op, "computed", draw, (2, 3, 4, 5), ("bool",), axes={"other": ("same", "row")},
                more={"other": ("one", "channel", "pixel", "short-row")},
                discriminators=_SHAPES)  # fmt: skip


def _not(s: Sketch) -> None:
    s.node("Not", [s.data()])


def _is_nan(s: Sketch) -> None:
    s.node("IsNaN", [_with(s, (np.nan,))])


def _is_inf(s: Sketch) -> None:
    x = _with(s, (np.inf, -np.inf))
    sign = s["sign"]
    s.node("IsInf", [x], detect_negative=int(sign != "positive"), detect_positive=int(sign != "negative"))


def _with(s: Sketch, oddities: tuple[float, ...]) -> Wire:
    """Draw data of which a tenth is odd; in a chain, take what is there."""
    x = s.data()
    if x.name in s.feeds and x.dtype.startswith("float"):
        held = s.feeds[x.name].copy().reshape(-1)
        for at, oddity in enumerate(oddities):
            held[at::10] = oddity
        s.feeds[x.name] = held.reshape(x.shape)
    return x


# -- Where --------------------------------------------------------------------------------------------


def _where(s: Sketch) -> None:
    x = s.data()
    mask = s.input(partner(x.shape, s["mask"]), dtype="bool")
    s.node("Where", [mask, x, s.input(x.shape)])


def _where_filled(s: Sketch) -> None:
    """A mask that puts one constant where it holds, or where it does not."""
    x = s.data()
    mask = s.input(partner(x.shape, s["mask"]), dtype="bool")
    fill = s.constant(np.asarray(-2.0 if s["fill"] == "small" else -1e4).reshape(()))
    s.node("Where", [mask, fill, x] if s["kept"] == "last" else [mask, x, fill])


def _where_fixed(s: Sketch) -> None:
    """A mask that is stored."""
    x = s.data()
    mask = s.constant(s.rng.random(partner(x.shape, s["mask"])) < 0.5, "bool")
    s.node("Where", [mask, x, s.input(x.shape)])


def _where_chosen(s: Sketch) -> None:
    """Two constants to choose from: a conversion of a mask to numbers."""
    mask = s.data()
    if mask.dtype != "bool":
        raise UnfitError("the data is no mask")
    s.node("Where", [mask, s.constant(np.ones(()), "float32"), s.constant(np.zeros(()), "float32")])


_WHERE_TELLS = (
    "first_input_is_computed",
    "inputs_are_computed",
    "first_input_has_the_output_shape",
    "inputs_share_a_rank",
)
_WHERE = (
    Form("Where", "computed", _where, (3, 4, 5), axes={"mask": ("same", "row")},
         more={"mask": ("pixel", "channel", "one", "short-row")}, discriminators=_WHERE_TELLS),
    Form("Where", "filled", _where_filled, (3, 4),
         axes={"mask": ("same", "row"), "kept": ("first", "last"), "fill": ("small",)},
         more={"mask": ("pixel", "channel"), "fill": ("large",)}, discriminators=_WHERE_TELLS),
    Form("Where", "fixed", _where_fixed, (4,), axes={"mask": ("same",)}, more={"mask": ("pixel", "row")},
         discriminators=_WHERE_TELLS),
    Form("Where", "chosen", _where_chosen, (3, 4), ("bool",), discriminators=_WHERE_TELLS),
    Form("Where", "integers", _where, (4,), ("int32", "int64"), axes={"mask": ("same",)},
         more={"mask": ("row", "one")}, discriminators=_WHERE_TELLS),
)  # fmt: skip

# -- Cast ---------------------------------------------------------------------------------------------


def _to(s: Sketch, x: Wire) -> None:
    import onnx

    s.node("Cast", [x], to=onnx.helper.np_dtype_to_tensor_dtype(np.dtype(s["to"])))


def _cast_fractions(s: Sketch) -> None:
    """From fractions: to whole numbers none of which is near another, to fractions any."""
    if np.dtype(s["to"]).kind == "f":
        _to(s, s.data())
    else:
        x = off_edges(s, low=0 if s["to"][0] == "u" else -3)
        if s["to"] == "bool":
            s.feeds[x.name] = s.feeds[x.name] * (s.rng.random(x.shape) < 0.6)
        _to(s, x)


def _cast_whole(s: Sketch) -> None:
    _to(s, s.data(low=0) if s["to"][0] == "u" and s.dtype[0] != "b" else s.data())


def _cast(
    name: str, dtypes: tuple[str, ...], ranks: tuple[int, ...], to: tuple[str, ...], more: tuple[str, ...]
) -> Form:
    draw = _cast_fractions if dtypes[0].startswith("float") else _cast_whole
    axes: Mapping[str, tuple[str, ...]] = {"to": to}
    return Form("Cast", name, draw, ranks, dtypes, quantized=False, axes=axes, more={"to": more}, least=13)


_CAST = (
    _cast("from-float", ("float32",), (1, 3, 4),
          ("float16", "int32", "int64", "uint8", "int8", "bool"),
          ("float32", "float64", "int16", "uint16")),
    _cast("from-half", ("float16",), (4,), ("float32",), ("int32", "float16", "bool")),
    _cast("from-integers", ("int32", "int64"), (1, 4), ("float32", "int64", "int32", "uint8", "bool"),
          ("float16", "int8", "int16", "float64")),
    _cast("from-bytes", ("uint8", "int8"), (4,), ("float32", "int32", "int64"),
          ("float16", "bool", "uint8", "int8")),
    _cast("from-bool", ("bool",), (3, 4), ("float32", "int32", "int64", "uint8"),
          ("float16", "int8", "bool")),
)  # fmt: skip

FORMS = (
    *(
        form
        for op in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
        for form in _comparison(op)
    ),
    *(_logic(op) for op in ("And", "Or", "Xor")),
    Form("Not", "plain", _not, (1, 2, 3, 4, 5), ("bool",)),
    Form("IsNaN", "plain", _is_nan, (3, 4), quantized=False),
    Form("IsInf", "plain", _is_inf, (4,), quantized=False, axes={"sign": ("both", "positive", "negative")}),
    *_WHERE,
    *_CAST,
)  # fmt: skip
