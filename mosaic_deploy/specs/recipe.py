"""Recipes: how a network is quantised."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mosaic_deploy.specs.fields import Float, Name, Share, Spec

_STARTS_AT = 8
Method = Literal["minmax", "percentile", "mse", "entropy", "cross-validated", "best-scores"]
"""How the range of a tensor follows from its values."""


class IntegerFormat(Spec):
    """How numbers are quantised."""

    bits: Literal[8, 16]
    signed: bool
    symmetric: bool
    per_channel: bool = False


class Calibration(Spec):
    """How ranges are found."""

    method: Method = "minmax"
    """``cross-validated`` takes for each tensor the one whose ranges of one half of the images have the least
    squared error on the other half; ``best-scores`` for the whole network the one that changes the fewest
    decisions on images held out, where the target's graph is that of ONNX, else ``percentile``."""
    percentile: Annotated[float, Field(gt=50, le=100)] = 99.99
    samples: Annotated[int, Field(ge=1, le=4096)] = 32


class Search(Spec):
    """How ``auto`` looks for the cheapest build that passes: what it holds out, and when it is content."""

    held_out: Annotated[int, Field(ge=1, le=256)] = 8
    """Images of the calibration set that decide; none of them is calibrated on."""
    ranked: Annotated[int, Field(ge=1, le=256)] = 4
    """How many of those the tensors are ranked on."""
    shares: Annotated[tuple[Share, ...], Field(min_length=1)] = (0.1, 0.2, 0.33, 0.5, 1.0)
    """Of the activations, how many are lifted at most in each step, growing."""
    agreement: Share = 0.995
    """Share of the held-out pixels that must keep the float network's class."""

    @model_validator(mode="after")
    def _growing(self) -> Self:
        if list(self.shares) != sorted(set(self.shares)):
            raise ValueError("shares must grow")
        return self


class QuantRecipe(Spec):
    """A way to quantise: weight and activation grids, and the calibration."""

    schema_version: Literal[1] = Field(alias="schema")
    name: Name
    summary: str
    weights: IntegerFormat | Float
    activations: IntegerFormat | Float
    calibration: Calibration = Calibration()
    """Unused where nothing becomes an integer."""
    tolerance: Share | None = None
    """Largest drop in mIoU that passes, in [0, 1], in place of the target's."""
    agreement_tolerance: Share | None = None
    """Largest loss of agreement that passes without labels, in [0, 1]; None takes ``tolerance``, and the
    target's where there is none of these."""
    search: Search | None = None
    """Lift the tensors that hurt most until parity holds; None quantises everything alike."""

    @model_validator(mode="after")
    def _both(self) -> Self:
        if isinstance(self.weights, IntegerFormat) != isinstance(self.activations, IntegerFormat):
            raise ValueError("weights and activations are both integers or both floats")
        if self.search is not None and not (
            isinstance(self.activations, IntegerFormat) and self.activations.bits == _STARTS_AT
        ):
            raise ValueError("a search starts from activations of 8 bits")
        return self

    @property
    def precision(self) -> Literal["w8a8", "w8a16", "float"]:
        """The column of the op tables that this recipe falls under."""
        if not isinstance(self.activations, IntegerFormat):
            return "float"
        return "w8a8" if self.activations.bits == 8 else "w8a16"
