"""Movement: operators whose output holds the input's values in other places, or copies of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from mosaic_deploy.probing.form import Form
from mosaic_deploy.probing.sketch import Sketch, UnfitError, Wire

_INTEGERS = ("int64", "int32", "bool")
"""Class maps and masks."""

_END = 2**63 - 1
"""How exporters write "to the end" of an axis."""


def _whole(s: Sketch, factors: Mapping[int, int]) -> Wire:
    """Data whose sides are whole multiples, by axis."""
    places = {s.place(axis): factor for axis, factor in factors.items()}
    sides = list(s.shape())
    for place, factor in places.items():
        sides[place] = max(1, sides[place] // factor) * factor
    x = s.data(sides)
    if any(x.shape[place] % factor for place, factor in places.items()):
        raise UnfitError(f"{x.shape} in parts of {places}")
    return x


def _thin(s: Sketch, axes: Sequence[int]) -> tuple[Wire, tuple[int, ...]]:
    """Data whose sides are 1 along these axes, and what they would be otherwise (never 1)."""
    places = [s.place(axis) for axis in axes]
    sides = list(s.shape())
    full = tuple(3 if i in places and side == 1 else side for i, side in enumerate(sides))
    x = s.data([1 if i in places else side for i, side in enumerate(sides)])
    if any(x.shape[place] != 1 for place in places):
        raise UnfitError(f"{x.shape} is not 1 along {places}")
    if math.prod(x.shape) == 1:
        raise UnfitError("one number tells little")
    if s.chained:
        full = tuple(3 if i in places else side for i, side in enumerate(x.shape))
    return x, full


def _integers(s: Sketch, values: Sequence[int], dtype: str = "int64") -> Wire:
    return s.constant(np.asarray(values, np.int64), dtype)


# -- shapes ---------------------------------------------------------------------------------------

_MULTIPLES: Mapping[str, Mapping[int, int]] = {
    "groups": {1: 2},
    "heads": {-1: 4},
    "patches": {-2: 2, -1: 2},
}
"""What the sides of a reshaped tensor must be multiples of."""


def _reshaped(s: Sketch, to: str) -> tuple[Wire, tuple[int, ...]]:
    """Data, and the shape it is to get; raises ``UnfitError`` where that is the one it has."""
    x = _whole(s, _MULTIPLES.get(to, {}))
    sides, count = x.shape, math.prod(x.shape)
    if to == "random":
        target = _factored(s, count)
    elif to == "list":
        target = (count,)
    elif x.rank < 2 and (x.rank == 0 or to != "heads"):
        raise UnfitError(f"'{to}' of rank {x.rank}")
    else:
        target = {
            "rows": (sides[0], count // sides[0]),
            "columns": (count // sides[-1], sides[-1]),
            "tokens": (*sides[:-2], math.prod(sides[-2:])),
            "groups": (sides[0], 2, sides[min(1, x.rank - 1)] // 2, *sides[2:]),
            "heads": (*sides[:-1], 4, sides[-1] // 4),
            "patches": (*sides[:-2], sides[max(0, x.rank - 2)] // 2, 2, sides[-1] // 2, 2),
        }[to]
    if target == sides:
        raise UnfitError(f"{sides} to {target}")
    return x, target


def _factored(s: Sketch, count: int) -> tuple[int, ...]:
    """A random shape of so many elements, rank 1 to 5."""
    sides = [1] * int(s.rng.integers(1, 6))
    divisor = 2
    while count > 1:
        divisor = next(d for d in range(divisor, count + 1) if count % d == 0)
        sides[int(s.rng.integers(len(sides)))] *= divisor
        count //= divisor
    return tuple(sides)


def _reshape(s: Sketch) -> None:
    x, target = _reshaped(s, s["to"])
    s.node("Reshape", [x, _integers(s, target)])


def _reshape_inferred(s: Sketch) -> None:
    x, target = _reshaped(s, s["to"])
    written = list(target)
    if s["written"] != "copied":
        written[-1] = -1
    if s["written"] != "inferred":
        kept = min(x.rank, len(target))
        same = [a == b for a, b in zip(x.shape[:kept], target[:kept], strict=True)]
        written[:kept] = [0 if a else b for a, b in zip(same, written[:kept], strict=True)]
        if 0 not in written:
            raise UnfitError(f"no side of {x.shape} is kept in {target}")
    s.node("Reshape", [x, _integers(s, written)])


def _reshape_allowzero(s: Sketch) -> None:
    x, target = _reshaped(s, "tokens")
    s.node("Reshape", [x, _integers(s, target)], allowzero=s["allowzero"])


def _flatten(s: Sketch) -> None:
    axis = s["axis"]
    x = s.data()
    if not -x.rank <= axis <= x.rank or (axis < 0 and s.since("Flatten") < 11):
        raise UnfitError(f"axis {axis} of {x.rank}")
    s.node("Flatten", [x], axis=axis)


def _squeeze(s: Sketch) -> None:
    axes: tuple[int, ...] | None = s["axes"]
    if axes is None:
        x, _ = _thin(s, (0, -1))
    else:
        x, _ = _thin(s, axes)
    gone = [i for i, side in enumerate(x.shape) if side == 1] if axes is None else axes
    if len(gone) >= x.rank:
        raise UnfitError("nothing would be left")
    _with_axes(s, "Squeeze", x, axes)


def _unsqueeze(s: Sketch) -> None:
    axes: tuple[int, ...] = s["axes"]
    x = s.data()
    rank = x.rank + len(axes)
    if any(not -rank <= axis < rank for axis in axes) or len({axis % rank for axis in axes}) < len(axes):
        raise UnfitError(f"axes {axes} of {rank}")
    _with_axes(s, "Unsqueeze", x, axes)


def _with_axes(s: Sketch, op: str, x: Wire, axes: Sequence[int] | None) -> None:
    """The node with its axes where its version has them."""
    if axes is None:
        s.node(op, [x])
    elif s.since(op) >= 13:
        s.node(op, [x, _integers(s, axes)])
    elif min(axes) < 0 and s.since(op) < 11:
        raise UnfitError("axes from the end")
    else:
        s.node(op, [x], axes=list(axes))


# -- order ----------------------------------------------------------------------------------------


def _transpose(s: Sketch) -> None:
    x = s.data()
    ordered = list(range(x.rank))
    first, second, rest = ordered[:1], ordered[1:2], ordered[2:]
    order: list[int] | None = {
        "reversed": None,
        "channels last": [*first, *rest, *second],
        "channels first": [0, x.rank - 1, *ordered[1:-1]],
        "last two": [*ordered[:-2], *ordered[-2:][::-1]],
        "heads": [*first, *rest[:1], *second, *rest[1:]],
        "batch": [*second, *first, *rest],
        "same": ordered,
        "random": [int(i) for i in s.rng.permutation(x.rank)],
    }[s["order"]]
    earlier = {"channels first": 3, "channels last": 3, "last two": 2, "heads": 4, "batch": 3}
    if x.rank < earlier.get(s["order"], 2):
        raise UnfitError(f"'{s['order']}' of rank {x.rank}")
    s.node("Transpose", [x], perm=order)


def _depth_to_space(s: Sketch) -> None:
    if s.rank != 4:
        raise UnfitError("no image")
    block, mode = s["block"], s["mode"]
    sides = list(s.shape())
    sides[1] = block * block * s["channels"]
    if s.random:
        sides[2:] = [min(side, 16) for side in sides[2:]]
    x = s.data(sides)
    old = s.since("DepthToSpace") < 11
    if x.shape[1] % (block * block) or (old and mode != "DCR"):
        raise UnfitError(f"{x.shape} by blocks of {block}, {mode}")
    s.node("DepthToSpace", [x], blocksize=block, mode=None if old else mode)


def _space_to_depth(s: Sketch) -> None:
    if s.rank != 4:
        raise UnfitError("no image")
    block = s["block"]
    sides = [side if i < 2 else max(1, side // block) * block for i, side in enumerate(s.shape())]
    if s["channels"]:
        sides[1] = s["channels"]
    x = s.data(sides)
    if any(side % block for side in x.shape[2:]):
        raise UnfitError(f"{x.shape} by blocks of {block}")
    s.node("SpaceToDepth", [x], blocksize=block)


def _reverse_sequence(s: Sketch) -> None:
    x = s.data()
    if x.rank < 2:
        raise UnfitError("it needs two axes")
    time = s["time"]
    batch = 1 - time
    lengths = s.rng.integers(1, x.shape[time] + 1, x.shape[batch])
    held = (
        _integers(s, lengths)
        if s["lengths"] == "constant"
        else s.input(lengths.shape, dtype="int64", values=lengths)
    )
    s.node("ReverseSequence", [x, held], batch_axis=batch, time_axis=time)


# -- joining and parting --------------------------------------------------------------------------


def _beside(s: Sketch, x: Wire, axis: int, count: int) -> list[list[int]]:
    """Shapes of further tensors to join: half as long along the axis, then equally long, and so on."""
    place = s.place(axis)
    found = []
    for i in range(count):
        sides = list(x.shape)
        sides[place] = int(s.rng.integers(1, 17)) if s.random else max(1, sides[place] >> (1 - i % 2))
        found.append(sides)
    return found


def _concat(s: Sketch) -> None:
    x = s.data()
    others = [s.input(sides) for sides in _beside(s, x, s["axis"], s["count"] - 1)]
    _joined(s, [x, *others], s["axis"])


def _concat_constant(s: Sketch) -> None:
    x = s.data()
    (sides,) = _beside(s, x, s["axis"], 1)
    held = s.weights(sides, spread=1.0)
    _joined(s, [held, x] if s["first"] else [x, held], s["axis"])


def _concat_twice(s: Sketch) -> None:
    x = s.data()
    s.place(s["axis"])
    _joined(s, [x] * s["count"], s["axis"])


def _joined(s: Sketch, parts: list[Wire], axis: int) -> None:
    if axis < 0 and s.since("Concat") < 11:
        raise UnfitError("an axis from the end")
    s.node("Concat", parts, axis=axis)


def _split_equally(s: Sketch) -> None:
    parts, axis = s["parts"], s["axis"]
    x = _whole(s, {axis: parts})
    _parted(s, x, axis, parts, None)


def _split_by_sizes(s: Sketch) -> None:
    axis, sizes = s["axis"], s["sizes"]
    place = s.place(axis)
    x = _whole(s, {axis: 4})
    quarter = x.shape[place] // 4
    lengths = {
        "uneven": (quarter, 3 * quarter),
        "equal": (2 * quarter, 2 * quarter),
        "three": (quarter, 2 * quarter, quarter),
        "single": (1, x.shape[place] - 1),
        "random": _summing(s, x.shape[place]),
    }[sizes]
    _parted(s, x, axis, len(lengths), lengths)


def _summing(s: Sketch, total: int) -> tuple[int, ...]:
    count = int(s.rng.integers(2, min(6, total) + 1))
    cuts = sorted(int(cut) for cut in s.rng.choice(np.arange(1, total), count - 1, replace=False))
    return tuple(b - a for a, b in zip([0, *cuts], [*cuts, total], strict=True))


def _split_by_count(s: Sketch) -> None:
    axis, parts = s["axis"], s["parts"]
    place = s.place(axis)
    sides = list(s.shape())
    if sides[place] % parts == 0:
        sides[place] += parts - 1
    x = s.data(sides)
    side = -(-x.shape[place] // parts)
    if x.shape[place] % parts == 0 or side * (parts - 1) >= x.shape[place]:
        raise UnfitError(f"{x.shape[place]} in {parts}")
    s.node("Split", [x], outputs=parts, axis=axis, num_outputs=parts)


def _parted(s: Sketch, x: Wire, axis: int, parts: int, lengths: Sequence[int] | None) -> None:
    version = s.since("Split")
    if axis < 0 and version < 11:
        raise UnfitError("an axis from the end")
    if lengths is None:
        s.node("Split", [x], outputs=parts, axis=axis, num_outputs=parts if version >= 18 else None)
    elif version < 13:
        s.node("Split", [x], outputs=parts, axis=axis, split=list(lengths))
    else:
        s.node("Split", [x, _integers(s, lengths)], outputs=parts, axis=axis)


# -- cuts and borders -----------------------------------------------------------------------------


def _slice(s: Sketch) -> None:
    x = s.data()
    axes: tuple[int, ...] = s["axes"]
    bounds = [_bounds(s, x.shape[s.place(axis)]) for axis in axes]
    starts, ends = [b[0] for b in bounds], [b[1] for b in bounds]
    if s.since("Slice") >= 10:
        s.node("Slice", [x, *(_integers(s, part) for part in (starts, ends, axes))])
    elif min(axes) < 0:
        raise UnfitError("axes from the end")
    else:
        s.node("Slice", [x], starts=starts, ends=ends, axes=list(axes))


def _bounds(s: Sketch, side: int) -> tuple[int, int]:
    """Start and end of a part of an axis."""
    if side < 2:
        raise UnfitError(f"a side of {side}")
    if s["part"] == "random":
        start, end = sorted(int(i) for i in s.rng.choice(side + 1, 2, replace=False))
        return start, end
    parts = {
        "middle": (side // 4, side - 1),
        "head": (0, -(side // 2)),
        "tail": (-(side // 2), _END),
        "one": (side // 3, side // 3 + 1),
    }
    return parts[s["part"]]


def _slice_single(s: Sketch) -> None:
    """One place of an axis that is as long as the parts of an attention's queries, keys and values."""
    place, at = s.place(s["axis"]), s["at"]
    sides = list(s.shape())
    sides[place] = 3
    x = s.data(sides)
    if x.shape[place] <= at:
        raise UnfitError(f"{x.shape} at {at}")
    s.node("Slice", [x, *(_integers(s, (part,)) for part in (at, at + 1, s["axis"]))])


