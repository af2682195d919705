"""Pools: over windows and over whole images."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mosaic_deploy.probing.form import Form
from mosaic_deploy.probing.sketch import Sketch, UnfitError, Value, Wire

_Axes = Mapping[str, tuple[Value, ...]]

_TELLS = (
    "dilations_are_one", "windows_are_whole", "halved_windows_share_a_scale", "pads_are_symmetric",
    "only_first_output_is_asked_for", "windows_are_not_padded", "padding_is_that_of_tflite",
    "strides_are_within_windows", "padding_is_counted",
)  # fmt: skip

_RARE: _Axes = {
    "kernel": (4, 5, 6, 8, 9),
    "stride": (1, 3, 4),
    "pads": ("begin", "end"),
    "ceil": (True,),
    "dilation": (3,),
    "p": (3,),
}
"""Values that any pool with the axis may meet outside the grid."""


def each(value: Value, count: int) -> tuple[int, ...]:
    """One number per spatial axis; raises ``UnfitError`` for a tuple of another length."""
    if isinstance(value, tuple):
        if len(value) != count:
            raise UnfitError(f"{value} for {count} axes")
        return tuple(int(v) for v in value)
    return (int(value or 0),) * count


def padding(name: str, kernel: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[int, ...]:
    """The attribute ``pads`` for one of these names, ``same`` keeping the sides of an image at stride 1."""
    whole = tuple(d * (k - 1) for k, d in zip(kernel, dilation, strict=True))
    half = tuple(w // 2 for w in whole)
    nothing = (0,) * len(whole)
    return {
        "same": half + tuple(w - h for w, h in zip(whole, half, strict=True)),
        "none": nothing + nothing,
        "end": nothing + half,
        "begin": half + nothing,
        "wide": whole + whole,
        "uneven": tuple(i % 3 for i in range(2 * len(whole))),
    }[name]


def fit(x: Wire, kernel: tuple[int, ...], dilation: tuple[int, ...], pads: tuple[int, ...]) -> None:
    """Raise ``UnfitError`` where the padded image is smaller than a window."""
    for i, (side, k, d) in enumerate(zip(x.shape[2:], kernel, dilation, strict=True)):
        if d * (k - 1) >= side + pads[i] + pads[i + len(kernel)]:
            raise UnfitError(f"a kernel of {k} over a side of {side}")


def _image(s: Sketch) -> Wire:
    """The data; ``sides`` are the image's where it must hold a large window."""
    shape = s.shape()
    x = s.data((*shape[:2], *each(s["sides"], len(shape) - 2)) if "sides" in s.values else shape)
    if x.rank < 3:
        raise UnfitError("no image")
    return x


