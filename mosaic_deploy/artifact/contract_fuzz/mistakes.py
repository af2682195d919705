"""The mistakes that apps make: what they do to the input or to the output, and how one recognises them.

A mistake acts in one of four places on the way from an image to class ids:

    image -> pixels at the network's size -> the contract's numbers -> the file's input -> output -> ids
          fit                             contract                  stored              read
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mosaic_deploy.artifact.stored import stored_input
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.specs.labels import Pixels
from mosaic_deploy.specs.resample import Size, resize_scores

Array = NDArray[Any]
_IMAGENET = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
_HALF = (127.5, 127.5, 127.5)
_NOTHING_TO_NORMALISE = "the input takes the pixels as they are: there is nothing to normalise"
_SAME_SIZE = "every image has the network's size already: nothing is resized"
_NO_SCORES = "the output is class ids: there are no scores to read"


@dataclass(frozen=True, slots=True)
class Case:
    """The artifact that mistakes are made with, and the images."""

    contract: Contract
    source: Mapping[str, Any]
    """Facts of the file's input."""
    resized: bool
    """Whether any image is of another size than the network's input."""
    exact: bool
    """Whether the file takes the pixels themselves, moved by a constant at most."""

    def store(self, contract: Contract, image: Pixels) -> Array:
        """What an app that keeps this contract feeds."""
        return stored_input(contract.prepare(image), self.source)

    @property
    def ids(self) -> bool:
        """Whether the file gives class ids."""
        return self.contract.output not in ("logits", "lowres")


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake, possible or not."""

    name: str
    looks: str
    """How a person recognises it on a phone's screen."""
    impossible: str = ""
    """Why it cannot happen with this artifact; empty where it can."""
    feed: Callable[[Pixels], Array] | None = None
    """(H, W, 3) image -> the file's input; None where the input is right."""
    read: Callable[[Array, Size], Pixels] | None = None
    """Output and image size -> class ids; None where it is read rightly."""


def mistakes(case: Case) -> tuple[Mistake, ...]:
    """Every mistake, in the order in which an engineer would look for them."""
    return (*_colours(case), *_numbers(case), *_sizes(case), *_buffers(case), *_outputs(case))


def _colours(case: Case) -> tuple[Mistake, ...]:
    contract = case.contract
    return (
        Mistake(
            "BGR instead of RGB" if contract.colour == "RGB" else "RGB instead of BGR",
            "shapes stay, classes that live by colour swap: vegetation, sky, sand and skin suffer first",
            feed=lambda image: case.store(contract, np.ascontiguousarray(image[..., ::-1])),
        ),
    )


def _numbers(case: Case) -> tuple[Mistake, ...]:
    contract = case.contract
    why = _NOTHING_TO_NORMALISE if case.exact or contract.dtype == "uint8" else ""
    imagenet = _near(contract.mean, _IMAGENET[0]) and _near(contract.scale, _IMAGENET[1])
    mean, scale = (_HALF, _HALF) if imagenet else _IMAGENET
    other = "127.5 and 127.5" if imagenet else "ImageNet's mean and deviation"
    plain, unit = ((0.0,) * 3, (1.0,) * 3), ((0.0,) * 3, (255.0,) * 3)

    def normalised(pair: tuple[tuple[float, ...], tuple[float, ...]]) -> Callable[[Pixels], Array]:
        wrong = contract.model_copy(update={"mean": pair[0], "scale": pair[1]})
        return lambda image: case.store(wrong, image)

    rows = (
        ("pixels of 0 to 255 instead of normalised ones", plain, "one class nearly everywhere"),
        (
            "pixels of 0 to 1 instead of normalised ones",
            unit,
            "as in fog: large things stay, small ones go",
        ),
        (
            f"normalised with {other}",
            (mean, scale),
            "large things stay, weak classes fade",
        ),
    )
    same = [_near(contract.mean, pair[0]) and _near(contract.scale, pair[1]) for _, pair, _ in rows]
    return tuple(
        Mistake(name, looks, why or ("that is what the contract asks for" if is_so else ""), normalised(pair))
        for (name, pair, looks), is_so in zip(rows, same, strict=True)
    )


