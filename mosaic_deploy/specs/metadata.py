"""What files carry in their metadata."""

from __future__ import annotations

METADATA_KEY = "mosaic_deploy"
"""The key under which artifacts carry their description."""
RANGES = "activation_ranges"
"""The key under which a float graph made of a quantised file carries the ranges that this stated, as JSON."""
UNTRAINED = ("weights", "untrained")
"""Key and value in an ONNX file whose weights nobody trained."""
