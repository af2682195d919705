"""What a training run is asked to do, and the schedules that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Weighting = Literal["none", "sqrt", "median"]


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """The settings of a run; they go into its ``config.json`` and a resumed run must agree with them."""

    size: tuple[int, int]
    """(height, width) of the crops, and of the images at evaluation; multiples of 32."""
    epochs: float = 100.0
    """Passes over the data; ignored where ``minutes`` is given."""
    minutes: float | None = None
    """A budget of training time instead of epochs: the schedules end when it does."""
    batch: int = 8
    learning_rate: float = 2e-3
    """At the start, after the warm-up; it falls to 0 as (1 - progress) ** 0.9."""
    weight_decay: float = 0.05
    ema: float = 0.998
    """Decay per step of the averaged weights, which are the ones evaluated and kept."""
    weighting: Weighting = "sqrt"
    """Class weights of the cross-entropy: median frequency balancing, its square root, or none."""
    jaccard: float = 0.5
    """Share of the soft Jaccard loss; the rest is cross-entropy."""
    scale: tuple[float, float] = (0.6, 1.9)
    """Range of the random scale, log-uniform."""
    paste: float = 0.5
    """Chance of pasting thin and rare classes from another image of the same data set."""
    low_share: float = 0.35
    """Share of the run that trains on crops of two thirds of the size."""
    evaluate_every: float = 420.0
    """Seconds between evaluations and checkpoints."""
    seed: int = 0

    def crop(self, progress: float) -> tuple[int, int]:
        """(height, width) of the crops at this progress in [0, 1]; multiples of 32."""
        if progress >= self.low_share:
            return self.size
        return (round(self.size[0] / 48) * 32, round(self.size[1] / 48) * 32)

    def rate(self, progress: float) -> float:
        """The learning rate at this progress in [0, 1]: linear warm-up over 2 %, then polynomial."""
        return float(self.learning_rate * min(1.0, (progress + 1e-3) / 0.02) * (1.0 - progress) ** 0.9)