def _sizes(case: Case) -> tuple[Mistake, ...]:
    contract = case.contract
    size = (contract.height, contract.width)
    why = "" if case.resized else _SAME_SIZE
    letterbox = contract.resize == "letterbox"
    other = contract.model_copy(update={"resize": "stretch" if letterbox else "letterbox"})
    filtered = why or ("its images are not stretched" if letterbox else "")
    return (
        Mistake(
            "resized to the nearest pixel",
            "thin things (poles, signs) break up, borders are ragged",
            filtered,
            lambda image: case.store(contract, _nearest(image, size)),
        ),
        Mistake(
            "resized bilinearly without smoothing",
            "nearly right; thin and far things flicker between frames",
            filtered,
            lambda image: case.store(contract, _sharp(image, size)),
        ),
        Mistake(
            "stretched instead of letterboxed" if letterbox else "letterboxed instead of stretched",
            "things are too broad or too narrow; worst where the sides' ratio is far from the network's",
            why,
            lambda image: case.store(other, image),
            other.class_map,
        ),
        Mistake(
            "EXIF orientation ignored: the image lies on its side",
            "upright photographs fail and landscape ones are right; road and sky become walls",
            "",
            lambda image: case.store(contract, np.ascontiguousarray(np.rot90(image))),
            lambda output, shape: np.rot90(contract.class_map(output, (shape[1], shape[0])), -1),
        ),
    )


def _buffers(case: Case) -> tuple[Mistake, ...]:
    contract, source = case.contract, case.source
    first = contract.layout == "NCHW"
    integer = source["dtype"] not in ("float32", "float16")
    unsigned = "" if source["dtype"] == "int8" else "the input is no signed byte"
    if not unsigned and not case.exact:
        unsigned = "pixels are normalised before they become bytes"
    whole = "" if integer else "the input is float"
    if integer and contract.dtype == "uint8":
        whole = _NOTHING_TO_NORMALISE

    def other_order(image: Pixels) -> Array:
        right = case.store(contract, image)
        return np.ascontiguousarray(right.transpose((0, 2, 3, 1) if first else (0, 3, 1, 2))).reshape(
            right.shape
        )

    def floats(image: Pixels) -> Array:
        return _cut(contract.prepare(image), str(source["dtype"]))

    def unshifted(image: Pixels) -> Array:
        right = case.store(contract, image)
        return (right.astype(np.int16) + 128).astype(np.uint8).view(np.int8)

    return (
        Mistake(
            f"{'NHWC' if first else 'NCHW'} bytes in an {contract.layout} input",
            "stripes or a grid of small repeated images; nothing in its place",
            feed=other_order,
        ),
        Mistake(
            "normalised floats cast to the input's integers",
            "every image gives the same map",
            whole,
            floats,
        ),
        Mistake(
            "bytes of 0 to 255 in a signed input, 128 not subtracted",
            "dark and bright halves change places: harsh borders where brightness crosses the middle",
            unsigned,
            unshifted,
        ),
    )


def _outputs(case: Case) -> tuple[Mistake, ...]:
    contract = case.contract
    low = contract.output == "lowres" and contract.sampling != "nearest"
    corners = contract.model_copy(
        update={"sampling": "half_pixel" if contract.sampling == "align_corners" else "align_corners"}
    )
    right = contract.class_map

    def turned(output: Array, size: Size) -> Pixels:
        channels_first = output.shape[1] == contract.channels
        order = (0, 2, 3, 1) if channels_first else (0, 3, 1, 2)
        return right(np.ascontiguousarray(output.transpose(order)).reshape(output.shape), size)

    return (
        Mistake(
            "half-pixel centres in the resize of scores" if corners.sampling == "half_pixel" else
            "aligned corners in the resize of scores",
            "right, but borders are off by a few pixels, more towards the image's edges",
            "" if low else "scores are not resized to the input's size outside the network",
            read=corners.class_map,
        ),
        Mistake(
            "scores read in the other order of axes",
            "confetti: the class changes from pixel to pixel, in a regular pattern",
            _NO_SCORES if case.ids or contract.channels == 1 else "",
            read=turned,
        ),
        Mistake(
            "class ids one too high",
            "shapes are right, every name and colour is its neighbour's",
            read=lambda output, size: right(output, size) + np.uint8(1),
        ),
        Mistake(
            "class ids one too low",
            "shapes are right, every name and colour is its neighbour's, and the first class is gone",
            read=lambda output, size: right(output, size) - np.uint8(1),
        ),
    )  # fmt: skip


def _near(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return bool(np.allclose(one, other, rtol=0.01))


def _cut(values: Array, dtype: str) -> Array:
    """A cast as C does it on phones: towards zero, and what is beyond the type's ends stays there."""
    bounds = np.iinfo(dtype)
    return np.clip(np.trunc(values), bounds.min, bounds.max).astype(dtype)


def _nearest(image: Pixels, size: Size) -> Pixels:
    resized = Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.NEAREST)
    return np.asarray(resized)


def _sharp(image: Pixels, size: Size) -> Pixels:
    planes = resize_scores(np.moveaxis(image, -1, 0).astype(np.float32), size)
    return np.moveaxis(np.rint(planes).clip(0, 255).astype(np.uint8), 0, -1)