def _slice_steps(s: Sketch) -> None:
    x = s.data()
    axes: tuple[int, ...] = s["axes"]
    sides, step = [x.shape[s.place(axis)] for axis in axes], s["step"]
    first = s["first"]
    if any(side <= first + 1 for side in sides):
        raise UnfitError(f"{sides} from {first}")
    start, end = (first, _END) if step > 0 else (-1 - first, -_END)
    lists = ([start] * len(axes), [end] * len(axes), axes, [step] * len(axes))
    s.node("Slice", [x, *(_integers(s, part) for part in lists)])


def _slice_written(s: Sketch) -> None:
    x = s.data()
    if x.rank < 2 or min(x.shape[-2:]) < 3:
        raise UnfitError(f"{x.shape}")
    starts = [1 if i >= x.rank - 2 else 0 for i in range(x.rank)]
    ends = [side - 1 if start else side for side, start in zip(x.shape, starts, strict=True)]
    places = list(range(x.rank))
    if s["written"] == "without axes":
        s.node("Slice", [x, _integers(s, starts), _integers(s, ends)])
    elif s["written"] == "axes out of order":
        parts = (starts[::-1], ends[::-1], places[::-1])
        s.node("Slice", [x, *(_integers(s, part) for part in parts)])
    else:
        lists = (starts, ends, places, [1] * x.rank)
        s.node("Slice", [x, *(_integers(s, part, "int32") for part in lists)])


