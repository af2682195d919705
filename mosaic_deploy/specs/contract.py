"""The contract between a network and whoever feeds it: preprocessing, labels and output, as one value.

The same value prepares images for training's evaluation, calibration and parity, and travels inside every
artifact, so that what is measured here is what a phone must do.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from mosaic_deploy.errors import DataError, ModelError
from mosaic_deploy.specs.fields import OutputKind
from mosaic_deploy.specs.label_spaces import LABEL_SPACES
from mosaic_deploy.specs.labels import IGNORE, LabelSpace, Pixels
from mosaic_deploy.specs.resample import (
    Bilinear,
    Floats,
    Sampling,
    Size,
    letterbox_image,
    letterbox_size,
    resize_ids,
    resize_scores,
)
from mosaic_deploy.specs.resized_classes import best_classes
from mosaic_deploy.specs.toml import nearest

Side = Annotated[int, Field(ge=16, le=8192)]
Triple = tuple[FiniteFloat, FiniteFloat, FiniteFloat]
Byte = Annotated[int, Field(ge=0, le=255)]


class Contract(BaseModel):
    """What a network expects of an image, and what its output means. Frozen and hashable."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    height: Side
    width: Side
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    """Order of the input's axes. Scores may come in either; where both would fit, in this one."""
    dtype: Literal["float32", "uint8"] = "float32"
    """``uint8`` takes raw pixels: the normalisation is inside the graph, and mean and scale unused."""
    mean: Triple = (128.0, 128.0, 128.0)
    scale: Triple = (128.0, 128.0, 128.0)
    """input = (pixel - mean) / scale per colour, pixel in 0..255. With 128 and 128 a uint8 tensor of scale
    1/128 and zero point 128 holds the raw pixels exactly; 127.5 would lose a bit to rounding."""
    colour: Literal["RGB", "BGR"] = "RGB"
    """Order of the input's channels; mean and scale are in this order too."""
    resize: Literal["stretch", "letterbox"] = "stretch"
    """``stretch``: both sides to the input's with Pillow's bilinear filter: half-pixel centres, smoothed
    (antialiased) when it shrinks. ``letterbox``: the longer side fits, bilinear with aligned corners and
    without smoothing, and the rest at the bottom and right is padded with 127 and never scored (MLPerf's
    ADE20K files)."""
    output: OutputKind = "logits"
    """(1, C, H, W) scores at input size; scores at a fraction of it; or class ids, (1, H, W) or smaller,
    which are enlarged to the nearest. C is the number of classes, or 1 where there is a ``threshold``. Ids
    are read alike however they were made: a ``lowmap`` of scores that were not resized, ``vim`` of those that
    win somewhere before resizing."""
    sampling: Sampling = "half_pixel"
    """How ``lowres`` scores are resized, bilinearly: ``half_pixel`` to any size at once; the others to the
    input's size first, as the network itself would, and from there with half-pixel centres. ``nearest``: not
    they, but the class ids made of them, as those of a class map."""
    threshold: FiniteFloat | None = None
    """Where a pixel has one score: above this it is of the second class, the foreground, else of the first.
    None where it has a score for each class."""
    classes: tuple[str, ...]
    palette: tuple[tuple[Byte, Byte, Byte], ...]
    unscored: tuple[int, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _named_labels(cls, stated: object) -> object:
        """``labels = NAME`` stands for the classes, palette and unscored ids of a known data set."""
        if not isinstance(stated, Mapping) or "labels" not in stated:
            return stated
        held = dict(stated)
        name, own = held.pop("labels"), [key for key in ("classes", "palette", "unscored") if key in held]
        if own:
            raise ValueError(f"labels = {name!r} states the {own[0]} already: leave one out")
        if name not in LABEL_SPACES:
            known = ", ".join(LABEL_SPACES)
            raise ValueError(f"no labels {name!r}{nearest(str(name), LABEL_SPACES)}; known: {known}")
        space = LABEL_SPACES[name]
        return held | {"classes": space.classes, "palette": space.palette, "unscored": space.unscored}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        count = len(self.classes)
        if not 2 <= count <= 255:
            raise ValueError(f"{count} classes: 2 to 255 are supported")
        twice = sorted({name for name in self.classes if self.classes.count(name) > 1})
        if twice or not all(name.strip() for name in self.classes):
            raise ValueError(f"class names are empty or repeated: {', '.join(twice) or 'empty'}")
        if len(self.palette) != count:
            raise ValueError(f"{len(self.palette)} colours for {count} classes")
        if any(not 0 <= i < count for i in self.unscored):
            raise ValueError(f"unscored ids {self.unscored} are not all below {count}")
        if len(set(self.unscored)) in (count, count - 1) and self.unscored:
            raise ValueError("fewer than 2 classes are scored")
        if self.threshold is not None and count != 2:
            raise ValueError(f"a threshold parts 2 classes, there are {count}")
        if 0 in self.scale:
            raise ValueError("scale holds a zero")
        return self

    @property
    def labels(self) -> LabelSpace:
        """The classes as data sets state them."""
        return LabelSpace(self.classes, self.palette, self.unscored)

    @property
    def channels(self) -> int:
        """Scores per pixel."""
        return len(self.classes) if self.threshold is None else 1

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of the network's input for one image."""
        if self.layout == "NCHW":
            return (1, 3, self.height, self.width)
        return (1, self.height, self.width, 3)

    def digest(self) -> str:
        """A short hash by which two artifacts can be told to expect the same; stable across releases."""
        # What came later counts only where it says something: older artifacts keep their digest.
        late = {"sampling"} if self.sampling == "half_pixel" else set()
        late |= {"threshold"} if self.threshold is None else set()
        held = self.model_dump(mode="json", exclude=late)
        stated = json.dumps(held, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(stated.encode()).hexdigest()[:16]

    def require(self, labels: LabelSpace, *, dataset: str) -> None:
        """Raise ``DataError`` unless a data set's ids mean what the network's do.

        A data set without classes of its own (images only) fits every network.
        """
        for ours, theirs in zip(self.classes, labels.classes, strict=False):
            if ours != theirs:
                raise DataError(f"{dataset}: its class '{theirs}' has the id of the network's '{ours}'")
        if labels.classes and len(labels.classes) != len(self.classes):
            raise DataError(f"{dataset}: has {len(labels.classes)} classes, the network {len(self.classes)}")

    def prepare(self, image: Pixels) -> NDArray[Any]:
        """Turn an (H, W, 3) uint8 RGB image of any size into the network's input, shape and dtype as stated.

        Raises ``DataError`` for an array of another shape or dtype.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise DataError(f"an image is (H, W, 3) uint8, this is {image.shape} {image.dtype}")
        pixels = self._fit(image)
        if self.colour == "BGR":
            pixels = pixels[..., ::-1]
        x: NDArray[Any] = pixels if self.dtype == "uint8" else self.normalise(pixels)
        if self.layout == "NCHW":
            x = np.moveaxis(x, -1, 0)
        return np.ascontiguousarray(x[None])

    def normalise(self, pixels: Pixels) -> Floats:
        """Map (..., 3) pixels in 0..255, in the contract's colour order, to the network's floats."""
        mean, scale = np.asarray(self.mean, np.float32), np.asarray(self.scale, np.float32)
        normal: Floats = (pixels.astype(np.float32) - mean) / scale
        return normal

    def class_map(self, output: NDArray[Any], size: Size) -> Pixels:
        """Turn the network's output into (H, W) class ids at the ``size`` of the original image.

        Scores are resized bilinearly and only then compared, with one another (the lowest id wins a tie) or
        with the threshold; a class map is resized to the nearest. The grid is the one ``prepare`` used:
        half-pixel centres, or for a letterbox aligned corners, after its padding is cut off. ``lowres``
        scores come to the input's size as ``sampling`` says.

        Raises:
            ModelError: an output of another shape than the contract states, scores that are not finite, or
                ids that are not classes.
        """
        if self.output in ("classmap", "lowmap", "vim"):
            return self._restore_ids(self._ids(np.asarray(output)), size)
        scores = self._scores(np.asarray(output))
        if self.output == "lowres" and self.sampling == "nearest":
            return self._restore_ids(self._best(scores, (scores.shape[1], scores.shape[2])), size)
        sampling = "half_pixel" if self.sampling == "nearest" else self.sampling
        own = (self.height, self.width)
        if self.resize == "letterbox":
            rows, columns = letterbox_size(size, own)
            scores = resize_scores(scores, own, sampling=sampling)[:, :rows, :columns]
            return self._best(scores, size, "align_corners")
        if sampling != "half_pixel" and size != own:
            scores, sampling = resize_scores(scores, own, sampling=sampling), "half_pixel"
        return self._best(scores, size, sampling)

    def _best(self, scores: Floats, size: Size, sampling: Bilinear = "half_pixel") -> Pixels:
        """(H, W) class ids out of (C, h, w) scores, resized before they are compared."""
        if self.threshold is None:
            return best_classes(scores, size, sampling=sampling)
        above: Pixels = resize_scores(scores, size, sampling=sampling)[0] > np.float32(self.threshold)
        return above.astype(np.uint8)

    def _fit(self, image: Pixels) -> Pixels:
        if self.resize == "letterbox":
            return letterbox_image(image, (self.height, self.width))
        if image.shape[:2] == (self.height, self.width):
            return image
        from PIL import Image  # not needed to know what a contract is

        stretched = Image.fromarray(image).resize((self.width, self.height), Image.Resampling.BILINEAR)
        return np.asarray(stretched)

    def _restore_ids(self, ids: Pixels, size: Size) -> Pixels:
        if self.resize == "stretch":
            return resize_ids(ids, size)
        ids = resize_ids(ids, (self.height, self.width))
        rows, columns = letterbox_size(size, (self.height, self.width))
        return resize_ids(ids[:rows, :columns], size, corners=True)

    def _ids(self, output: NDArray[Any]) -> Pixels:
        plane = (self.height, self.width)
        sides = tuple(side for side in output.shape if side != 1)
        if len(sides) < 2:
            sides = output.shape[-2:]
        fits = len(sides) == 2 and 0 < sides[0] <= plane[0] and 0 < sides[1] <= plane[1]
        if not fits or output.ndim > 4:
            raise ModelError(f"the output has shape {output.shape}, the contract's class map {(1, *plane)}")
        ids = output.reshape(sides)
        if not (np.isfinite(ids).all() and ids.min() >= 0 and ids.max() < len(self.classes)):
            raise ModelError(
                f"the output holds the id {ids.max() if ids.max() > 0 else ids.min()}, "
                f"the contract's classes are 0..{len(self.classes) - 1}"
            )
        return ids.astype(np.uint8)

    def scores(self, output: NDArray[Any]) -> Floats | None:
        """(channels, h, w) scores of a network's output; None where it gives class ids.

        Raises ``ModelError`` as ``class_map`` does.
        """
        return None if self.output in ("classmap", "lowmap", "vim") else self._scores(np.asarray(output))

    def _scores(self, output: NDArray[Any]) -> Floats:
        """(C, h, w) float32 out of scores in either order of axes."""
        orders = ((0, 3, 1, 2), (0, 1, 2, 3)) if self.layout == "NHWC" else ((0, 1, 2, 3), (0, 3, 1, 2))
        views = [output.transpose(order) for order in orders] if output.ndim == 4 else []
        for view in views:
            if self._states(view.shape):
                scores: Floats = view[0].astype(np.float32)
                if np.isfinite(scores).all():
                    return scores
                raise ModelError("the output holds scores that are not finite (NaN or infinity)")
        raise ModelError(
            f"the output has shape {output.shape}, the contract's {self.output} have one image, "
            f"{self.channels} channels and {'up to ' if self.output == 'lowres' else ''}"
            f"{self.height}x{self.width} pixels"
        )

    def _states(self, shape: tuple[int, ...]) -> bool:
        """Whether these are the (1, C, h, w) scores that the contract speaks of."""
        if shape[:2] != (1, self.channels):
            return False
        if self.output == "logits":
            return shape[2:] == (self.height, self.width)
        return 0 < shape[2] <= self.height and 0 < shape[3] <= self.width


__all__ = ["IGNORE", "Contract", "Floats"]
