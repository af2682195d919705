"""Arithmetic: functions of one input, and operators of two or more that broadcast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.probing.form import Form
from mosaic_deploy.probing.sketch import Sketch, UnfitError, Wire

BROADCAST = (
    "parameters_are_constant",
    "first_input_is_computed",
    "inputs_share_a_shape",
    "inputs_share_a_rank",
    "first_input_has_the_output_shape",
    "second_input_is_one_number",
    "stored_rows_have_every_axis",
)
"""What may decide on an operator that broadcasts."""


def partner(shape: tuple[int, ...], kind: str) -> tuple[int, ...]:
    """Return a shape that broadcasts against another; raises ``UnfitError`` where there is none of the kind.

    Args:
        shape: of the data.
        kind: ``same``; ``scalar`` of rank 0; ``one`` of the same rank; ``channel``, ``pixel`` (one per place)
            and ``row`` (one per last index) of the same rank; ``short-channel`` and ``short-row`` without
            the ones in front.
    """
    rank = len(shape)
    if rank < (3 if kind in ("channel", "pixel", "short-channel") else 1):
        raise UnfitError(f"rank {rank} has no {kind}")
    shapes = {
        "same": shape,
        "scalar": (),
        "one": (1,) * rank,
        "channel": (1, *shape[1:2], *(1,) * (rank - 2)),
        "short-channel": (*shape[1:2], *(1,) * (rank - 2)),
        "pixel": (1, 1, *shape[2:]),
        "row": (*(1,) * (rank - 1), shape[-1]),
        "short-row": shape[-1:],
    }
    return shapes[kind]


def off_edges(s: Sketch, *, edge: float = 0.0, low: int = -3, high: int = 2) -> Wire:
    """Draw data that keeps 0.2 away from ``edge`` plus any integer: from ``low`` to ``high + 1``."""
    if not s.dtype.startswith("float"):
        raise UnfitError("only fractions have edges")
    x = s.data(low=-2.9)
    whole = s.rng.integers(low, high + 1, x.shape)
    s.feeds[x.name] = np.asarray(whole + edge + s.rng.uniform(0.2, 0.8, x.shape), x.dtype)
    return x


def _amounts(s: Sketch, shape: tuple[int, ...], op: str = "") -> NDArray[Any]:
    """Draw numbers away from 0, of both signs: fit to divide by. For Max and Min, inside the data's range."""
    if op in ("Max", "Min"):
        whole = np.dtype(s.dtype).kind in "iu"
        drawn = s.rng.integers(1, 3, shape) if whole else s.rng.uniform(-1.5, 1.5, shape)
        return np.asarray(drawn, s.dtype)
    if np.dtype(s.dtype).kind in "iu":
        drawn = s.rng.integers(1, 4, shape)
        return np.asarray(drawn if s.dtype[0] == "u" else drawn * s.rng.choice([-1, 1], shape), s.dtype)
    return np.asarray(s.rng.uniform(0.5, 3.0, shape) * s.rng.choice([-1.0, 1.0], shape), s.dtype)


# -- one input ----------------------------------------------------------------------------------------


def _unary(
    op: str, low: float = -3.0, high: float = 3.0, ranks: tuple[int, ...] = (3, 4)
) -> tuple[Form, ...]:
    def draw(s: Sketch) -> None:
        s.node(op, [s.data(low=low, high=high)])

    return (Form(op, "plain", draw, ranks),)


def _stepped(op: str, edge: float) -> Form:
    def draw(s: Sketch) -> None:
        s.node(op, [off_edges(s, edge=edge)])

    return Form(op, "plain", draw, (3, 4))


def _whole(op: str, dtypes: tuple[str, ...] = ("int32", "int64")) -> Form:
    def draw(s: Sketch) -> None:
        s.node(op, [s.data()])

    return Form(op, "integers", draw, (4,), dtypes, least=9 if op == "Sign" else 6)


