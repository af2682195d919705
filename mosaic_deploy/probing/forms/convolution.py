"""Convolutions: forward, transposed and deformed, in one, two and three dimensions."""

from __future__ import annotations

from math import prod
from typing import Any

from mosaic_deploy.probing.form import Form
from mosaic_deploy.probing.forms.pooling import each, fit, padding
from mosaic_deploy.probing.sketch import Sketch, UnfitError, Value, Wire

_LARGEST = 250_000  # elements of an output: beyond that a case only costs time

_BOTH = ("float32", "float16")
_TELLS = (
    "parameters_are_constant", "dilations_are_one", "groups_are_channels", "groups_hold_several_channels",
    "groups_give_one_channel", "pads_are_symmetric",
)  # fmt: skip


def _image(s: Sketch) -> Wire:
    """The data, with as many channels as the form's groups need."""
    shape = list(s.shape())
    group = s.values.get("group", 1)
    if "channels" in s.values:
        shape[1] = s["channels"]
    if "batch" in s.values:
        shape[0] = s["batch"]
    if isinstance(group, int):
        shape[1] = -(-shape[1] // group) * group
    if "side" in s.values:
        shape[2:] = [s["side"]] * len(shape[2:])
    x = s.data(shape)
    if x.rank < 3:
        raise UnfitError("no image")
    return x


def _axis(s: Sketch, name: str, usual: Value) -> Any:  # the form knows what its axis holds
    return s[name] if name in s.values else usual


def _groups(s: Sketch, x: Wire) -> int:
    group = _axis(s, "group", 1)
    count = x.shape[1] if group == "depthwise" else int(group)
    if x.shape[1] % count:
        raise UnfitError(f"{count} groups of {x.shape[1]} channels")
    return count


def _parameters(s: Sketch, shape: tuple[int, ...], outputs: int) -> list[Wire]:
    """Weights, and a bias unless the form has none."""
    computed = s.values.get("weights") == "computed"
    given = [s.input(shape, low=-0.6, high=0.6) if computed else s.weights(shape, spread=0.3)]
    if s.values.get("bias", True):
        given.append(s.weights((outputs,)))
    return given


def _finished(outputs: tuple[Wire, ...]) -> None:
    if prod(outputs[0].shape) > _LARGEST:
        raise UnfitError(f"{outputs[0].shape} is large")


def _outputs(s: Sketch, group: int) -> int:
    """Output channels, where the form is free to choose them."""
    per_group = int(s.rng.integers(1, 9)) if s.random else 3
    return group * per_group if group > 1 else 4 * per_group


def _conv(s: Sketch) -> None:
    x = _image(s)
    sides, group = x.rank - 2, _groups(s, x)
    kernel = each(s["kernel"], sides)
    dilation = each(s.values.get("dilation", 1), sides)
    depthwise = s.values.get("group") == "depthwise"
    outputs = group * int(_axis(s, "multiplier", 1)) if depthwise else _outputs(s, group)
    parameters = _parameters(s, (outputs, x.shape[1] // group, *kernel), outputs)
    pads = padding(str(s.values.get("pads", "same")), kernel, dilation)
    fit(x, kernel, dilation, pads if "auto_pad" not in s.values else (0,) * len(pads))
    _finished(
        s.node(
            "Conv", [x, *parameters], kernel_shape=kernel, group=group, dilations=dilation,
            strides=each(s.values.get("stride", 1), sides),
            pads=None if "auto_pad" in s.values else pads,
            auto_pad=s.values.get("auto_pad"),
        )
    )  # fmt: skip


def _transposed(s: Sketch) -> None:
    """``window`` is kernel, stride, pad on every side, and output padding."""
    x = _image(s)
    sides, group = x.rank - 2, _groups(s, x)
    kernel, stride, pad, extra = (each(value, sides) for value in s["window"])
    per_group = 1 if s.values.get("group") == "depthwise" else _outputs(s, group) // group
    parameters = _parameters(s, (x.shape[1], per_group, *kernel), per_group * group)
    named = {"even": pad + pad, "end": (0,) * sides + pad, "begin": pad + (0,) * sides}
    sizes = s.values.get("by") == "output_shape"
    _finished(
        s.node(
            "ConvTranspose", [x, *parameters], kernel_shape=kernel, strides=stride, group=group,
            dilations=each(s.values.get("dilation", 1), sides),
            pads=None if sizes or "auto_pad" in s.values else named[str(s.values.get("pads", "even"))],
            output_padding=extra if any(extra) else None,
            auto_pad=s.values.get("auto_pad"),
            output_shape=[side * t for side, t in zip(x.shape[2:], stride, strict=True)] if sizes else None,
        )
    )  # fmt: skip


def _deformed(s: Sketch) -> None:
    x = _image(s)
    if x.rank != 4:
        raise UnfitError("only images are deformed")
    group, kernel, stride = _groups(s, x), each(s["kernel"], 2), int(s["stride"])
    fields = int(s["fields"])
    if x.shape[1] % fields:
        raise UnfitError(f"{fields} fields over {x.shape[1]} channels")
    half = [k // 2 for k in kernel]
    after = [(side + 2 * h - k) // stride + 1 for side, h, k in zip(x.shape[2:], half, kernel, strict=True)]
    if min(after) < 1:
        raise UnfitError("the kernel is larger than the image")
    points, outputs = fields * prod(kernel), _outputs(s, group)
    weights = s.weights((outputs, x.shape[1] // group, *kernel), spread=0.3)
    offsets = s.input((x.shape[0], 2 * points, *after), low=-1.5, high=1.5)
    bias = s.weights((outputs,)) if s["bias"] else None
    mask = s.input((x.shape[0], points, *after), low=0.0, high=1.0) if s["mask"] else None
    s.node(
        "DeformConv", [x, weights, offsets, bias, mask], kernel_shape=kernel, group=group,
        offset_group=fields, strides=(stride, stride), pads=half + half,
    )  # fmt: skip


_OLD = ("pointwise", "dense", "grouped", "depthwise", "1d", "whole", "overlapping")
"""Forms that are tried in version 1 too, which opset 10 ends."""

_RARE: dict[str, tuple[Value, ...]] = {
    "kernel": (2, 4, 6, 9, 11), "stride": (3, 4), "dilation": (3, 5, 8), "bias": (False,),
    "pads": ("none", "end", "uneven", "wide"),
}  # fmt: skip
"""Values that any convolution with the axis may meet outside the grid."""


def _form(
    name: str,
    axes: dict[str, tuple[Value, ...]],
    ranks: tuple[int, ...] = (4,),
    *,
    halves: bool = False,
    more: dict[str, tuple[Value, ...]] | None = None,
) -> Form:
    """A form of Conv; ``halves``: also in float16."""
    rare = {axis: values for axis, values in _RARE.items() if axis in axes}
    types = _BOTH if halves else ("float32",)
    least = 1 if name in _OLD else 11
    return Form(
        "Conv",
        name,
        _conv,
        ranks,
        types,
        axes=axes,
        more=rare if more is None else more,
        discriminators=_TELLS,
        least=least,
    )


_TURNED: dict[str, tuple[Value, ...]] = {"window": ((4, 2, 1, 0), (3, 2, 1, 1), (2, 2, 0, 0))}


def _up(name: str, axes: dict[str, tuple[Value, ...]], ranks: tuple[int, ...] = (4,)) -> Form:
    """A form of ConvTranspose."""
    more: dict[str, tuple[Value, ...]] = {
        "window": ((5, 2, 2, 1), (5, 3, 1, 0), (2, 3, 0, 0), (1, 1, 0, 0), (6, 4, 1, 0), (7, 1, 3, 0)),
        "group": (2, 4),
        "dilation": (1, 3),
        "bias": (False,),
    }
    known = {axis: values for axis, values in more.items() if axis in axes}
    return Form(
        "ConvTranspose",
        name,
        _transposed,
        ranks,
        axes=axes,
        more=known,
        discriminators=_TELLS,
        least=1 if name in _OLD else 11,
    )


FORMS: tuple[Form, ...] = (
    _form(
        "pointwise",
        {"kernel": (1,), "stride": (1, 2), "bias": (True, False)},
        halves=True,
        more={"stride": (3,)},
    ),
    _form("dense", {"kernel": (3, 5, 7), "stride": (1, 2), "dilation": (1, 2)}, halves=True),
    _form("no-bias", {"kernel": (3, 7), "stride": (1, 2), "bias": (False,)}),
    _form("even-kernel", {"kernel": (2, 4), "stride": (1, 2)}, more={"kernel": (6, 8)}),
    _form(
        "oblong",
        {"kernel": ((1, 3), (3, 1), (1, 7), (7, 1)), "stride": (1,)},
        more={
            "kernel": ((1, 9), (9, 1), (1, 11), (11, 1), (5, 3), (1, 21)),
            "stride": (2, (1, 2), (2, 1)),
        },
    ),
    _form(
        "dilated",
        {"kernel": (3,), "dilation": (4, 6, 12, 18, 24)},
        more={"dilation": (9, 36), "kernel": (5,)},
    ),
    _form(
        "pads",
        {"kernel": (3,), "pads": ("none", "end", "begin", "wide", "uneven"), "stride": (1, 2)},
        more={"kernel": (2, 5, 7), "stride": (3,)},
    ),
    _form(
        "auto-pad",
        {"auto_pad": ("SAME_UPPER", "SAME_LOWER", "VALID"), "kernel": (3,), "stride": (1, 2)},
        more={"kernel": (1, 2, 4, 5), "stride": (3,)},
    ),
    _form(
        "patches",
        {"kernel": (4,), "stride": (4,), "pads": ("none",), "channels": (3, 8)},
        more={"kernel": (2, 3, 8), "stride": (2, 3, 8)},
    ),
    _form(
        "embedding",
        {"kernel": (8, 16), "stride": (8, 16), "pads": ("none",), "channels": (3,), "side": (32,)},
        more={"channels": (8,)},
    ),
    _form("overlapping-patches", {"kernel": (7,), "stride": (4,), "channels": (3, 8)}, more={"stride": (3,)}),
    _form("stem", {"kernel": (3, 7), "stride": (2,), "channels": (3, 1)}, more={"channels": (2, 5)}),
    _form("batch", {"kernel": (3,), "batch": (2,), "group": (1, "depthwise")}, more={"batch": (3, 8)}),
    _form(
        "grouped",
        {"kernel": (1, 3), "stride": (1, 2), "group": (2, 4)},
        more={"kernel": (2, 5), "group": (3, 8)},
    ),
    _form(
        "depthwise",
        {"kernel": (3, 5, 7), "stride": (1, 2), "dilation": (1, 2, 4), "group": ("depthwise",)},
        halves=True,
    ),
    _form(
        "grouped-wide",
        {"kernel": (3,), "stride": (1, 2), "group": (8, 16, 32), "channels": (64,)},
        more={"kernel": (1, 5), "channels": (32, 96), "group": (3, 6, 12, 13, 24, 26, 55)},
    ),
    _form(
        "depthwise-wide",
        {
            "kernel": (3, 5),
            "stride": (1, 2),
            "dilation": (1, 2),
            "channels": (16, 64, 256, 1024),
            "group": ("depthwise",),
        },
        more={"kernel": (7, 9), "channels": (6, 12, 24, 40, 96, 384, 576, 960, 1280, 2048)},
    ),
    _form(
        "depthwise-pads",
        {
            "kernel": (3, 5),
            "stride": (1, 2),
            "pads": ("none", "end", "uneven"),
            "channels": (16, 256, 1024),
            "group": ("depthwise",),
        },
        more={"kernel": (7,), "channels": (24, 96, 576), "pads": ("begin", "wide")},
    ),
    _form(
        "depthwise-dilated",
        {"kernel": (3,), "dilation": (6, 12, 18), "channels": (16, 64, 256), "group": ("depthwise",)},
        more={"dilation": (9, 24, 36), "channels": (24, 96, 960, 2048)},
    ),
    _form(
        "depthwise-atrous",
        {
            "kernel": (3,),
            "dilation": (2, 4),
            "channels": (512, 1536, 2048),
            "group": ("depthwise",),
            "side": (8,),
        },
        more={},
    ),
    _form(
        "depthwise-pointwise",
        {"kernel": (1,), "stride": (1,), "channels": (8, 64, 512), "bias": (True, False)}
        | {"group": ("depthwise",)},
        more={"stride": (2,), "channels": (3, 24, 192, 1024, 2048)},
    ),
    _form(
        "depthwise-oblong",
        {"kernel": ((1, 7), (7, 1), (1, 11), (11, 1)), "channels": (8, 64), "group": ("depthwise",)},
        more={"kernel": ((1, 9), (9, 1), (1, 21), (21, 1)), "channels": (24, 96, 192)},
    ),
    _form("depthwise-no-bias", {"kernel": (3, 5), "group": ("depthwise",), "bias": (False,)}),
    _form(
        "depthwise-multiplied",
        {"kernel": (3,), "stride": (1, 2), "group": ("depthwise",), "multiplier": (2, 4)},
        more={"kernel": (1, 2, 5, 7), "multiplier": (3, 6)},
    ),
    _form(
        "depthwise-auto-pad",
        {"kernel": (3,), "stride": (1, 2), "group": ("depthwise",), "auto_pad": ("SAME_UPPER", "VALID")},
    ),
    _form(
        "computed-weights",
        {"kernel": (1, 3), "group": (1, "depthwise"), "bias": (True, False), "weights": ("computed",)},
    ),
    _form("1d", {"kernel": (1, 3, 7), "stride": (1, 2), "dilation": (1, 2)}, (3,)),
    _form("1d-grouped", {"kernel": (3, 5), "stride": (1, 2), "group": ("depthwise", 2)}, (3,)),
    _form("3d", {"kernel": (1, 3), "stride": (1, 2), "dilation": (1, 2)}, (5,)),
    _form("3d-grouped", {"kernel": (3,), "stride": (1, 2), "group": ("depthwise", 2)}, (5,)),
    _up("whole", {"window": ((2, 2, 0, 0), (3, 3, 0, 0), (4, 4, 0, 0), (8, 8, 0, 0)), "bias": (True, False)}),
    _up(
        "overlapping",
        {
            "window": (
                (4, 2, 1, 0),
                (3, 2, 0, 0),
                (3, 1, 1, 0),
                (4, 2, 0, 0),
                (8, 4, 2, 0),
                (16, 8, 4, 0),
                (5, 1, 2, 0),
            ),
            "bias": (True, False),
        },
    ),
    _up("output-padded", {"window": ((3, 2, 1, 1), (5, 2, 2, 1), (3, 4, 0, 1)), "bias": (True,)}),
    _up("grouped", {**_TURNED, "group": (2,)}),
    _up("depthwise", {**_TURNED, "group": ("depthwise",)}),
    _up("dilated", {"window": ((3, 2, 1, 1), (3, 1, 1, 0)), "dilation": (2,)}),
    _up("uneven-pads", {"window": ((4, 2, 1, 0), (3, 2, 1, 0)), "pads": ("end", "begin")}),
    _up("auto-pad", {"window": ((4, 2, 1, 0), (3, 2, 1, 0)), "auto_pad": ("SAME_UPPER", "VALID")}),
    _up("output-shape", {"window": ((4, 2, 1, 0), (3, 2, 1, 0)), "by": ("output_shape",)}),
    _up("computed-weights", {"window": ((4, 2, 1, 0), (2, 2, 0, 0)), "weights": ("computed",)}),
    _up("1d", _TURNED, (3,)),
    _up("3d", _TURNED, (5,)),
    Form(
        "DeformConv",
        "plain",
        _deformed,
        axes={"kernel": (3, 1), "stride": (1, 2), "mask": (True, False), "bias": (True,)}
        | {"group": (1,), "fields": (1,)},
        more={"kernel": (5,), "group": (2,), "fields": (2, 4), "bias": (False,)},
    ),
    Form(
        "DeformConv",
        "grouped",
        _deformed,
        axes={"kernel": (3,), "stride": (1,), "mask": (True,), "bias": (True,)}
        | {"group": (2, 4), "fields": (1, 2)},
    ),
)
