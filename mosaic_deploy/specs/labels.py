"""Pixels and the meaning of label maps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
IGNORE = 255
"""The id that every data set gives to pixels without a scored class, whatever its files say."""


@dataclass(frozen=True, slots=True)
class LabelSpace:
    """What the numbers in a label map mean."""

    classes: tuple[str, ...]
    """One name per output of the network, index = id."""
    palette: tuple[tuple[int, int, int], ...]
    """One RGB colour per class."""
    unscored: tuple[int, ...] = ()
    """Ids that the network has an output for but that no metric counts (ADE20K-31's 0)."""

    @property
    def scored(self) -> tuple[int, ...]:
        """The ids that a metric averages over."""
        return tuple(i for i in range(len(self.classes)) if i not in self.unscored)
