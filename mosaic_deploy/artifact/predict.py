"""One image through an artifact: prepared, run and read by the artifact's contract alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mosaic_deploy.artifact.open import open_artifact, workspace
from mosaic_deploy.backends.protocol import Run
from mosaic_deploy.datasets.images import orientation, read_image
from mosaic_deploy.errors import UsageError
from mosaic_deploy.specs.labels import LabelSpace, Pixels
from mosaic_deploy.specs.toml import nearest
from mosaic_deploy.specs.toolchain import require_toolchain
from mosaic_deploy.workers.progress import StageProgress, silent

SCHEMA = 1
_STRIPE = 64
"""Rows of an image that are counted at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What an artifact sees in one image."""

    artifact: str
    """MODEL-TARGET-RECIPE."""
    image: Pixels
    """(H, W, 3) RGB, upright."""
    ids: Pixels
    """(H, W) class ids, at the image's own size."""
    labels: LabelSpace
    variant: str
    """The compiled variant that gave it."""
    variants: tuple[str, ...]
    """All that compute otherwise."""
    facts: Mapping[str, object]
    """What the backend says of the run: ``ran_on``, ``precision``."""
    notes: tuple[str, ...]
    """What a person must know to read the picture rightly."""

    def name(self, index: int) -> str:
        """A class's name as it can be printed: a stranger's manifest may hold anything."""
        return "".join(c if c.isprintable() else "?" for c in self.labels.classes[index])

    @property
    def shares(self) -> tuple[tuple[int, float], ...]:
        """Id and share of the pixels of each class that was found, the largest first."""
        count = len(self.labels.classes)
        counts = sum(  # in stripes: numpy counts in 8 bytes a pixel
            (
                np.bincount(self.ids[top : top + _STRIPE].ravel(), minlength=count)
                for top in range(0, len(self.ids), _STRIPE)
            ),
            start=np.zeros(count, np.int64),
        )
        order = np.argsort(-counts, kind="stable")
        return tuple((int(i), float(counts[i] / self.ids.size)) for i in order if counts[i])

    def explain(self) -> list[str]:
        """Say in lines what was found, and on what it ran."""
        named = [(self.name(i), share) for i, share in self.shares]
        width = max(len(name) for name, _ in named)
        lines = [f"{name:<{width}} {share:7.2%}" for name, share in named]
        others = [name for name in self.variants if name != self.variant]
        more = f"; --variant also takes {', '.join(others)}" if others else ""
        lines.append(f"{self.artifact}, {self.variant}: {self.facts.get('ran_on', 'unknown runtime')}{more}")
        return [*lines, *self.notes]

    def to_json(self) -> dict[str, object]:
        """The object that ``run --json`` prints."""
        return {
            "schema": SCHEMA,
            "artifact": self.artifact,
            "variant": self.variant,
            "variants": list(self.variants),
            "height": self.ids.shape[0],
            "width": self.ids.shape[1],
            "ran_on": self.facts.get("ran_on"),
            "precision": self.facts.get("precision"),
            "classes": [
                {"id": i, "class": self.labels.classes[i], "share": share} for i, share in self.shares
            ],
            "notes": list(self.notes),
        }


def predict(
    artifact: Path, image: Path | Pixels, *, variant: str | None = None, progress: StageProgress = silent
) -> Prediction:
    """Run one image, a file or (H, W, 3) uint8 RGB, through an artifact's folder.

    A file is turned as its EXIF orientation says. ``variant`` names a compiled variant that computes
    otherwise than the main one.

    Raises:
        ModelError: the folder is no sound artifact, or its output is not what its contract states.
        DataError: the image cannot be read.
        UsageError: there is no such variant.
        ToolError: the runtime is missing or failed.
    """
    opened = open_artifact(artifact)
    backend = opened.load_backend()
    require_toolchain(backend.toolchain, progress)
    pixels = read_image(image, upright=True) if isinstance(image, Path) else image
    prepared = opened.contract.prepare(pixels)
    with workspace() as space:
        source = space.scratch / "input.npy"
        np.save(source, prepared, allow_pickle=False)
        progress("run", 0.0, "")
        ran = backend.run(
            opened.built,
            opened.contract,
            (source,),
            space=space,
            on_progress=lambda s, note: progress("run", s, note),
        )
        progress("run", 1.0, "")
        name, output = _choose(ran, variant)
        ids = opened.contract.class_map(
            np.load(output, allow_pickle=False), (pixels.shape[0], pixels.shape[1])
        )
    verdict = () if opened.passed else ("a check failed when it was built: see check.json and parity.json",)
    return Prediction(
        artifact=f"{opened.model}-{opened.target}-{opened.recipe}",
        image=pixels,
        ids=ids,
        labels=opened.contract.labels,
        variant=name,
        variants=tuple(_variants(ran)),
        facts={**opened.built.facts, **ran.facts, "ran_on": _ran_on(ran, name)},
        notes=(*verdict, *_turned(image)),
    )


def _variants(ran: Run) -> dict[str, tuple[Path, ...]]:
    return {ran.name: ran.outputs, **ran.others}


def _turned(image: Path | Pixels) -> tuple[str, ...]:
    if isinstance(image, Path) and orientation(image) != 1:
        return ("the image was turned as its EXIF orientation says",)
    return ()


def _ran_on(ran: Run, variant: str) -> object:
    """Runtime and device in words, of the variant that was asked for."""
    said = ran.facts.get("ran_on")
    return said.replace(ran.name, variant) if isinstance(said, str) else said


def _choose(ran: Run, variant: str | None) -> tuple[str, Path]:
    known = _variants(ran)
    name = ran.name if variant is None else variant
    if name not in known:
        raise UsageError(
            f"no variant '{name}' with results of its own{nearest(name, known)}; known: {', '.join(known)}"
        )
    return name, known[name][0]


__all__ = ["Prediction", "predict"]
