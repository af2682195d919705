"""Comparisons that say nothing: none of the pixels counts, or the reference gives one class everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.specs.labels import LabelSpace

SEEN_FROM_SHARE = 1e-4
"""A class on fewer of the pixels does not count as seen."""
MOSTLY = 0.95
"""From this share of one class in the reference on, a reader is warned."""


def largest(seen: NDArray[Any], pixels: int, labels: LabelSpace) -> tuple[str, float] | None:
    """The class that the reference gives most often, with its share; None without a pixel.

    ``seen`` is (classes,), the reference's pixels of each class among the ``pixels`` that are compared.
    """
    if not pixels:
        return None
    most = int(seen.argmax())
    return labels.classes[most], float(seen[most] / pixels)


def undecided(seen: NDArray[Any], pixels: int, labels: LabelSpace) -> str:
    """Say why comparing with this reference says nothing, or ''."""
    first = largest(seen, pixels, labels)
    if first is None:
        return "says nothing, no pixel could be compared: no image, or no label of a scored class"
    if np.count_nonzero(seen >= max(SEEN_FROM_SHARE * pixels, 1)) > 1:
        return ""
    name, share = first
    words = "100" if share == 1 else f"{100 * share:.3f}"
    return f"says nothing, the float network gives class {name} on {words} % of the pixels"


def warning(first: tuple[str, float] | None) -> str:
    """Say that one class outweighs the others, or ''; ends in a blank."""
    if first is None or first[1] < MOSTLY:
        return ""
    return (
        f"The float network gives class {first[0]} on {first[1]:.2%} of the pixels: the others weigh little. "
    )
