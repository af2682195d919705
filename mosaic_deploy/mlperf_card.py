"""The model card of MLPerf's official MOSAIC: classes, input, licence."""

from __future__ import annotations

import json
from collections.abc import Mapping

LICENCE = "MLCommons Association License (the terms of Apache-2.0)"

CLASSES = (
    "other", "wall", "building", "sky", "floor", "tree", "ceiling", "road", "bed", "windowpane", "grass",
    "cabinet", "sidewalk", "person", "earth", "door", "table", "mountain", "plant", "curtain", "chair",
    "car", "water", "painting", "sofa", "shelf", "house", "sea", "mirror", "rug", "field", "armchair",
)  # fmt: skip
"""ADE20K's 31 most frequent classes, with its own numbers; 0 is an output that is never meant."""

_SIDE = 512


def card_text(
    weights: str, digest: str, *, normalisation: tuple[float, float], switches: Mapping[str, object]
) -> str:
    """Return the model card as TOML; JSON's strings and lists are TOML's too.

    Args:
        weights: file name of the imported weights, which lie beside the card.
        digest: sha256 of MLCommons' file.
        normalisation: (mean, scale) with input = (pixel - mean) / scale, pixel in 0..255.
        switches: of the zoo's MOSAIC.
    """
    mean, scale = normalisation
    lines = "\n".join(f"{name} = {json.dumps(value)}" for name, value in switches.items())
    return f"""\
# Written by mosaic-deploy import-mlperf from a file with sha256 {digest}.
schema = 1
name = "mosaic-mlperf-r4"
summary = "MLPerf Mobile's official MOSAIC (R4) for ADE20K's 31 most frequent classes, weights dequantised"
licence = {json.dumps(LICENCE)}

[source]
factory = "mosaic"
weights = {json.dumps(weights)}

[source.switches]
{lines}

[contract]
height = {_SIDE}
width = {_SIDE}
mean = {[mean] * 3}
scale = {[scale] * 3}
resize = "letterbox"
output = "logits"
classes = {json.dumps(CLASSES)}
palette = {[_colour(index) for index in range(len(CLASSES))]}
unscored = [0]
"""


def _colour(index: int) -> list[int]:
    """Spread the bits of a class id over three colours, highest first: near ids look different."""
    bits = [(index >> place) & 1 for place in range(6)]
    return [(bits[shade] << 7) + (bits[shade + 3] << 6) for shade in range(3)]
