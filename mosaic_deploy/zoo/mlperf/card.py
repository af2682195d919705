"""The model card of MLPerf's official MOSAIC: classes, input, licence."""

from __future__ import annotations

import json
from collections.abc import Mapping

from mosaic_deploy.datasets.ade20k31 import LABELS, SIDE

LICENCE = "MLCommons Association License (the terms of Apache-2.0)"


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
data = "ade20k31"

[source]
factory = "mosaic"
weights = {json.dumps(weights)}

[source.switches]
{lines}

[contract]
height = {SIDE}
width = {SIDE}
mean = {[mean] * 3}
scale = {[scale] * 3}
resize = "letterbox"
output = "logits"
classes = {json.dumps(LABELS.classes)}
palette = {json.dumps(LABELS.palette)}
unscored = {list(LABELS.unscored)}
"""