def _windowed(op: str, outputs: int = 1) -> Callable[[Sketch], None]:
    """Draw a pool; a kernel of ``all`` covers the image, a stride of ``kernel`` tiles it."""

    def draw(s: Sketch) -> None:
        x, given = _image(s), s.values
        sides = x.shape[2:]
        kernel = sides if s["kernel"] == "all" else each(s["kernel"], len(sides))
        stride = kernel if given.get("stride") == "kernel" else each(given.get("stride", 1), len(sides))
        dilation = each(given.get("dilation", 1), len(sides))
        pads = padding(str(given.get("pads", "none")), kernel, dilation)
        fit(x, kernel, dilation, pads)
        for i, (side, k, d) in enumerate(zip(sides, kernel, dilation, strict=True)):
            if max(pads[i], pads[i + len(sides)]) >= k:
                raise UnfitError(f"a window of {k} may lie in the padding")
            beyond = side + pads[i] + pads[i + len(sides)] - d * (k - 1) - 1
            if given.get("ceil") and -(-beyond // stride[i]) * stride[i] >= side + pads[i]:
                raise UnfitError(
                    "ONNX Runtime drops a last window that begins outside, shape inference keeps it"
                )
        s.node(
            op, [x], outputs=outputs, kernel_shape=kernel, strides=stride,
            pads=None if "auto_pad" in given else pads,
            dilations=dilation if set(dilation) != {1} else None,
            auto_pad=given.get("auto_pad"),
            ceil_mode=1 if given.get("ceil") else None,
            count_include_pad=1 if given.get("counted") else None,
            p=given.get("p"),
        )  # fmt: skip

    return draw


def _whole(op: str) -> Callable[[Sketch], None]:
    def draw(s: Sketch) -> None:
        s.node(op, [_image(s)], p=s.values.get("p"))

    return draw


def _pool(op: str, name: str, axes: _Axes, ranks: tuple[int, ...] = (4,), least: int = 11) -> Form:
    rare = {axis: values for axis, values in _RARE.items() if axis in axes}
    if "auto_pad" in axes:
        rare["auto_pad"] = ("SAME_LOWER",)
    return Form(op, name, _windowed(op), ranks, axes=axes, more=rare, discriminators=_TELLS, least=least)


def _usual(op: str) -> tuple[Form, ...]:
    """The forms that MaxPool and AveragePool share."""
    return (
        _pool(op, "windows", {"kernel": (2, 3, 5), "stride": (1, 2), "pads": ("none", "same")}, least=1),
        _pool(op, "ceil", {"kernel": (2, 3), "stride": (2, 3), "pads": ("none", "same"), "ceil": (True,)}),
        _pool(op, "uneven-pads", {"kernel": (3,), "stride": (1, 2), "pads": ("end", "begin")}),
        _pool(op, "auto-pad", {"kernel": (3,), "stride": (1, 2), "auto_pad": ("SAME_UPPER", "VALID")}),
        _pool(
            op,
            "dilated",
            {"kernel": (2, 3), "stride": (1, 2), "dilation": (2,), "pads": ("none", "same")},
            least=19 if op == "AveragePool" else 11,
        ),
        _pool(op, "oblong", {"kernel": ((1, 3), (3, 1), (2, 4)), "stride": (1, 2), "pads": ("none",)}),
        _pool(op, "large", {"kernel": (7, 9, 11), "stride": (1, "kernel"), "pads": ("same",)}),
        _pool(op, "tiles", {"kernel": (4, (3, 4), (6, 8), 8), "stride": ("kernel",)}),
        _pool(op, "whole", {"kernel": ("all",), "stride": (1, "kernel")}, (3, 4, 5)),
        _pool(op, "1d", {"kernel": (2, 3), "stride": (2,), "pads": ("none", "same")}, (3,)),
        _pool(op, "3d", {"kernel": (2, 3), "stride": (2,), "pads": ("none", "same")}, (5,)),
    )


FORMS: tuple[Form, ...] = (
    *_usual("MaxPool"),
    *_usual("AveragePool"),
    Form(
        "AveragePool",
        "thumbnail",
        _windowed("AveragePool"),
        axes={"kernel": ((6, 8), (16, 32), (32, 64)), "stride": ("kernel",), "sides": ((64, 128),)},
        discriminators=_TELLS,
        least=11,
    ),
    _pool(
        "AveragePool",
        "counted",
        {
            "kernel": (3,),
            "stride": (1, 2),
            "pads": ("same", "end"),
            "ceil": (False, True),
            "counted": (True,),
        },
    ),
    Form(
        "MaxPool",
        "with-indices",
        _windowed("MaxPool", outputs=2),
        quantized=False,  # a maximum that is met twice has two right answers
        axes={"kernel": (2, 3), "stride": (1, 2), "pads": ("none", "same")},
        more={"kernel": (4, 5), "stride": (3,), "ceil": (True,)},
        least=8,
    ),
    Form(
        "MaxPool",
        "integers",
        _windowed("MaxPool"),
        dtypes=("uint8", "int8"),
        axes={"kernel": (2, 3), "stride": (2,), "pads": ("none", "same")},
        more={"kernel": (5,), "stride": (1,)},
        least=12,
    ),
    _pool("LpPool", "windows", {"kernel": (2, 3), "stride": (2,), "p": (2, 1), "pads": ("none", "same")}),
    _pool("LpPool", "ceil", {"kernel": (3,), "stride": (2,), "p": (2,), "ceil": (True,)}, least=18),
    *(
        Form(op, "plain", _whole(op), (3, 4, 5), axes=axes, more=more)
        for op, axes, more in (
            ("GlobalAveragePool", {}, {}),
            ("GlobalMaxPool", {}, {}),
            ("GlobalLpPool", {"p": (2, 1)}, {"p": (3,)}),
        )
    ),
)
