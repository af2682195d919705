"""Paddings of windows as their own, and in numbers.

Conv(SAME_LOWER)                          becomes    Conv(pads)
ConvTranspose(output_shape)               becomes    ConvTranspose(pads, output_padding)
x -> Pad(zeros) -> Conv -> y              becomes    x -> Conv(pads) -> y
x -> Pad(lowest) -> MaxPool -> y          becomes    x -> MaxPool(pads) -> y

Which side an odd pixel goes to is a matter of the image's size, and no two runtimes write it alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mosaic_deploy.graph.attributes import Attribute, read_attribute
from mosaic_deploy.graph.normal.draft import Draft

if TYPE_CHECKING:
    import onnx

_WINDOWS = frozenset({"Conv", "MaxPool", "AveragePool"})
_LOWEST = (float(np.finfo(np.float32).min), float(np.finfo(np.float16).min))
"""The least numbers of a type, by which exporters mean minus infinity."""

_FROM_NOTHING = frozenset({"Abs", "Exp", "HardSigmoid", "Relu", "Sigmoid", "Softmax", "Sqrt"})
"""Operators that never give less than 0."""

_KEEPING = frozenset({"Concat", "Dropout", "Identity", "MaxPool", "Reshape", "Transpose"})
"""Operators that give no less than the least of what they are given."""

_DEPTH = 8

Pads = tuple[list[int], list[int]]
"""Pixels in front of and behind each axis."""


def state(draft: Draft) -> None:
    """Write every padding so."""
    draft.visit(_state)


def _state(node: onnx.NodeProto, draft: Draft) -> bool:
    if node.op_type == "ConvTranspose":
        return _state_transposed(node, draft)
    return node.op_type in _WINDOWS and _state_window(node, draft)


def _state_window(node: onnx.NodeProto, draft: Draft) -> bool:
    stated = {attribute.name: read_attribute(attribute) for attribute in node.attribute}
    sides, out = draft.graph.shape(node.input[0]), draft.graph.shape(node.output[0])
    if sides is None or out is None or len(sides) < 3:
        return False
    count = len(sides) - 2
    automatic = str(stated.get("auto_pad", "NOTSET"))
    if automatic == "NOTSET":
        return _take_pad(node, draft, stated, count)
    if automatic == "VALID":
        return _write(node, draft, pads=[0] * (2 * count))
    if automatic not in ("SAME_UPPER", "SAME_LOWER"):
        return False
    windows = _windows(node, draft, stated, count)
    if windows is None:
        return False
    totals = []
    for side, (window, stride, dilation) in zip(sides[2:], windows, strict=True):
        reach = (window - 1) * dilation + 1
        totals.append(max(0, (-(-side // stride) - 1) * stride + reach - side))
    return _write(node, draft, pads=_halves(totals, upper=automatic == "SAME_UPPER"))


def _state_transposed(node: onnx.NodeProto, draft: Draft) -> bool:
    """By how much the output is less than the windows give; where it is more, as output_padding."""
    stated = {attribute.name: read_attribute(attribute) for attribute in node.attribute}
    sides, out = draft.graph.shape(node.input[0]), draft.graph.shape(node.output[0])
    automatic = str(stated.get("auto_pad", "NOTSET"))
    if sides is None or out is None or len(sides) < 3 or len(out) != len(sides):
        return False
    if automatic == "NOTSET" and not stated.get("output_shape"):
        return False
    count = len(sides) - 2
    if automatic == "VALID" and not stated.get("output_shape"):
        return _write(node, draft, pads=[0] * (2 * count))
    windows, more = _windows(node, draft, stated, count), _list(stated.get("output_padding"), count, 0)
    if windows is None or more is None or (any(more) and not stated.get("output_shape")):
        return False  # onnx and ONNX Runtime do not agree on the size of the latter
    totals, extra = [], []
    for side, wanted, added, (window, stride, dilation) in zip(
        sides[2:], out[2:], more, windows, strict=True
    ):
        total = stride * (side - 1) + added + (window - 1) * dilation + 1 - wanted
        totals.append(max(0, total))
        extra.append(added + max(0, -total))
        if extra[-1] >= max(stride, dilation):
            return False
    pads = _halves(totals, upper=automatic == "SAME_UPPER")
    return _write(node, draft, pads=pads, output_padding=extra if any(extra) else None)


def _windows(
    node: onnx.NodeProto, draft: Draft, stated: Mapping[str, Attribute], count: int
) -> list[tuple[int, int, int]] | None:
    """Size, stride and dilation along each axis; None where they do not fit the image."""
    weight = draft.graph.shape(node.input[1]) if len(node.input) > 1 else None
    lists = (
        _list(stated.get("kernel_shape") or (weight or ())[2:], count, 0),
        _list(stated.get("strides"), count, 1),
        _list(stated.get("dilations"), count, 1),
    )
    if any(found is None or min(found, default=1) < 1 for found in lists):
        return None
    return list(zip(*(found for found in lists if found is not None), strict=True))


def _list(stated: object, count: int, default: int) -> list[int] | None:
    if not isinstance(stated, tuple) or not stated:
        return [default] * count
    return [int(number) for number in stated] if len(stated) == count else None


def _halves(totals: Sequence[int], *, upper: bool) -> list[int]:
    """Half of each at either end; an odd pixel at the end, or with ``upper`` not, at the beginning."""
    small, large = [total // 2 for total in totals], [total - total // 2 for total in totals]
    return [*small, *large] if upper else [*large, *small]


def _write(
    node: onnx.NodeProto,
    draft: Draft,
    *,
    pads: Sequence[int],
    output_padding: Sequence[int] | None = None,
    source: str = "",
) -> bool:
    import onnx

    made = type(node)()
    made.CopyFrom(node)
    said = {"auto_pad", "pads", "output_shape", "output_padding"}
    kept = [a for a in node.attribute if a.name not in said]
    if output_padding is not None:
        kept.append(onnx.helper.make_attribute("output_padding", output_padding))
    del made.attribute[:]
    made.attribute.extend([*kept, onnx.helper.make_attribute("pads", pads)])
    if source:
        made.input[0] = source
    return draft.replace(node, [made])


def _take_pad(node: onnx.NodeProto, draft: Draft, stated: Mapping[str, Attribute], count: int) -> bool:
    """Take over the Pad in front, where the window's own padding means the same."""
    maker = draft.graph.producer(node.input[0], "Pad")
    own = _list(stated.get("pads"), 2 * count, 0)
    if maker is None or draft.touched(maker) or own is None or node.op_type == "AveragePool":
        return False
    borders, value = _borders(maker, draft), _filled(maker, draft)
    if borders is None or value is None or any(map(any, (side[:2] for side in borders))):
        return False
    pads = [a + b for a, b in zip(own, [*borders[0][2:], *borders[1][2:]], strict=True)]
    if node.op_type == "Conv":
        fits = value == 0
    else:
        fits = _pools_alike(node, draft, pads) and (
            value in (*_LOWEST, -np.inf) or value <= _least(maker.input[0], draft, _DEPTH)
        )
    return fits and _write(node, draft, pads=pads, source=maker.input[0])