_UNARY = (
    *_unary("Abs", ranks=(2, 3, 4, 5)),
    *_unary("Neg", ranks=(2, 3, 4, 5)),
    *_unary("Exp", ranks=(2, 3, 4, 5)),
    *_unary("Log", 0.5, 3.0, (2, 3, 4, 5)),
    *_unary("Sqrt", 0.3, 3.0, (2, 3, 4, 5)),
    *_unary("Reciprocal", 0.5, 3.0, (2, 3, 4, 5)),
    *_unary("Sin"),
    *_unary("Cos"),
    *_unary("Tan", -1.1, 1.1),
    *_unary("Asin", -0.9, 0.9),
    *_unary("Acos", -0.9, 0.9),
    *_unary("Atan"),
    *_unary("Sinh", ranks=(4,)),
    *_unary("Cosh", ranks=(4,)),
    *_unary("Asinh", ranks=(4,)),
    *_unary("Acosh", 1.2, 4.0, (4,)),
    *_unary("Atanh", -0.9, 0.9, (4,)),
    _stepped("Floor", 0.0),
    _stepped("Ceil", 0.0),
    _stepped("Round", 0.5),
    _stepped("Sign", 0.0),
    *(_whole(op) for op in ("Abs", "Neg", "Sign")),
)

# -- two inputs ---------------------------------------------------------------------------------------

_Draw = Callable[[Sketch], None]


def _same(op: str) -> _Draw:
    def draw(s: Sketch) -> None:
        x = s.data()
        other = s.input(x.shape, values=_amounts(s, x.shape, op))
        s.node(op, [x, other])

    return draw


def _constant(op: str) -> _Draw:
    def draw(s: Sketch) -> None:
        x = s.data()
        s.node(op, [x, s.constant(_amounts(s, partner(x.shape, s["other"]), op))])

    return draw


def _constant_first(op: str) -> _Draw:
    def draw(s: Sketch) -> None:
        divisor = op == "Div"
        x = s.data(low=0.5) if divisor and s.dtype == "float32" else s.data(low=1) if divisor else s.data()
        s.node(op, [s.constant(_amounts(s, partner(x.shape, s["other"]))), x])

    return draw


def _broadcast(op: str) -> _Draw:
    def draw(s: Sketch) -> None:
        x = s.data()
        shape = partner(x.shape, s["other"])
        s.node(op, [x, s.input(shape, values=_amounts(s, shape, op))])

    return draw


def _gate(op: str) -> _Draw:
    """One number per channel as the first input, an image as the second."""

    def draw(s: Sketch) -> None:
        shape = s.shape()
        x = s.data((*shape[:2], *(1,) * (len(shape) - 2)))
        if x.rank < 3 or any(side != 1 for side in x.shape[2:]):
            raise UnfitError("the data is no gate")
        image = (*x.shape[:2], *shape[2:])
        s.node(op, [x, s.input(image, values=_amounts(s, image, op))])

    return draw


def _two(op: str, *, least: int = 1, rich: bool = True, first: bool = True) -> tuple[Form, ...]:
    """The forms of an operator of two inputs.

    Args:
        op: the operator.
        least: oldest version that broadcasts.
        rich: whether networks use it with all kinds of second inputs.
        first: whether a constant can usefully come first.
    """
    many = {"other": ("channel", "scalar", "same") if rich else ("channel", "scalar")}
    few = {"other": ("channel", "pixel", "one") if rich else ("channel", "pixel")}
    short = {"other": ("short-channel", "short-row")}
    more = {"other": ("row", "short-channel", "short-row", "one", "pixel", "scalar")}
    forms = [
        Form(op, "same", _same(op), (2, 3, 4, 5) if rich else (3, 4), discriminators=BROADCAST),
        Form(op, "constant", _constant(op), (3, 4) if rich else (4,), axes=many, more=more,
             discriminators=BROADCAST, least=least),
        Form(op, "broadcast", _broadcast(op), (4,), axes=few, more=more, discriminators=BROADCAST,
             least=least),
        Form(op, "lower-rank", _constant(op), (3, 4), axes=short, more={"other": ("scalar",)},
             discriminators=BROADCAST, least=least),
        Form(op, "integers", _constant(op), (1, 4), ("int32", "int64"), axes={"other": ("scalar",)},
             more={"other": ("same", "one", "short-row")}, discriminators=BROADCAST,
             least=max(least, 12 if op in ("Max", "Min") else 7)),
    ]  # fmt: skip
    if first:
        axes = {"other": ("scalar", "channel")}
        forms.append(
            Form(
                op,
                "constant-first",
                _constant_first(op),
                (4,),
                axes=axes,
                more=more,
                discriminators=BROADCAST,
            )
        )
    if rich:
        forms.append(Form(op, "gate", _gate(op), (4,), discriminators=BROADCAST, least=least))
    if op in ("Add", "Mul"):
        forms.append(Form(op, "half", _same(op), (4,), ("float16",), discriminators=BROADCAST))
        forms.append(
            Form(
                op,
                "integers-computed",
                _same(op),
                (4,),
                ("int32", "int64"),
                discriminators=BROADCAST,
                least=14,
            )
        )
    return tuple(forms)


