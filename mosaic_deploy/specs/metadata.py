"""What files carry in their metadata."""

from __future__ import annotations

METADATA_KEY = "mosaic_deploy"
"""The key under which artifacts carry their description."""
UNTRAINED = ("weights", "untrained")
"""Key and value in an ONNX file whose weights nobody trained."""