def _borders(pad: onnx.NodeProto, draft: Draft) -> Pads | None:
    """What a Pad with constant borders adds; None where it crops or that is not known."""
    shape = draft.graph.shape(pad.input[0])
    pads = draft.array(pad.input[1]) if len(pad.input) > 1 else None
    if shape is None or pads is None or pads.size % 2 or bool((pads < 0).any()):
        return None
    axes = range(len(shape))
    if len(pad.input) > 3 and pad.input[3]:
        chosen = draft.array(pad.input[3])
        if chosen is None or any(not -len(shape) <= axis < len(shape) for axis in chosen.reshape(-1)):
            return None
        axes = [int(axis) % len(shape) for axis in chosen.reshape(-1)]  # type: ignore[assignment]
    begin, end = [0] * len(shape), [0] * len(shape)
    halves = pads.reshape(2, -1)
    if halves.shape[1] != len(axes):
        return None
    for index, axis in enumerate(axes):
        begin[axis], end[axis] = int(halves[0, index]), int(halves[1, index])
    return begin, end


def _filled(pad: onnx.NodeProto, draft: Draft) -> float | None:
    """The number that a Pad fills in; None where it is not one number."""
    mode = next((a.s for a in pad.attribute if a.name == "mode"), b"constant")
    value = draft.array(pad.input[2]) if len(pad.input) > 2 and pad.input[2] else np.zeros(1)
    if mode != b"constant" or value is None or value.size != 1 or value.dtype.kind not in "fiu":
        return None
    return float(value.reshape(())[()])


def _pools_alike(node: onnx.NodeProto, draft: Draft, pads: Sequence[int]) -> bool:
    """Whether every window of a MaxPool still holds a pixel of the image, and all of them are there."""
    stated = {attribute.name: read_attribute(attribute) for attribute in node.attribute}
    count = len(pads) // 2
    windows = _windows(node, draft, stated, count)
    indexed = len(node.output) > 1 and bool(node.output[1])
    if windows is None or indexed or stated.get("ceil_mode"):
        return False
    if draft.graph.dtype(node.input[0]) != np.float32:
        return False
    return all(
        dilation == 1 and max(pads[axis], pads[axis + count]) < window
        for axis, (window, _, dilation) in enumerate(windows)
    )


def _least(name: str, draft: Draft, depth: int) -> float:
    """A number that a tensor never falls below; minus infinity where none is known."""
    maker = draft.graph.producer(name)
    if maker is None or not depth:
        return -np.inf
    if maker.op_type in _FROM_NOTHING:
        return 0.0
    if maker.op_type == "Clip" and len(maker.input) > 1 and maker.input[1]:
        bound = draft.array(maker.input[1])
        return float(bound.reshape(())[()]) if bound is not None and bound.size == 1 else -np.inf
    if maker.op_type in _KEEPING:
        read = maker.input if maker.op_type == "Concat" else maker.input[:1]
        return min(_least(source, draft, depth - 1) for source in read)
    return -np.inf