def _pads(s: Sketch, rank: int, where: str) -> list[int]:
    """Begins, then ends, as Pad wants them."""
    a, b, c, d = (int(n) for n in s.rng.integers(1, 5, 4)) if s.random else (2, 1, 1, 3)
    height, width = rank - 2, rank - 1
    least = {"channels": 4, "batch": 2}.get(where, 2)
    if rank < least:
        raise UnfitError(f"'{where}' of rank {rank}")
    amounts: dict[int, tuple[int, int]] = {
        "even": {height: (b, b), width: (b, b)},
        "uneven": {height: (a, b), width: (c, d)},
        "begin": {height: (a, 0), width: (c, 0)},
        "end": {height: (0, b), width: (0, d)},
        "height": {height: (a, b)},
        "width": {width: (c, d)},
        "width's end": {width: (0, d)},
        "channels": {1: (0, a)},
        "batch": {0: (0, b)},
        "everywhere": dict.fromkeys(range(rank), (a, d)),
        "cropped": {height: (-a, -b), width: (-c, -d)},
        "shifted": {height: (a, -a), width: (-c, c)},
    }[where]
    pairs = [amounts.get(i, (0, 0)) for i in range(rank)]
    return [begin for begin, _ in pairs] + [end for _, end in pairs]


def _pad(s: Sketch) -> None:
    """Pad with whatever of mode, value and axes the form asks for."""
    x = s.data()
    if x.rank < 2:
        raise UnfitError("no height and width")
    mode: str | None = s["mode"] if "mode" in s.values else None
    value: float | None = s["value"] if "value" in s.values else None
    pads = _pads(s, x.rank, s["where"])
    pairs = list(zip(x.shape, pads[: x.rank], pads[x.rank :], strict=True))
    if mode == "reflect" and any(max(begin, end) >= side for side, begin, end in pairs):
        raise UnfitError(f"{pads} reflected in {x.shape}")
    if mode == "wrap" and any(max(begin, end) > side for side, begin, end in pairs):
        raise UnfitError(f"{pads} wrapped around {x.shape}")
    if any(side + min(begin, 0) + min(end, 0) < 1 for side, begin, end in pairs):
        raise UnfitError(f"{pads} cut off {x.shape}")
    if s.since("Pad") < 11:
        s.node("Pad", [x], pads=pads, mode=mode, value=value)
        return
    axes = None
    if s.values.get("axes"):
        axes = [x.rank - 2, x.rank - 1] if s["axes"] == "positive" else [-2, -1]
        kept = [i % x.rank for i in axes]
        if any(n for i, n in enumerate(pads) if i % x.rank not in kept):
            raise UnfitError(f"{pads} along {axes}")
        pads = [pads[i] for i in kept] + [pads[x.rank + i] for i in kept]
    inputs: list[Wire | None] = [x, _integers(s, pads)]
    if value is not None or axes is not None:
        inputs.append(None if value is None else s.constant(float(value)))
    if axes is not None:
        inputs.append(_integers(s, axes))
    s.node("Pad", inputs, mode=mode)


