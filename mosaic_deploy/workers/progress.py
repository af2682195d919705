"""How long work says how far it is: every callback in the project has one of these two types."""

from __future__ import annotations

from collections.abc import Callable

OnProgress = Callable[[float, str], None]
"""Told the fraction done, in [0, 1], and a few words on what is being done."""

StageProgress = Callable[[str, float, str], None]
"""Told a stage's name first, then as ``OnProgress``."""


def silent(_stage: str, _fraction: float, _note: str) -> None:
    """Show no progress."""
