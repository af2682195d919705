"""Reductions along axes, the largest and smallest along one, and running sums."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from mosaic_deploy.probing.form import Form
from mosaic_deploy.probing.sketch import Sketch, UnfitError, Value, Wire

_TELLS = (
    "parameters_are_constant",
    "only_last_axis_is_reduced",
    "only_channels_are_reduced",
    "only_height_and_width_are_reduced",
    "batch_is_not_reduced",
)
_AXES_AS_INPUT = {"ReduceSum": 13}
_MORE = (
    "none", "ends", "first", "second-last", "last-counted", "spatial-from-end", "channels-up", "every",
    "channels", "last",
)  # fmt: skip
_RANGES = {"ReduceProd": (0.85, 1.15), "ReduceLogSum": (0.5, 3.0)}


def _over(rank: int, kind: str) -> list[int] | None:
    """Return the axes that a word means; raises ``UnfitError`` where the rank has none such."""
    if kind in ("spatial", "spatial-from-end", "channels", "channels-up") and rank < 3:
        raise UnfitError(f"rank {rank} has no {kind}")
    words: dict[str, list[int] | None] = {
        "spatial": list(range(2, rank)),
        "spatial-from-end": list(range(2 - rank, 0)),
        "channels": [1],
        "channels-up": list(range(1, rank)),
        "last": [-1],
        "last-counted": [rank - 1],
        "first": [0],
        "ends": [0, rank - 1] if rank > 1 else [0],
        "second-last": [max(rank - 2, 0)],
        "every": list(range(rank)),
        "none": None,
    }
    return words[kind]


def _reduced(op: str) -> Callable[[Sketch], None]:
    low, high = _RANGES.get(op, (-3.0, 3.0))

    def draw(s: Sketch) -> None:
        x = s.data(low=low, high=high)
        axes, keep = _over(x.rank, s["over"]), s["keepdims"]
        if axes is None or s.since(op) < _AXES_AS_INPUT.get(op, 18):
            s.node(op, [x], axes=axes, keepdims=keep)
        else:
            s.node(op, [x, s.constant(axes, "int64")], keepdims=keep)

    return draw


def _untouched(op: str) -> Callable[[Sketch], None]:
    """No axes, and the word that then none is meant."""

    def draw(s: Sketch) -> None:
        s.node(op, [s.data()], noop_with_empty_axes=1)

    return draw


def _reduction(op: str, *, rich: bool) -> tuple[Form, ...]:
    more = {"over": _MORE}
    rows: dict[str, tuple[Value, ...]] = {"over": _MORE, "keepdims": (0,)}
    if not rich:
        return (
            Form(op, "images", _reduced(op), (4,), axes={"over": ("spatial", "channels"), "keepdims": (1, 0)},
                 more=more, discriminators=_TELLS),
            Form(op, "rows", _reduced(op), (3,), axes={"over": ("last",), "keepdims": (1,)}, more=rows,
                 discriminators=_TELLS),
        )  # fmt: skip
    return (
        Form(op, "images", _reduced(op), (4,),
             axes={"over": ("spatial", "channels", "last", "none"), "keepdims": (1, 0)}, more=more,
             discriminators=_TELLS),
        Form(op, "rows", _reduced(op), (2, 3),
             axes={"over": ("last",), "keepdims": (1, 0)}, more=more, discriminators=_TELLS),
        Form(op, "from-end", _reduced(op), (4,),
             axes={"over": ("spatial-from-end", "channels-up"), "keepdims": (1, 0)}, more=more,
             discriminators=_TELLS),
    )  # fmt: skip


def _whole(op: str) -> Form:
    more = {"over": ("first", "every", "none"), "keepdims": (0,)}
    return Form(op, "integers", _reduced(op), (4,), ("int32", "int64"),
                axes={"over": ("last",), "keepdims": (1,)}, more=more,
                discriminators=_TELLS, least=13)  # fmt: skip


def distinct(s: Sketch, axis: int) -> Wire:
    """Draw data without ties along an axis, as far apart as its length allows; not in a chain."""
    if s.dtype == "bool":
        raise UnfitError("bools have ties")
    x = s.data(low=-2.9)
    s.place(axis)
    order = np.argsort(np.argsort(s.rng.random(x.shape), axis), axis)
    if np.dtype(x.dtype).kind == "f":
        s.feeds[x.name] = np.asarray(order * (6.0 / max(x.shape[axis] - 1, 1)) - 3.0, x.dtype)
    else:
        s.feeds[x.name] = np.asarray(order, x.dtype)
    return x


def _index_of(op: str, *, last: bool) -> Callable[[Sketch], None]:
    def draw(s: Sketch) -> None:
        x = distinct(s, s["axis"])
        s.node(op, [x], axis=s["axis"], keepdims=s["keepdims"], select_last_index=1 if last else None)

    return draw


def _indices(op: str) -> tuple[Form, ...]:
    axes = {"axis": (1, -1, 3), "keepdims": (1, 0)}
    more = {"axis": (0, 2, -2, -3)}
    return (
        Form(op, "first", _index_of(op, last=False), (2, 3, 4) if op == "ArgMax" else (4,), axes=axes,
             more=more, discriminators=("axis_is_last",)),
        Form(op, "last", _index_of(op, last=True), (4,), axes=axes, more=more,
             discriminators=("axis_is_last",), least=12),
        Form(op, "integers", _index_of(op, last=False), (4,), ("int32",),
             axes={"axis": (1,), "keepdims": (1, 0)},
             more=more, discriminators=("axis_is_last",), least=13),
    )  # fmt: skip


def _running(s: Sketch) -> None:
    x = s.data()
    s.place(s["axis"])
    axis = s.constant(np.asarray(s["axis"]), "int64")
    s.node("CumSum", [x, axis], exclusive=s["exclusive"], reverse=s["reverse"])


def _top(s: Sketch) -> None:
    since, axis = s.since("TopK"), s["axis"]
    if since < 11 and (s["largest"] != 1 or axis < -1):
        raise UnfitError("only the largest, until version 11")
    x = distinct(s, axis)
    if s["k"] > x.shape[axis]:
        raise UnfitError("the axis is shorter than k")
    if since < 10:
        s.node("TopK", [x], outputs=2, k=s["k"], axis=axis)
    else:
        k = s.constant([s["k"]], "int64")
        s.node("TopK", [x, k], outputs=2, axis=axis, largest=s["largest"] if since >= 11 else None)


def _each(ops: Sequence[str], *, rich: bool) -> tuple[Form, ...]:
    return tuple(form for op in ops for form in _reduction(op, rich=rich))


FORMS = (
    *_each(("ReduceMean", "ReduceSum", "ReduceMax"), rich=True),
    *_each(
        (
            "ReduceMin",
            "ReduceProd",
            "ReduceL1",
            "ReduceL2",
            "ReduceLogSum",
            "ReduceLogSumExp",
            "ReduceSumSquare",
        ),
        rich=False,
    ),
    *(_whole(op) for op in ("ReduceSum", "ReduceMax", "ReduceMin")),
    *(Form(op, "untouched", _untouched(op), (4,), least=18 if op != "ReduceSum" else 13)
      for op in ("ReduceSum", "ReduceMean")),
    *_indices("ArgMax"),
    *_indices("ArgMin"),
    Form("CumSum", "plain", _running, (3,), axes={"axis": (1, -1), "exclusive": (0, 1), "reverse": (0, 1)},
         more={"axis": (0, -2)}, discriminators=("axis_input_is_last",)),
    Form("CumSum", "integers", _running, (2,), ("int32", "int64"),
         axes={"axis": (1,), "exclusive": (0,), "reverse": (0,)},
         more={"axis": (0, -1), "exclusive": (1,), "reverse": (1,)}, discriminators=("axis_input_is_last",)),
    Form("TopK", "plain", _top, (2, 4), axes={"axis": (-1, 1), "k": (3,), "largest": (1, 0)},
         more={"axis": (0, 2), "k": (1, 5, 8)}, discriminators=("axis_is_last", "parameters_are_constant")),
)  # fmt: skip