def _center_crop_pad(s: Sketch) -> None:
    x = s.data()
    axes: tuple[int, ...] | None = s["axes"]
    places = [s.place(axis) for axis in axes] if axes is not None else list(range(x.rank))
    change = {"cropped": -3, "padded": 3, "grown": 4}
    by = int(s.rng.integers(-6, 7)) if s["to"] == "random" else change[s["to"]]
    sides = [
        x.shape[place] if axes is None and place < x.rank - 2 else x.shape[place] + by for place in places
    ]
    if not sides or min(sides) < 1:
        raise UnfitError(f"{x.shape} to {sides}")
    s.node("CenterCropPad", [x, _integers(s, sides)], axes=None if axes is None else list(axes))


# -- copies ---------------------------------------------------------------------------------------


def _expand(s: Sketch) -> None:
    x, full = _thin(s, s["axes"])
    s.node("Expand", [x, _integers(s, full)])


def _expand_written(s: Sketch) -> None:
    if s["written"] == "ones":
        x, full = _thin(s, (-1,))
        target = [a if a != b else 1 for a, b in zip(full, x.shape, strict=True)]
    elif s["written"] == "leading":
        x = s.data()
        target = [2, *x.shape]
    else:
        x = s.data()
        target = list(x.shape)
    s.node("Expand", [x, _integers(s, target)])


