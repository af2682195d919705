"""How long work says how far it is: every callback in the project has one of these two types."""

from __future__ import annotations

from collections.abc import Callable

OnProgress = Callable[[float, str], None]
"""Told the fraction done, in [0, 1], and a few words on what is being done."""

StageProgress = Callable[[str, float, str], None]
"""Told a stage's name first, then as ``OnProgress``."""


def silent(_stage: str, _fraction: float, _note: str) -> None:
    """Show no progress."""


def counting(on_progress: OnProgress, images: int) -> OnProgress:
    """Let progress over images count all of them.

    Processes that share the images count their own alone, so the share done says which one it is.
    """

    def hear(share: float, note: str) -> None:
        done = min(max(round(share * images), 1), images)
        on_progress(share, f"image {done} of {images}" if note.startswith("image ") else note)

    return hear
