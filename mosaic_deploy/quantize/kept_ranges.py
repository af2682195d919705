"""Ranges in a file, so that builds of one network that differ in precisions alone calibrate once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from mosaic_deploy.files import write_whole
from mosaic_deploy.quantize.histogram import Ranges


def save_ranges(place: Path, ranges: Ranges) -> None:
    """Write ranges so that ``load_ranges`` gives them again to the bit."""
    write_whole(place, json.dumps({name: [float(low), float(high)] for name, (low, high) in ranges.items()}))


def load_ranges(place: Path) -> Ranges | None:
    """What ``save_ranges`` wrote; None where there is no such file."""
    if not place.is_file():
        return None
    record = json.loads(place.read_text(encoding="utf-8"))
    return {name: (np.float32(low), np.float32(high)) for name, (low, high) in record.items()}