def _tile(s: Sketch) -> None:
    x = s.data()
    repeats = [1] * x.rank
    for axis in s["axes"]:
        repeats[s.place(axis)] = s["times"]
    if math.prod(x.shape) * math.prod(repeats) > 400_000:
        raise UnfitError("too large")
    s.node("Tile", [x, _integers(s, repeats)])


def _tile_thin(s: Sketch) -> None:
    x, full = _thin(s, s["axes"])
    s.node("Tile", [x, _integers(s, [a // b for a, b in zip(full, x.shape, strict=True)])])


# -- geometry -------------------------------------------------------------------------------------


def _trilu(s: Sketch) -> None:
    x = s.data()
    if x.rank < 2:
        raise UnfitError("no matrix")
    k = s["k"]
    s.node("Trilu", [x] if k is None else [x, s.constant(k, "int64")], upper=s["upper"])


def _grid(s: Sketch, x: Wire) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Where to sample: at most 0.3 pixels from a pixel's centre, up to 2 pixels outside the image."""
    sides = x.shape[2:]
    if x.rank not in (4, 5) or min(sides) < 2:
        raise UnfitError(f"an image in {x.shape}")
    target = tuple(max(2, side + change) for side, change in zip(sides, (-3, 4, 1), strict=False))
    corners = s.values.get("align", 0)
    found = []
    for side in reversed(sides):  # x comes first
        where = s.rng.integers(-2, side + 2, (x.shape[0], *target)) + s.rng.uniform(
            -0.3, 0.3, (x.shape[0], *target)
        )
        found.append(2 * where / (side - 1) - 1 if corners else (2 * where + 1) / side - 1)
    return np.stack(found, axis=-1)


def _grid_sample(s: Sketch) -> None:
    x = s.data()
    mode = s["mode"]
    grid = _grid(s, x)
    held = s.constant(grid) if s.values.get("grid") == "constant" else s.input(grid.shape, values=grid)
    old = {"linear": "bilinear", "cubic": "bicubic"}
    if x.rank == 5 and (mode == "cubic" or s.since("GridSample") < 20):
        raise UnfitError(f"{mode} in three dimensions")
    s.node(
        "GridSample", [x, held],
        mode=mode if s.since("GridSample") >= 20 else old.get(mode, mode),
        padding_mode=s["padding"], align_corners=s.values.get("align", 0),
    )  # fmt: skip


def _col2im(s: Sketch) -> None:
    kernel, stride, pad = s["kernel"], s["stride"] or s["kernel"], s["pad"]
    counts = [int(n) for n in s.rng.integers(1, 9, 2)] if s.random else [4, 6]
    image = [(count - 1) * stride + kernel - 2 * pad for count in counts]
    if min(image) < 1 or pad >= kernel:
        raise UnfitError(f"an image of {image}")
    x = s.data((1, 3 * kernel * kernel, math.prod(counts)))
    if x.rank != 3 or x.shape[1] % (kernel * kernel) or x.shape[2] != math.prod(counts):
        raise UnfitError(f"{x.shape} as blocks of {kernel}")
    s.node(
        "Col2Im", [x, _integers(s, image), _integers(s, (kernel, kernel))],
        strides=[stride, stride], pads=[pad] * 4,
    )  # fmt: skip


def _typed(form: Form, *dtypes: str, name: str = "integers", ranks: tuple[int, ...] = (4,)) -> Form:
    """The plain use of a form with other types, in versions of today's exporters."""
    plain = {axis: values[:1] for axis, values in form.axes.items()}
    others = {axis: (*values[1:], *form.more.get(axis, ())) for axis, values in form.axes.items()}
    return replace(
        form, name=name, dtypes=dtypes, ranks=ranks, axes=plain, more=others, quantized=False,
        least=max(form.least, 13),
    )  # fmt: skip


_PADS = (
    "rows_are_not_padded", "padding_is_zero", "padding_is_not_negative", "every_axis_has_pads",
    "pads_are_not_negative", "long_rows_begin_with_padding", "batch_is_kept",
    "only_height_and_width_change", "ranks_are_four_at_most",
)  # fmt: skip
_CUTS = (
    "batch_is_kept", "only_height_and_width_change", "parameters_are_constant", "ranks_are_four_at_most",
    "output_is_wider_than_one", "output_is_higher_than_one",
)  # fmt: skip
_RESHAPE = Form(
    "Reshape",
    "constant",
    _reshape,
    (1, 2, 3, 4, 5),
    axes={"to": ("rows", "list", "columns", "tokens", "groups", "heads", "patches")},
    more={"to": ("random",)},
    discriminators=(
        "ranks_are_four_at_most",
        "rank_is_five_at_most",
        "batch_is_kept",
        "parameters_are_constant",
    ),
    least=5,
)
_SQUEEZE = Form(
    "Squeeze",
    "axes",
    _squeeze,
    (2, 3, 4, 5),
    axes={"axes": ((1,), (0,), (-1,), (-2, -1), None)},
    more={"axes": ((2,), (2, 3), (0, 1), (-3,))},
    discriminators=("batch_is_kept", "ranks_are_four_at_most", "parameters_are_constant"),
)
_UNSQUEEZE = Form(
    "Unsqueeze",
    "axes",
    _unsqueeze,
    (2, 3, 4),
    axes={"axes": ((1,), (0,), (-1,))},
    more={"axes": ((0, -1), (2,), (-2,), (2, 3), (0, 1))},
    discriminators=(
        "batch_is_kept",
        "ranks_are_four_at_most",
        "rank_is_five_at_most",
        "parameters_are_constant",
    ),
)
_TRANSPOSE = Form(
    "Transpose",
    "order",
    _transpose,
    (2, 3, 4, 5, 6),
    axes={"order": ("reversed", "channels last", "channels first", "last two", "heads", "batch")},
    more={"order": ("same", "random")},
    discriminators=("rank_is_five_at_most", "ranks_are_four_at_most", "batch_is_kept"),
)
_CONCAT = Form(
    "Concat",
    "two",
    _concat,
    (1, 2, 3, 4, 5),
    axes={"axis": (1, -1, 0, 2, 3), "count": (2,)},
    more={"axis": (-2, -3, 4), "count": (3, 5)},
    discriminators=("batch_is_kept", "axis_is_last", "ranks_are_four_at_most"),
)
_SLICE = Form(
    "Slice",
    "part",
    _slice,
    (3, 4, 5),
    axes={"axes": ((1,), (-1,), (-2, -1)), "part": ("middle", "tail")},
    more={"axes": ((0,), (2,), (1, 2), (1, 2, 3)), "part": ("head", "one", "random")},
    discriminators=_CUTS,
)
_PAD = Form(
    "Pad",
    "zeros",
    _pad,
    (3, 4, 5),
    axes={"where": ("even", "uneven", "begin", "end", "height", "width's end", "channels")},
    more={"where": ("width", "batch", "everywhere")},
    discriminators=_PADS,
)
_EXPAND = Form(
    "Expand",
    "axes",
    _expand,
    (2, 3, 4, 5),
    axes={"axes": ((-1,), (-2, -1), (1,), (0,))},
    more={"axes": ((-2,), (-3,), (0, 1), (1, -1))},
    discriminators=_CUTS,
)

FORMS: tuple[Form, ...] = (
    _RESHAPE,
    Form(
        "Reshape",
        "inferred",
        _reshape_inferred,
        axes={"to": ("tokens",), "written": ("inferred", "copied", "both")},
        more={"to": ("heads", "rows", "groups", "patches", "random")},
        least=5,
    ),
    Form("Reshape", "allowzero", _reshape_allowzero, axes={"allowzero": (1,)}, more={"allowzero": (0,)},
         least=14),
    _typed(_RESHAPE, *_INTEGERS),
    Form("Flatten", "axis", _flatten, (3, 4), axes={"axis": (1, 2, 0, -1)}, more={"axis": (3, -2, 4)},
         discriminators=("batch_is_kept",)),
    _SQUEEZE,
    _typed(_SQUEEZE, *_INTEGERS),
    _UNSQUEEZE,
    _typed(_UNSQUEEZE, *_INTEGERS, ranks=(3,)),
    _TRANSPOSE,
    _typed(_TRANSPOSE, "uint8", "int64"),
    _CONCAT,
    Form("Concat", "several", _concat, axes={"axis": (1, -1), "count": (3, 4, 5, 6)},
         more={"axis": (2,), "count": (9,)},
         discriminators=("batch_is_kept", "inputs_are_five_at_most")),
    Form("Concat", "constant", _concat_constant, axes={"axis": (1, -1), "first": (False, True)},
         more={"axis": (0, 2, -2)}),
    Form("Concat", "twice", _concat_twice, axes={"axis": (1, -1), "count": (2,)}, more={"count": (3,)}),
    _typed(_CONCAT, "float16", name="half", ranks=(3, 4)),
    _typed(_CONCAT, *_INTEGERS),
    Form("Split", "equal", _split_equally, (2, 3, 4, 5), axes={"axis": (1, -1, 2, 3), "parts": (2, 3, 4, 5)},
         more={"axis": (0, -2), "parts": (6, 8)},
         discriminators=("parts_are_equal", "axis_is_last", "outputs_are_four_at_most")),
    Form("Split", "sizes", _split_by_sizes,
         axes={"axis": (1, -1), "sizes": ("uneven", "equal", "three")},
         more={"axis": (2, -2), "sizes": ("single", "random")},
         discriminators=("parts_are_equal", "axis_is_last")),
    Form("Split", "count", _split_by_count, (3, 4), axes={"axis": (1, -1), "parts": (3,)},
         more={"axis": (2,), "parts": (2, 4)}, discriminators=("parts_are_equal",), least=18),
    _SLICE,
    Form(
        "Slice",
        "steps",
        _slice_steps,
        (3, 4),
        axes={"axes": ((-2, -1), (1,)), "step": (2, 3, -1, -2), "first": (0,)},
        more={"axes": ((-1,), (2,), (1, 2)), "step": (4, -3, 7), "first": (1, 2)},
        discriminators=("steps_are_one", "steps_are_positive", *_CUTS),
        least=10,
    ),
    Form("Slice", "written", _slice_written,
         axes={"written": ("without axes", "axes out of order", "int32")}, least=10),
    Form("Slice", "single", _slice_single, (3, 4, 5), axes={"axis": (0, 1, -1), "at": (0, 1)},
         more={"axis": (2,), "at": (2,)}, discriminators=_CUTS, least=10),
    _typed(_SLICE, *_INTEGERS),
    _PAD,
    Form("Pad", "value", _pad, axes={"where": ("even", "end", "channels"), "value": (1.0, 0.0, -1.5)},
         more={"where": ("begin", "width", "everywhere"), "value": (2.5, -0.1)},
         discriminators=_PADS),
    Form("Pad", "negative", _pad, axes={"where": ("cropped", "shifted")},
         more={"where": ("even", "uneven")}, discriminators=_PADS),
    Form(
        "Pad",
        "mirrored",
        _pad,
        (3, 4),
        axes={"where": ("uneven", "end", "height", "channels"), "mode": ("reflect", "edge")},
        more={"where": ("even", "begin", "width", "batch", "cropped", "everywhere")},
        discriminators=_PADS,
    ),
    Form("Pad", "wrapped", _pad, axes={"where": ("even", "uneven", "width"), "mode": ("wrap",)},
         more={"where": ("end", "channels")}, discriminators=_PADS, least=19),
    Form("Pad", "axes", _pad,
         axes={"where": ("even",), "mode": ("constant", "reflect"), "axes": ("positive", "negative")},
         more={"where": ("end", "uneven", "height"), "mode": ("edge",)}, discriminators=_PADS, least=18),
    _EXPAND,
    Form("Expand", "written", _expand_written, (3, 4), axes={"written": ("ones", "leading", "same")},
         discriminators=("batch_is_kept", "ranks_are_four_at_most")),
    _typed(_EXPAND, "int64", "bool"),
    Form("Tile", "axes", _tile, (2, 3, 4, 5),
         axes={"axes": ((-2, -1), (1,), (0,)), "times": (2,)},
         more={"axes": ((-1,), (1, -1), ()), "times": (3, 4)}, discriminators=_CUTS),
    Form("Tile", "thin", _tile_thin, axes={"axes": ((-2, -1), (1,))}, more={"axes": ((0,), (-1,))},
         discriminators=_CUTS),
    Form("DepthToSpace", "blocks", _depth_to_space,
         axes={"block": (2, 3, 4, 8), "mode": ("DCR", "CRD"), "channels": (2, 1)},
         more={"block": (1, 5), "channels": (3, 5)}),
    Form("SpaceToDepth", "blocks", _space_to_depth, axes={"block": (2, 3, 4, 8), "channels": (0, 3)},
         more={"block": (1, 5), "channels": (1, 16)}),
    Form("Trilu", "plain", _trilu, (2, 3, 4), dtypes=("float32", "bool"),
         axes={"upper": (1, 0), "k": (None, 1)}, more={"k": (0, -2, 5, -40)}),
    Form(
        "GridSample",
        "image",
        _grid_sample,
        axes={"mode": ("linear", "nearest", "cubic"), "padding": ("zeros", "border", "reflection"),
              "align": (0, 1)},
        discriminators=("parameters_are_constant",),
        least=16,
    ),
    Form("GridSample", "constant", _grid_sample,
         axes={"mode": ("linear", "nearest"), "padding": ("zeros", "border"), "grid": ("constant",)},
         more={"padding": ("reflection",)}, discriminators=("parameters_are_constant",), least=16),
    Form("GridSample", "volume", _grid_sample, (5,),
         axes={"mode": ("linear", "nearest"), "padding": ("zeros", "border")},
         more={"padding": ("reflection",)}, least=20),
    Form("CenterCropPad", "shape", _center_crop_pad,
         axes={"axes": ((-2, -1), (1,), None), "to": ("cropped", "padded")}, more={"to": ("random", "grown")},
         discriminators=_CUTS),
    Form("Col2Im", "blocks", _col2im, (3,), axes={"kernel": (2, 3), "stride": (0, 1), "pad": (0, 1)},
         more={"kernel": (1, 4), "stride": (2, 3)}),
    Form("ReverseSequence", "lengths", _reverse_sequence, (2, 3),
         axes={"time": (0, 1), "lengths": ("constant", "computed")},
         discriminators=("parameters_are_constant",)),
)  # fmt: skip
