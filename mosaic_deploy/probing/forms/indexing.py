"""Indexing: operators that pick or place values by integer indices, stored or computed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.probing.form import Form
from mosaic_deploy.probing.sketch import Sketch, UnfitError, Wire

_Indices = NDArray[np.int64]


def _held(s: Sketch, indices: _Indices, dtype: str = "int64") -> Wire:
    """Indices as the form's axis ``indices`` wants them: stored, or an input of the network."""
    if s.values.get("indices", "constant") == "constant":
        return s.constant(indices, dtype)
    return s.input(indices.shape, dtype=dtype, values=indices)


def _drawn(s: Sketch, side: int, shape: Sequence[int]) -> _Indices:
    return np.asarray(s.rng.integers(0, side, tuple(shape)), np.int64)


def _length(s: Sketch, plain: int) -> int:
    return int(s.rng.integers(1, 13)) if s.random else plain


# -- picking --------------------------------------------------------------------------------------


def _gather(s: Sketch) -> None:
    axis = s["axis"]
    place = s.place(axis)
    x = s.data()
    side = x.shape[place]
    shapes = {
        "list": (_length(s, 5),),
        "scalar": (),
        "matrix": (2, _length(s, 3)),
        "one": (1,),
        "cube": (2, 1, _length(s, 3)),
    }
    picked: str = s["shape"] if "shape" in s.values else "list"
    if picked == "scalar" and x.rank == 1:
        raise UnfitError("nothing would be left of the shape")
    if picked == "reversed":
        indices: _Indices = np.arange(side - 1, -1, -1, dtype=np.int64)
    elif picked == "negative":
        indices = _drawn(s, side, shapes["list"]) - side
    else:
        indices = _drawn(s, side, shapes[picked])
    if s.since("Gather") < 11 and (axis < 0 or picked == "negative"):
        raise UnfitError("counted from the end")
    kind: str = s["type"] if "type" in s.values else "int64"
    s.node("Gather", [x, _held(s, indices, kind)], axis=axis)


def _gather_rows(s: Sketch) -> None:
    """Pick rows of a stored table: the data is the indices."""
    rows = s["rows"]
    indices = s.data(low=0, high=rows - 1)
    table = s.constant(s.rng.normal(0, 1, (rows, 8)), "float32")
    s.node("Gather", [table, indices])


