"""Ranges of activations in a file, as ``calibrate`` writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from mosaic_deploy.errors import DataError, ModelError
from mosaic_deploy.specs.fields import Spec

_MOST_BYTES = 64 << 20
Finite = Annotated[float, Field(allow_inf_nan=False)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class TensorRange(Spec):
    """The range of one tensor, and how firm it is."""

    low: Finite
    high: Finite
    method: Literal["minmax", "percentile", "mse", "entropy"]
    saturated: Annotated[float, Field(ge=0, le=1)]
    """Share of the values beyond the range."""
    unstable: Annotated[float, Field(ge=0)]
    """Steps of its grid by which an end differs between either half of the images."""
    subset: Annotated[int, Field(ge=1)]
    """Images, of those numbers that were tried, from which on no end is off by more than half a step."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


class ClassShare(Spec):
    """How much of the calibration images is of a class."""

    name: str
    labels: float | None
    """Share of the labelled pixels, in [0, 1]; None without labels."""
    predicted: float
    """Share of the pixels that the float network takes for it."""


class RangesFile(Spec):
    """Ranges of a network's activations on some images."""

    schema_version: Literal[1] = Field(1, alias="schema")
    model: str
    graph: Digest
    """Of the float ONNX."""
    data: str
    images: Annotated[int, Field(ge=2)]
    digest: Digest
    """Of the images' pixels, whatever their order."""
    recipe: str
    method: str
    bits: Literal[8, 16]
    tensors: dict[str, TensorRange]
    classes: tuple[ClassShare, ...]
    overlap: tuple[tuple[str, str], ...]
    """Calibration image and validation image that look the same."""

    @property
    def ends(self) -> dict[str, tuple[float, float]]:
        """Tensor -> smallest and largest value to represent."""
        return {name: (tensor.low, tensor.high) for name, tensor in self.tensors.items()}

    @property
    def subset(self) -> int:
        """The least number of images with which nothing is off by more than half a step."""
        return max((tensor.subset for tensor in self.tensors.values()), default=self.images)

    def require_model(self, graph: str) -> None:
        """Raise ``ModelError`` unless the file is of the network with that digest."""
        if self.graph != graph:
            raise ModelError(
                f"the ranges are of another network or other weights ({self.model}): "
                "run calibrate on this one"
            )


def read_ranges(path: Path) -> RangesFile:
    """Read a file of ``calibrate``; raises ``DataError`` for one that is none."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DataError(f"{path}: larger than any file of ranges")
        return RangesFile.model_validate_json(path.read_bytes())
    except OSError as err:
        raise DataError(f"{path}: cannot be read ({err.strerror})") from err
    except ValidationError as err:
        first = err.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{path}: no file of ranges ({where}: {first['msg']})") from err
