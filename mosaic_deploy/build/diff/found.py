"""What is asked, and what is found where two runtimes are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from mosaic_deploy.build.diff.bound import Distance

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class DiffRequest:
    """Which two to compare, on which images, and how closely."""

    first: str
    second: str
    data: str
    """``NAME[:DIR]``."""
    images: int = 2
    spots: int = 4
    """Tensors that are probed beside the last one where that agrees: what parts may vanish on the way."""
    slack: float = 1.0
    """Factor on what grids explain."""
    out: Path | None = None
    """Folder for the case, where they part."""
    force: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Alone:
    """The operators that compute the found tensor, cut out, both sides fed what the second one saw."""

    distance: Distance
    operators: tuple[str, ...]
    """Type and name of those of ``model``, quantisers left out."""
    model: bytes
    """``minimal.onnx``: the part of the side that rounds, the second's where both do and know as much."""
    inputs: Mapping[str, NDArray[Any]]
    """Of the image that differs most, by their names in ``model``."""
    expected: NDArray[Any]
    """What the first side gives, in the type of the model's output."""
    actual: NDArray[Any]
    """What the second side gives."""
    shipped: Mapping[str, bytes] = field(default_factory=dict)
    """The same operators cut out of an artifact's own file, with input and output as they are there: name ->
    content; the second side's, else the first's. Empty where both sides are ONNX."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One tensor that was compared."""

    tensor: str
    distance: Distance


@dataclass(frozen=True, slots=True)
class Diff:
    """Where two runtimes of one network part, or that they do not."""

    sides: tuple[str, str]
    ran_on: tuple[str, str]
    dataset: str
    images: int
    candidates: int
    """Tensors that both sides have by the same name."""
    probes: tuple[Probe, ...]
    """In the order of asking."""
    found: str | None = None
    """The first tensor that parts; None where no probe does."""
    alone: Alone | None = field(default=None, repr=False)

    @property
    def parts(self) -> bool:
        """Whether the two part."""
        return self.found is not None

    @property
    def at(self) -> Distance | None:
        """The distance at the found tensor, from the image on."""
        return next((probe.distance for probe in self.probes if probe.tensor == self.found), None)

    def to_json(self) -> dict[str, object]:
        """The object that ``diff --json`` prints."""
        alone = self.alone
        return {
            "schema": SCHEMA,
            "parts": self.parts,
            "sides": list(self.sides),
            "ran_on": list(self.ran_on),
            "dataset": self.dataset,
            "images": self.images,
            "candidates": self.candidates,
            "tensor": self.found,
            "probes": [{"tensor": probe.tensor, **probe.distance.to_json()} for probe in self.probes],
            "alone": None
            if alone is None
            else {
                "operators": list(alone.operators),
                "reproduces": alone.distance.parts,
                **alone.distance.to_json(),
            },
        }