def _gather_elements(s: Sketch) -> None:
    axis = s["axis"]
    place = s.place(axis)
    x = s.data()
    shape = list(x.shape)
    shape[place] = {"fewer": max(1, shape[place] // 2), "same": shape[place], "more": shape[place] + 3}[
        s["length"]
    ]
    s.node("GatherElements", [x, _held(s, _drawn(s, x.shape[place], shape))], axis=axis)


def _tuples(s: Sketch, sides: Sequence[int], shape: Sequence[int]) -> _Indices:
    """Index tuples into the leading sides."""
    return np.stack([_drawn(s, side, shape) for side in sides], axis=-1)


def _gather_nd(s: Sketch) -> None:
    x = s.data()
    depth: int = s["depth"]
    if depth > x.rank:
        raise UnfitError(f"{depth} indices into rank {x.rank}")
    shape = (_length(s, 6),) if s["shape"] == "list" else (2, _length(s, 3))
    s.node("GatherND", [x, _held(s, _tuples(s, x.shape[:depth], shape))])


def _gather_nd_batched(s: Sketch) -> None:
    x = s.data()
    batch: int = s["batch"]
    if batch + 1 > x.rank:
        raise UnfitError(f"{batch} batch axes of {x.rank}")
    shape = (*x.shape[:batch], _length(s, 4))
    s.node("GatherND", [x, _held(s, _tuples(s, x.shape[batch : batch + 1], shape))], batch_dims=batch)


# -- placing --------------------------------------------------------------------------------------


def _reduction(s: Sketch, op: str) -> str | None:
    """Name of the reduction, where the operator's version has it."""
    reduction = s.values.get("reduction")
    if reduction is None:
        return None
    if s.since(op) < (18 if reduction in ("max", "min") else 16):
        raise UnfitError(f"'{reduction}' in an old version")
    return str(reduction)


def _updates(s: Sketch, shape: Sequence[int]) -> Wire:
    return s.weights(shape) if s.values.get("updates") == "constant" else s.input(shape)


def _scatter_elements(s: Sketch) -> None:
    """Without a reduction, no place is written twice."""
    axis = s["axis"]
    place = s.place(axis)
    x = s.data()
    shape = list(x.shape)
    shape[place] = max(1, shape[place] // 2)
    reduction = _reduction(s, "ScatterElements")
    if reduction:
        indices = _drawn(s, x.shape[place], shape)
    else:
        order = np.argsort(s.rng.random(x.shape), axis=place)
        indices = np.asarray(np.take(order, range(shape[place]), axis=place), np.int64)
    updates = _updates(s, shape)
    s.node("ScatterElements", [x, _held(s, indices), updates], axis=axis, reduction=reduction)


def _scatter_nd(s: Sketch) -> None:
    """Without a reduction, no place is written twice."""
    x = s.data()
    depth: int = s["depth"]
    if depth > x.rank:
        raise UnfitError(f"{depth} indices into rank {x.rank}")
    sides = x.shape[:depth]
    total = math.prod(sides)
    reduction = _reduction(s, "ScatterND")
    count = min(total, _length(s, 4))
    flat = s.rng.integers(0, total, count) if reduction else s.rng.permutation(total)[:count]
    indices: _Indices = np.stack(np.unravel_index(flat, sides), axis=-1).astype(np.int64)
    updates = _updates(s, (count, *x.shape[depth:]))
    s.node("ScatterND", [x, _held(s, indices), updates], reduction=reduction)


# -- others ---------------------------------------------------------------------------------------


def _one_hot(s: Sketch) -> None:
    depth: int = s["depth"]
    x = s.data(low=0, high=depth - 1)
    axis: int = s["axis"]
    if not -x.rank - 1 <= axis <= x.rank:
        raise UnfitError(f"axis {axis} of {x.rank + 1}")
    kind: str = s["to"]
    stored = s.constant(depth, "int32" if x.dtype == "int32" else "int64")
    s.node("OneHot", [x, stored, s.constant(np.asarray([0, 1]), kind)], axis=axis)


def _max_unpool(s: Sketch) -> None:
    """Values go anywhere in their own window, so that none is written twice."""
    kernel, stride = s["kernel"], s["stride"] or s["kernel"]
    if stride < kernel:
        raise UnfitError("windows overlap")
    x = s.data()
    if x.rank != 4:
        raise UnfitError("no image")
    sides = [(side - 1) * stride + kernel for side in x.shape[2:]]
    flat: _Indices = np.zeros(x.shape, np.int64)
    places = np.indices(x.shape)
    for axis, side in enumerate((*x.shape[:2], *sides)):
        here = places[axis]
        if axis >= 2:
            here = here * stride + s.rng.integers(0, kernel, x.shape)
        flat = flat * side + here
    count = len(sides)
    s.node(
        "MaxUnpool", [x, _held(s, flat)], kernel_shape=[kernel] * count, strides=[stride] * count
    )  # fmt: skip


_STORED = (
    "parameters_are_constant", "indices_are_not_negative", "indices_form_a_list", "one_index_is_picked",
    "axis_is_last",
)  # fmt: skip
_ADDRESSED = ("parameters_are_constant", "indices_are_not_negative")
_ALONG = (*_ADDRESSED, "axis_is_last")
_SCATTERED = ("indices_are_not_negative", "axis_is_last")
_HOLDING = ("constant", "computed")

FORMS: tuple[Form, ...] = (
    Form("Gather", "list", _gather, (2, 3, 4, 5), axes={"axis": (1, 0, -1, 2)}, more={"axis": (3, -2)},
         discriminators=_STORED),
    Form("Gather", "shaped", _gather, axes={"axis": (1, -1), "shape": ("scalar", "matrix", "reversed")},
         more={"axis": (0, 2), "shape": ("one", "cube")}, discriminators=_STORED),
    Form("Gather", "one", _gather, (3, 4, 5), axes={"axis": (0, 1, -1), "shape": ("scalar", "one")},
         more={"axis": (2, 3)}, discriminators=_STORED),
    Form("Gather", "negative", _gather, axes={"axis": (1, -1), "shape": ("negative",)}, more={"axis": (0, 2)},
         discriminators=_STORED, least=11),
    Form("Gather", "computed", _gather, (3, 4),
         axes={"axis": (1, -1), "shape": ("list",), "type": ("int64", "int32"),
               "indices": ("computed",)},
         more={"axis": (0, 2), "shape": ("scalar", "one", "matrix")}, discriminators=_STORED),
    Form("Gather", "integers", _gather, (1, 4), dtypes=("int64", "int32", "bool"),
         quantized=False, axes={"axis": (0,), "shape": ("list", "scalar")}, more={"axis": (1, -1)},
         discriminators=_STORED, least=13),
    Form("Gather", "rows", _gather_rows, (1, 2), dtypes=("int64", "int32"), quantized=False,
         axes={"rows": (16,)}, more={"rows": (1, 1000)}, discriminators=_STORED),
    Form("GatherElements", "along", _gather_elements, (2, 3, 4),
         axes={"axis": (1, -1), "length": ("fewer",), "indices": _HOLDING},
         more={"axis": (0, 2, -2), "length": ("same", "more")}, discriminators=_ALONG),
    Form("GatherND", "tuples", _gather_nd, (2, 3, 4),
         axes={"depth": (2, 1, 3), "shape": ("list",), "indices": _HOLDING},
         more={"depth": (4,), "shape": ("matrix",)},
         discriminators=_ADDRESSED),
    Form("GatherND", "batched", _gather_nd_batched, (3, 4), axes={"batch": (1,), "indices": _HOLDING},
         more={"batch": (2,)}, discriminators=_ADDRESSED, least=12),
    Form("ScatterElements", "along", _scatter_elements, (2, 3, 4),
         axes={"axis": (1, -1), "indices": _HOLDING, "updates": ("computed",)},
         more={"axis": (0, 2, -2), "updates": ("constant",)}, discriminators=_SCATTERED),
    Form("ScatterElements", "reduced", _scatter_elements,
         axes={"axis": (1,), "indices": ("constant",), "reduction": ("add", "mul", "max", "min")},
         more={"axis": (2, -1), "indices": ("computed",)}, discriminators=_SCATTERED, least=16),
    Form("ScatterND", "tuples", _scatter_nd, (2, 3, 4),
         axes={"depth": (2, 1, 3), "indices": _HOLDING, "updates": ("computed",)},
         more={"depth": (4,), "updates": ("constant",)}, discriminators=("indices_are_not_negative",)),
    Form("ScatterND", "reduced", _scatter_nd, (3,),
         axes={"depth": (2,), "indices": ("constant",), "reduction": ("add", "mul", "max", "min")},
         more={"depth": (1, 3), "indices": ("computed",)},
         discriminators=("indices_are_not_negative",), least=16),
    Form("OneHot", "classes", _one_hot, (1, 2, 3), dtypes=("int64", "int32"), quantized=False,
         axes={"axis": (-1, 1), "depth": (16,), "to": ("float32",)},
         more={"axis": (0, 2), "depth": (1, 5)}, discriminators=("axis_is_last",)),
    Form("MaxUnpool", "windows", _max_unpool, axes={"kernel": (2, 3), "stride": (0,), "indices": _HOLDING},
         more={"stride": (2, 3)}),
)  # fmt: skip
