"""The folder that holds the project's TOML files and data."""

from __future__ import annotations

from pathlib import Path


def spec_root() -> Path:
    """The folder that holds ``models``, ``targets``, ``quant`` and ``calib_data``.

    In an installed wheel it lies inside the package, in a checkout beside it.
    """
    package = Path(__file__).resolve().parents[1]
    inside = package / "_specs"
    return inside if inside.is_dir() else package.parent
