"""Activations: one input, one output, the same shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mosaic_deploy.probing.form import Form
from mosaic_deploy.probing.sketch import Sketch, UnfitError, Value, Wire

_RANKS = (1, 2, 3, 4, 5)
_IMAGES = (3, 4)
_BOUNDS: Mapping[str, tuple[float | None, float | None]] = {
    "relu6": (0.0, 6.0),
    "unit": (0.0, 1.0),
    "symmetric": (-1.0, 1.0),
    "from-zero": (0.0, None),
    "from-below": (-1.5, None),
    "to-two": (None, 2.0),
    "none": (None, None),
    "uneven": (-0.75, 2.25),
}


def _plain(op: str, ranks: tuple[int, ...] = _RANKS, dtypes: tuple[str, ...] = ("float32",)) -> Form:
    def draw(s: Sketch) -> None:
        s.node(op, [s.data()])

    return Form(op, "plain", draw, ranks, dtypes)


def _shaped(
    op: str,
    axes: Mapping[str, tuple[Value, ...]],
    more: Mapping[str, tuple[Value, ...]],
    ranks: tuple[int, ...] = _IMAGES,
    draws: Callable[[Sketch], Wire] = Sketch.data,
) -> Form:
    """An activation whose axes are its attributes."""

    def draw(s: Sketch) -> None:
        attributes: dict[str, Any] = s.values
        s.node(op, [draws(s)], **attributes)

    return Form(op, "plain", draw, ranks, axes=axes, more=more)


def _off_the_threshold(s: Sketch) -> Wire:
    """Draw data that keeps 0.2 away from where ThresholdedRelu jumps."""
    if s.dtype != "float32":
        raise UnfitError("the data is no float32")
    x = s.data(low=-2.75, high=2.75)
    held = s.feeds[x.name]
    s.feeds[x.name] = held + (held > s["alpha"]).astype(held.dtype) * 0.5 - held.dtype.type(0.25)
    return x


def _relu(s: Sketch) -> None:
    s.node("Relu", [s.data()])


def _prelu(s: Sketch) -> None:
    x = s.data()
    channels = x.shape[1] if x.rank > 1 else x.shape[0]
    shapes: Mapping[str, tuple[int, ...]] = {
        "channel": (channels, *(1,) * (x.rank - 2)),
        "one": (1,),
        "row": x.shape[-1:],
        "same": x.shape,
        "channel-with-batch": (1, channels, *(1,) * (x.rank - 2)),
    }
    slope = s.constant(s.rng.uniform(0.05, 0.5, shapes[s["slope"]]))
    s.node("PRelu", [x, slope])


def _prelu_computed(s: Sketch) -> None:
    x = s.data()
    s.node("PRelu", [x, s.input((x.shape[1], *(1,) * (x.rank - 2)), low=0.05, high=0.5)])


def _wide(s: Sketch) -> Wire:
    """Draw data that reaches beyond 6; in a chain, take what is there."""
    try:
        return s.data(low=-4.0, high=8.0)
    except UnfitError:
        return s.data()


def _clip_attributes(s: Sketch) -> None:
    if s.since("Clip") >= 11:
        raise UnfitError("bounds are inputs from version 11 on")
    low, high = _BOUNDS["relu6"]
    s.node("Clip", [_wide(s)], min=low, max=high)


def _clip(s: Sketch) -> None:
    x = _wide(s)
    low, high = (None if bound is None else s.constant(np.asarray(bound)) for bound in _BOUNDS[s["bounds"]])
    s.node("Clip", [x, low, high] if high else [x, low] if low else [x])


def _clip_integers(s: Sketch) -> None:
    x = s.data()
    least = -1 if np.dtype(x.dtype).kind != "u" else 1
    s.node("Clip", [x, s.constant(np.asarray(least)), s.constant(np.asarray(2))])


def _clip_computed(s: Sketch) -> None:
    low, high = s.input((), low=-2.0, high=-0.5), s.input((), low=0.5, high=2.0)
    s.node("Clip", [s.data(), low, high])


def _normalised(op: str) -> tuple[Form, ...]:
    """Softmax and its logarithm: along one axis; before version 13, along all axes from one on."""

    def draw(s: Sketch) -> None:
        x = s.data()
        s.place(s["axis"])
        s.node(op, [x], axis=s["axis"])

    def flattened(axis: int | None) -> Callable[[Sketch], None]:
        def draw(s: Sketch) -> None:
            if s.since(op) >= 13:
                raise UnfitError("the axis stands alone from version 13 on")
            x = s.data()
            s.node(op, [x], axis=x.rank - 1 if axis == -1 else axis)

        return draw

    more: Mapping[str, tuple[Value, ...]] = {"axis": (0, 3, -2, -3)}
    ranks = (2, 3, 4, 5) if op == "Softmax" else (3, 4)
    return (
        Form(op, "one-axis", draw, ranks, axes={"axis": (-1, 1, 2)}, more=more,
             discriminators=("axis_is_last",),
             least=13),
        Form(op, "flattened-from-last", flattened(-1), (2, 4), discriminators=("axis_is_last",)),
        Form(op, "flattened-from-channels", flattened(None), (3, 4), discriminators=("axis_is_last",)),
    )  # fmt: skip


def _dropout(s: Sketch) -> None:
    if s.since("Dropout") < 12:
        s.node("Dropout", [s.data()], ratio=0.5 if s["ratio"] == "stated" else None)
        return
    x = s.data()
    s.node("Dropout", [x] if s["ratio"] == "default" else [x, s.constant(np.asarray(0.5), "float32")])


def _dropout_mode(s: Sketch) -> None:
    x = s.data()
    training = s.constant(np.zeros(()), "bool")
    s.node("Dropout", [x, s.constant(np.asarray(0.5), "float32"), training])


FORMS = (
    *(_plain(op) for op in ("Sigmoid", "Tanh")),
    *(_plain(op, (2, 3, 4, 5)) for op in ("HardSwish", "Softplus", "Mish")),
    *(_plain(op, _IMAGES) for op in ("Softsign", "Erf")),
    _plain("Relu", (1, 2, 3, 4, 5, 6), ("float32",)),
    Form("Relu", "half", _relu, (4,), ("float16",)),
    Form("Relu", "integers", _relu, (4,), ("int32", "int8"), least=14),
    Form("Identity", "plain", lambda s: s.node("Identity", [s.data()]), (4,)),
    Form("Identity", "integers", lambda s: s.node("Identity", [s.data()]), (1,), ("int64",), least=13),
    _shaped("LeakyRelu", {"alpha": (0.01, 0.2, 1.5)}, {"alpha": (0.0, -0.3)}, (3, 4)),
    _shaped(
        "HardSigmoid",
        {"alpha": (0.2, 1 / 6), "beta": (0.5,)},
        {"alpha": (0.5, 0.25), "beta": (0.4, 0.0)},
        (2, 3, 4, 5),
    ),
    _shaped("Elu", {"alpha": (1.0, 0.5)}, {"alpha": (2.0, 0.1)}),
    _shaped("Celu", {"alpha": (1.0, 2.0)}, {"alpha": (0.5,)}),
    _shaped("Selu", {}, {}),
    Form("Selu", "other", lambda s: s.node("Selu", [s.data()], alpha=1.0, gamma=1.2), (4,)),
    _shaped("ThresholdedRelu", {"alpha": (1.0, 0.5)}, {"alpha": (0.0, -0.5)}, draws=_off_the_threshold),
    _shaped("Gelu", {"approximate": ("none", "tanh")}, {}, (2, 3, 4, 5)),
    _shaped("Swish", {"alpha": (1.0, 1.702)}, {"alpha": (0.5,)}, (2, 3, 4, 5)),
    Form("PRelu", "constant", _prelu, (2, 3, 4), axes={"slope": ("channel", "one", "same")},
         more={"slope": ("row", "channel-with-batch")},
         discriminators=(
             "parameters_are_constant", "second_input_is_one_per_channel", "inputs_share_a_shape"
         )),
    Form("PRelu", "computed", _prelu_computed, (4,), discriminators=("parameters_are_constant",)),
    Form("Clip", "attributes", _clip_attributes, (3, 4)),
    Form("Clip", "constant", _clip, (3, 4, 5),
         axes={"bounds": ("relu6", "unit", "from-zero", "to-two")},
         more={"bounds": ("symmetric", "from-below", "none", "uneven")},
         discriminators=("parameters_are_constant",), least=11),
    Form("Clip", "integers", _clip_integers, (1, 4), ("int64", "int32"),
         discriminators=("parameters_are_constant",),
         least=12),
    Form("Clip", "computed", _clip_computed, (4,), discriminators=("parameters_are_constant",), least=11),
    *_normalised("Softmax"),
    *_normalised("LogSoftmax"),
    Form("Dropout", "inference", _dropout, (4,), axes={"ratio": ("default", "stated")}),
    Form("Dropout", "mode-stated", _dropout_mode, (4,), least=12),
)  # fmt: skip
