"""One of the two that are compared: a graph, what computes tensors of it, and the images it gets.

    DIR          an artifact, on its target's runtime    DIR:68    one of the devices that it was compiled for
    float, onnx  the float graph of the other side's artifact, on ONNX Runtime
    qdq          its quantised graph, on ONNX Runtime

The first two are what people have; the others say whether the graph or the runtime is to blame. Where an
artifact holds no quantised ONNX, ``qdq`` is the float graph rounded as its file rounds: ``stored_network``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.artifact.open import Artifact, open_artifact
from mosaic_deploy.backends.protocol import WorkDir
from mosaic_deploy.build.diff.named import NamedGraph
from mosaic_deploy.build.diff.prober import Arrays, Prober
from mosaic_deploy.errors import UsageError

FLOAT, QDQ = ("float", "onnx"), "qdq"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person wrote for one side."""

    text: str
    artifact: Artifact | None
    """None for a word that stands for a graph of the other side's."""
    variant: str | None = None


@dataclass(slots=True)
class Side:
    """One side, ready to be probed."""

    title: str
    graph: NamedGraph
    prober: Prober
    candidates: Collection[str]
    """The tensors that can be computed."""
    plain: NamedGraph | None
    """The graph with its weights as they were before they were rounded; None where they are not known."""
    images: tuple[NDArray[Any], ...]
    """The network's inputs as the graph takes them."""
    space: WorkDir
    _known: dict[str, tuple[NDArray[Any], ...]] = field(default_factory=dict)

    @property
    def rounds(self) -> bool:
        """Whether the graph has grids, or rounded weights."""
        return self.plain is not None or any(tensor.grid for tensor in self.graph.tensors.values())

    def values(self, name: str) -> tuple[NDArray[Any], ...]:
        """A tensor for each image, in floats; computed once.

        Raises ``ModelError``, ``RefusedError`` or ``ToolError`` as the runtime does.
        """
        if name not in self._known:
            self._known[name] = self._floats(name, self.prober.run(name, {}))
        return self._known[name]

    def alone(self, name: str, given: Mapping[str, Arrays]) -> tuple[NDArray[Any], ...]:
        """A tensor in floats, computed from floats of the tensors that it is made of, for each image.

        The image need not be given; each side takes its own.
        """
        stored = {maker: [self.store(maker, one) for one in values] for maker, values in given.items()}
        return self._floats(name, self.prober.run(name, stored))

    def store(self, name: str, values: NDArray[Any]) -> NDArray[Any]:
        """Floats as the graph stores that tensor; the image is as the graph takes it already."""
        grid = self.graph.at(name).grid
        if name == self.graph.image.name:
            return values
        return values.astype(np.float32) if grid is None else grid.integers(values)

    def _floats(self, name: str, stored: Arrays) -> tuple[NDArray[Any], ...]:
        grid = self.graph.tensors[name].grid
        return tuple(values if grid is None else grid.floats(values) for values in stored)


def ask(text: str) -> Asked:
    """Read one side's words.

    Raises:
        UsageError: it names no folder.
        ModelError: the folder is no sound artifact.
    """
    if text in (*FLOAT, QDQ):
        return Asked(text, None)
    folder, variant = Path(text), None
    if not folder.is_dir() and ":" in text:
        before, _, variant = text.rpartition(":")
        folder = Path(before)
    if not folder.is_dir():
        raise UsageError(
            f"{text}: no such folder: name an artifact's folder, FOLDER:DEVICE, or one of "
            f"{', '.join((*FLOAT, QDQ))}"
        )
    return Asked(text, open_artifact(folder), variant)
