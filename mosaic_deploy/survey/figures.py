"""What is the same on every target: a network's size and cost, and whether its float maps can be compared."""

from __future__ import annotations

import json
import math
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mosaic_deploy.build.reference_maps import predict
from mosaic_deploy.files import write_whole
from mosaic_deploy.survey.subject import Subject, alone, scenes

CONSTANT, TIES = 0.9999, 1e-3
"""From these shares of the pixels on a map is constant, or full of ties."""
_TIE = 1e-5
"""A lead of the best class over the next, as a share of the range of all scores, that rounding may turn."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Of the float network."""

    parameters: int
    """Numbers in its weights as they are deployed: batch norms are part of their convolutions."""
    macs: int
    """Multiply-accumulates of convolutions and matrix products for one image."""
    largest: float
    """Share of the pixels of a street scene that get the commonest class."""
    ties: float
    """Share of the pixels on which two classes score alike."""

    @property
    def degenerate(self) -> str:
        """Why keeping its classes would mean nothing, in a word; '' where it means something."""
        if self.largest >= CONSTANT:
            return "constant"
        return "ties" if self.ties >= TIES else ""


def figures(subject: Subject, out: Path) -> Figures:
    """Measure a subject once, and remember it below ``out``.

    Raises ``MosaicError`` where it cannot be made or run.
    """
    place = out / "figures" / f"{subject.name}.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    with alone(place.with_suffix(".lock")):
        try:
            kept = json.loads(place.read_text(encoding="utf-8"))
            if kept.pop("key") == subject.digest:
                return Figures(**kept)
        except (OSError, ValueError, KeyError, TypeError):
            pass
        found = _measure(subject)
        write_whole(place, json.dumps({"key": subject.digest, **asdict(found)}, indent=1) + "\n")
    return found


def _measure(subject: Subject) -> Figures:
    from mosaic_deploy.graph.facts import nodes_with_bodies
    from mosaic_deploy.graph.macs import macs
    from mosaic_deploy.graph.reader.read import read_model

    onnx = subject.make()
    model = read_model(onnx)
    parameters = sum(math.prod(t.dims) for t in model.graph.initializer if len(t.dims))
    cost = sum(macs(node) for node in nodes_with_bodies(model))
    with tempfile.TemporaryDirectory(prefix="mosaic-survey-") as scratch:
        folder = Path(scratch)
        (folder / "logs").mkdir()
        fed = folder / "scene.npy"
        with Image.open(scenes("val")[0]) as image:
            np.save(fed, subject.contract.prepare(np.asarray(image.convert("RGB"))), allow_pickle=False)
        outputs, _ = predict(
            onnx, (fed,), folder / "scores", folder / "logs", on_progress=lambda _share, _note: None
        )
        return Figures(
            parameters, cost, *spread(np.load(outputs[0], allow_pickle=False), subject.contract.threshold)
        )


def spread(output: NDArray[Any], threshold: float | None = None) -> tuple[float, float]:
    """Share of the commonest class in a network's output, and of the pixels on which two classes tie.

    Args:
        output: (1, C, H, W) scores, or class ids, which show no ties.
        threshold: what parts the classes where there is one score per pixel.
    """
    if threshold is not None:
        output = output > threshold
    if output.ndim != 4 or output.shape[1] < 2:
        ids = np.unique(output, return_counts=True)[1]
        return float(ids.max() / ids.sum()), 0.0
    scores = output[0].reshape(output.shape[1], -1)
    winners = np.bincount(scores.argmax(axis=0), minlength=len(scores))
    best = np.partition(scores, -2, axis=0)[-2:]
    lead, extent = best[1] - best[0], float(scores.max() - scores.min())
    return float(winners.max() / winners.sum()), float(np.mean(lead <= _TIE * extent))