def _power(s: Sketch) -> None:
    s.node("Pow", [s.data(), s.constant(np.asarray(s["exponent"]))])


def _root(s: Sketch) -> None:
    s.node("Pow", [s.data(low=0.5), s.constant(np.asarray(s["exponent"]))])


def _power_computed(s: Sketch) -> None:
    x = s.data(low=0.5, high=2.5)
    shape = partner(x.shape, s["other"])
    s.node("Pow", [x, s.input(shape, low=0.5, high=2.5)])


_POW = (
    Form("Pow", "whole", _power, (2, 3, 4), axes={"exponent": (2.0, 3.0, 1.0)}, more={"exponent": (4.0,)},
         discriminators=("exponent_is_two_or_three", *BROADCAST)),
    Form("Pow", "root", _root, (4,), axes={"exponent": (0.5, -0.5)}, more={"exponent": (1.5, -1.0)},
         discriminators=("exponent_is_two_or_three", *BROADCAST)),
    Form("Pow", "computed", _power_computed, (4,), axes={"other": ("same", "channel")},
         more={"other": ("scalar", "one", "row")}, discriminators=("exponent_is_two_or_three", *BROADCAST)),
)  # fmt: skip


def _whole_data(s: Sketch) -> Wire:
    x = s.data()
    if np.dtype(x.dtype).kind not in "iu":
        raise UnfitError("remainders of floats need fmod")
    return x


def _mod(s: Sketch) -> None:
    x = _whole_data(s)
    shape = partner(x.shape, s["other"])
    amounts = np.abs(_amounts(s, shape)) + 1
    s.node("Mod", [x, s.constant(amounts)], fmod=s["fmod"])


def _mod_computed(s: Sketch) -> None:
    x = _whole_data(s)
    s.node("Mod", [x, s.input(x.shape, values=_amounts(s, x.shape))])


def _mod_fractions(s: Sketch) -> None:
    s.node("Mod", [off_edges(s), s.constant(np.asarray(s["divisor"]))], fmod=1)


_MOD = (
    Form("Mod", "constant", _mod, (1, 4), ("int32", "int64"), axes={"other": ("scalar",), "fmod": (0, 1)},
         more={"other": ("same", "channel")}, discriminators=BROADCAST),
    Form("Mod", "computed", _mod_computed, (4,), ("int32", "int64"), discriminators=BROADCAST),
    Form("Mod", "fractions", _mod_fractions, (4,), axes={"divisor": (1.0, 2.0)}, discriminators=BROADCAST),
)  # fmt: skip

# -- any number of inputs -----------------------------------------------------------------------------


def _several(op: str) -> Form:
    def draw(s: Sketch) -> None:
        x = s.data()
        s.node(op, [x, *(s.input(x.shape) for _ in range(s["count"] - 1))])

    return Form(op, "several", draw, (3, 4) if op in ("Sum", "Mean") else (4,),
                axes={"count": (2, 3, 1) if op in ("Sum", "Mean") else (3, 1)}, more={"count": (4,)},
                discriminators=("inputs_are_two", "inputs_are_several"))  # fmt: skip


FORMS = (
    *_UNARY,
    *(form for op in ("Add", "Mul") for form in _two(op)),
    *(form for op in ("Sub", "Div") for form in _two(op)),
    *(form for op in ("Max", "Min") for form in _two(op, least=8, rich=False, first=False)),
    *_POW,
    *_MOD,
    *(_several(op) for op in ("Sum", "Mean", "Max", "Min")),
)
