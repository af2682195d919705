"""The key under which artifacts carry their description."""

from __future__ import annotations

METADATA_KEY = "mosaic_deploy"
"""What the description is called inside a file."""
