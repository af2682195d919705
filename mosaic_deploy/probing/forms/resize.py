"""Resize: a form for every way to place and to round coordinates.

Where a coordinate lies exactly between two pixels (or, for floor and ceil, on one), what comes out hangs on
the last bit of a division. Such cases are not drawn unless the arithmetic is exact: whole factors of two.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from itertools import product
from math import prod

from mosaic_deploy.probing.form import Form
from mosaic_deploy.probing.sketch import Sketch, UnfitError, Value, Wire

_Axes = Mapping[str, tuple[Value, ...]]

_TELLS = (
    "sizes_grow_by_whole_factors", "sizes_shrink_by_whole_factors", "scales_are_exact",
    "only_height_and_width_change",
)  # fmt: skip
_LARGEST = 250_000  # elements of an output

_ODD_IMAGE = (11, 15, 5)
_UNEVEN = {"up-uneven": (19, 23, 9), "down-uneven": (7, 7, 3)}
"""Sides of the image after; one more where coordinates are not asymmetric. No rounding is then a tie."""

_FACTORS = {
    "up2": 2.0, "up3": 3.0, "up4": 4.0, "up8": 8.0, "down2": 0.5, "down4": 0.25, "up1.5": 1.5, "up-cut": 1.6,
    "down-cut": 0.6,
}  # fmt: skip
"""By which every spatial side grows; ``cut``: the sizes do not come out whole."""

_NEAREST = ("round_prefer_floor", "floor", "ceil", "round_prefer_ceil")
_COORDINATES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")


def _data(s: Sketch) -> Wire:
    shape: tuple[int, ...] | None = None
    if s["scale"] == "pixel":
        shape = (*s.shape()[:2], *(1,) * (s.rank - 2))
    elif s["scale"] in _UNEVEN and not s.random:
        shape = (*s.shape()[:2], *_ODD_IMAGE[: s.rank - 2])
    x = s.data(shape)
    if x.rank < 3:
        raise UnfitError("no image")
    return x


def _sizes(s: Sketch, x: Wire) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Sizes after, and the scales that stand in the model."""
    kind, (batch, channels, *image) = str(s["scale"]), x.shape
    if kind in _FACTORS:
        scales = (1.0, 1.0, *(_FACTORS[kind],) * len(image))
        cut = [int(Fraction(side) * Fraction(str(_FACTORS[kind]))) for side in image]
        return (batch, channels, *cut), scales
    if kind == "pixel":
        image = [16] * len(image)
    elif kind == "channels":
        channels *= 2
    elif kind == "rows":
        image[0] *= 2
    elif kind in _UNEVEN and s.random:
        low, high = (1.0, 4.0) if kind == "up-uneven" else (0.3, 1.0)
        image = [max(1, int(side * s.rng.uniform(low, high))) for side in image]
    elif kind in _UNEVEN:
        even = s.values.get("coordinates") != "asymmetric"
        image = [side + even for side in _UNEVEN[kind][: len(image)]]
    after = (batch, channels, *image)
    return after, tuple(a / b for a, b in zip(after, x.shape, strict=True))


def _dyadic(number: int) -> bool:
    return number & (number - 1) == 0


def _on_edge(s: Sketch, before: int, after: int, scale: float) -> bool:
    """Whether rounding a coordinate along one axis hangs on the last bit."""
    coordinates = s.values.get("coordinates", "asymmetric")
    if coordinates == "align_corners":
        step, start, places = Fraction(before - 1, max(after - 1, 1)), Fraction(0), range(1, after - 1)
        exact = _dyadic(step.denominator)
    else:
        ratio = Fraction(scale).limit_denominator(1000) if _by_scales(s) else Fraction(after, before)
        step, places = 1 / ratio, range(after)
        start = Fraction(0) if coordinates == "asymmetric" else step / 2 - Fraction(1, 2)
        exact = _dyadic(step.denominator) and _dyadic(step.numerator)
    if exact:
        return False
    edge = Fraction(0) if s.values.get("rounding", "floor") in ("floor", "ceil") else Fraction(1, 2)
    return any(i and (start + i * step + edge).denominator == 1 for i in places)


def _by_scales(s: Sketch) -> bool:
    return s.values.get("by", "scales" if s["scale"] in _FACTORS else "sizes") == "scales"


def _resize(s: Sketch) -> None:
    x = _data(s)
    after, scales = _sizes(s, x)
    version, mode = s.since("Resize"), str(s["mode"])
    if mode != "nearest" and s["scale"] == "channels":
        raise UnfitError("images only are smoothed")
    if min(after) < 1 or prod(after) > _LARGEST:
        raise UnfitError(f"{x.shape} to {after}")
    if mode == "nearest" and any(map(_on_edge, [s] * x.rank, x.shape, after, scales)):
        raise UnfitError("a coordinate between two pixels")
    if version > 13 and s.values.get("coordinates") == "tf_half_pixel_for_nn":
        raise UnfitError("gone since version 18")
    if version == 10:
        _resize_10(s, x, scales)
        return
    nothing = s.constant([], "float32") if version == 11 else None
    inputs = [x, nothing, nothing, s.constant(after, "int64")]
    if _by_scales(s):
        inputs = [x, nothing, s.constant(scales, "float32")]
    s.node(
        "Resize", inputs, mode=mode,
        coordinate_transformation_mode=s.values.get("coordinates"),
        nearest_mode=s.values.get("rounding"),
        antialias=1 if s.values.get("antialias") else None,
        exclude_outside=1 if s.values.get("excluded") else None,
        cubic_coeff_a=s.values.get("cubic"),
    )  # fmt: skip


