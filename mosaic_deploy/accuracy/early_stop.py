"""What a report says where fewer images were run than there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True, slots=True)
class EarlyStop:
    """That not all images were run, as the verdict that they would give was certain enough before."""

    of: int
    """How many there are; the verdict is of all of them."""
    alpha: float
    """Probability, in [0, 1], that all of them would give another one is at most this."""
    images: tuple[int, ...]
    """Indices of those that were run: a random sample."""

    @property
    def words(self) -> str:
        """The claim in a sentence."""
        return (
            f"Run on {len(self.images)} of {self.of} images, drawn at random, until the verdict of all "
            f"{self.of} was certain: they would give another one with a probability of {self.alpha:.0%} at "
            "most. --all-images runs every one."
        )
