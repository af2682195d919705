"""Street scenes the project renders itself, with CamVid's classes and a label for every pixel.

A scene is a number: ``render(index, seed=seed)`` always gives the same picture. Seed 0 belongs to
the embedded set (``calib_data/streets``: indices 0 to 31 calibrate, 1000 to 1031 validate);
training takes seeds from 1 up, so that it can never have seen a validation scene.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image

from mosaic_deploy.errors import DataError
from mosaic_deploy.files import moved_in_folder, write_whole
from mosaic_deploy.street_scenes import scene

Pixels = NDArray[np.uint8]

EMBEDDED_SEED = 0
EMBEDDED_SPLITS = {"calib": range(32), "val": range(1000, 1032)}
WEBP_QUALITY = 92
SMALLEST_PX = 32


def render(
    index: int, *, seed: int = EMBEDDED_SEED, height: int = 360, width: int = 480
) -> tuple[Pixels, Pixels]:
    """Render scene ``index`` of the endless series that ``seed`` names.

    The same four numbers always give the same bytes, and scenes of different numbers share no dice.

    Args:
        index: which scene, from 0.
        seed: which series, from 0; 0 is kept for the embedded set, training starts at 1.
        height: rows of the picture, at least 32.
        width: columns of the picture, at least 32.

    Returns:
        The (height, width, 3) RGB picture and the (height, width) class ids: CamVid's
        0 to 10, and 11 where a pixel carries no class.
    """
    if min(height, width) < SMALLEST_PX:
        raise DataError(
            f"streets: {height}x{width} is too small to show a street; "
            f"ask for {SMALLEST_PX} pixels or more each way"
        )
    rng = np.random.default_rng((seed, index))
    return scene.photograph(rng, height=height, width=width)


def write(
    root: Path, *, split: str, indices: range, seed: int, on_progress: Callable[[float], None] | None = None
) -> None:
    """Render scenes into ``root/split/images/NNNNN.webp`` and ``root/split/labels/NNNNN.png``.

    Pictures are lossy WebP (about 40 kB each at 480x360), labels 8-bit grey PNG of class ids 0 to 11.
    ``on_progress`` hears the fraction done. Moved into place when complete; stopped early, nothing is left.
    Raises ``UsageError`` if the split's folder is already there, ``ToolError`` where it cannot be written.
    """
    with moved_in_folder(root / split, force=False) as part:
        images, labels = part / "images", part / "labels"
        images.mkdir()
        labels.mkdir()
        for done, index in enumerate(indices, start=1):
            picture, label = render(index, seed=seed)
            name = f"{index:05d}"
            options = {"quality": WEBP_QUALITY, "method": 6}
            Image.fromarray(picture).save(images / f"{name}.webp", "WEBP", **options)
            Image.fromarray(label).save(labels / f"{name}.png", "PNG", optimize=True)
            if on_progress is not None:
                on_progress(done / len(indices))


def embed(root: Path) -> None:
    """Write the embedded set and its ``manifest.json``, with the sha256 of every file.

    Raises ``UsageError`` if one of its splits is already there.
    """
    for split, indices in EMBEDDED_SPLITS.items():
        write(root, split=split, indices=indices, seed=EMBEDDED_SEED)
    generator = {
        "module": "mosaic_deploy.street_scenes.render",
        "seed": EMBEDDED_SEED,
        "indices": {name: [span.start, span.stop] for name, span in EMBEDDED_SPLITS.items()},
        "numpy": np.__version__,
        "pillow": PIL.__version__,
    }
    manifest = {
        "schema": 1,
        "name": "streets",
        "licence": "Apache-2.0",
        "generator": generator,
        "splits": {split: _records(root, split) for split in EMBEDDED_SPLITS},
    }
    write_whole(root / "manifest.json", json.dumps(manifest, indent=1) + "\n")


def _records(root: Path, split: str) -> list[dict[str, str]]:
    """List a split's pairs by paths relative to ``root`` and the sha256 of their files."""
    records = []
    for image in sorted((root / split / "images").iterdir()):
        label = root / split / "labels" / f"{image.stem}.png"
        records.append(
            {
                "image": image.relative_to(root).as_posix(),
                "label": label.relative_to(root).as_posix(),
                "sha256_image": hashlib.sha256(image.read_bytes()).hexdigest(),
                "sha256_label": hashlib.sha256(label.read_bytes()).hexdigest(),
            }
        )
    return records