def _resize_10(s: Sketch, x: Wire, scales: tuple[float, ...]) -> None:
    """The version that knows no coordinates: it means asymmetric and floor."""
    plain = s.values.get("coordinates") == "asymmetric" and s.values.get("rounding", "floor") == "floor"
    if not _by_scales(s) or not plain or s["mode"] == "cubic":
        raise UnfitError("version 10 cannot say so")
    s.node("Resize", [x, s.constant(scales, "float32")], mode=s["mode"])


def _form(
    name: str,
    axes: _Axes,
    ranks: tuple[int, ...] = (4,),
    *,
    dtypes: tuple[str, ...] = ("float32",),
    least: int = 11,
) -> Form:
    more: dict[str, tuple[Value, ...]] = {
        "scale": (
            "up3", "up4", "up8", "down2", "down4", "up1.5", "up-cut", "down-cut", "same", "rows", "channels",
            "up-uneven", "down-uneven", "pixel",
        ),
        "by": ("scales", "sizes"),
        "cubic": (-0.6,),
    }  # fmt: skip
    known = {axis: values for axis, values in more.items() if axis in axes}
    return Form(
        "Resize", name, _resize, ranks, dtypes, axes=axes, more=known, discriminators=_TELLS, least=least
    )


def _nearest(coordinates: str, rounding: str, scales: tuple[str, ...], least: int = 11) -> Form:
    name = f"nearest-{coordinates}-{rounding}".replace("_", "-")
    asked: _Axes = {"mode": ("nearest",), "coordinates": (coordinates,), "rounding": (rounding,)}
    plain = (coordinates, rounding) == ("asymmetric", "floor")
    types = ("float32", "float16") if plain else ("float32",)
    return _form(name, {"scale": scales, **asked}, dtypes=types, least=10 if plain else least)


def _smooth(mode: str, coordinates: str, scales: tuple[str, ...], least: int = 11) -> Form:
    name = f"{mode}-{coordinates}".replace("_", "-")
    asked: _Axes = {"mode": (mode,), "coordinates": (coordinates,)}
    types = ("float32", "float16") if name == "linear-half-pixel" else ("float32",)
    first = 10 if name == "linear-asymmetric" else least
    return _form(name, {"scale": scales, **asked}, dtypes=types, least=first)


_USUAL = (
    ("asymmetric", "floor"),
    ("half_pixel", "round_prefer_floor"),
    ("half_pixel", "round_prefer_ceil"),
    ("align_corners", "round_prefer_ceil"),
)
_WIDE = ("up2", "up4", "up-uneven", "down2", "down-uneven")
_NARROW = ("up2", "up-uneven", "down2")

_HALF: _Axes = {"coordinates": ("half_pixel",)}

FORMS: tuple[Form, ...] = (
    *(
        _nearest(coordinates, rounding, _WIDE if (coordinates, rounding) in _USUAL else _NARROW)
        for coordinates, rounding in product(_COORDINATES, _NEAREST)
    ),
    *(_nearest("half_pixel_symmetric", rounding, ("up2", "up-uneven"), 19) for rounding in _NEAREST),
    *(_nearest("tf_half_pixel_for_nn", rounding, ("up2",)) for rounding in _NEAREST),
    *(
        _smooth("linear", coordinates, ("up2", "up4", "up8", "up-uneven", "down2", "down-uneven", "pixel"))
        for coordinates in _COORDINATES
    ),
    _smooth("linear", "half_pixel_symmetric", ("up2", "up-uneven", "down2"), 19),
    _smooth("linear", "tf_half_pixel_for_nn", ("up2",)),
    *(_smooth("cubic", coordinates, ("up2", "up-uneven", "down2")) for coordinates in _COORDINATES),
    _form(
        "linear-by",
        {
            "scale": ("up2", "up1.5", "up-cut", "down-cut"),
            "by": ("scales", "sizes"),
            "mode": ("linear",),
            **_HALF,
        },
    ),
    _form(
        "nearest-by",
        {
            "scale": ("up2", "up4", "down2"),
            "by": ("sizes",),
            "mode": ("nearest",),
            "coordinates": ("asymmetric",),
            "rounding": ("floor",),
        },
    ),
    _form("cubic-coefficient", {"scale": ("up2", "down2"), "cubic": (-0.5,), "mode": ("cubic",), **_HALF}),
    _form(
        "excluded",
        {"scale": ("up2", "down2"), "excluded": (True,), "mode": ("cubic",), **_HALF},
    ),
    _form(
        "antialias",
        {
            "scale": ("down2", "down-uneven", "up2"),
            "antialias": (True,),
            "mode": ("linear", "cubic"),
            **_HALF,
        },
        least=18,
    ),
    _form("linear-3d", {"scale": ("up2", "up-uneven"), "mode": ("linear",), **_HALF}, (3, 5)),
    _form(
        "nearest-3d",
        {
            "scale": ("up2", "down2"),
            "mode": ("nearest",),
            "coordinates": ("asymmetric", "half_pixel"),
            "rounding": ("floor",),
        },
        (3, 5),
    ),
    _form(
        "other-axes",
        {
            "scale": ("channels", "rows"),
            "mode": ("nearest",),
            "coordinates": ("asymmetric",),
            "rounding": ("floor",),
        },
    ),
    _form(
        "integers",
        {
            "scale": ("up2", "up4", "down2"),
            "mode": ("nearest",),
            "coordinates": ("asymmetric",),
            "rounding": ("floor",),
        },
        dtypes=("uint8", "int8", "int32"),
    ),
)
