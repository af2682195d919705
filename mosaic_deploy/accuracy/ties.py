"""Pixels on which a network's two best scores are equal: which class it gives there is chance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.specs.contract import Contract

MOST = 0.05
"""Of the pixels, in [0, 1]; a reference that ties on more is none."""
_NEARLY = 1e-6
"""Of the largest score: a difference that float32 sums may have by their order alone."""


def share(contract: Contract, output: NDArray[np.generic]) -> float:
    """Share of the pixels, at the network's own size, on which the best scores tie; 0 for class ids.

    Of one score per pixel, those on the threshold tie. Raises ``ModelError`` as ``Contract.class_map`` does.
    """
    scores = contract.scores(output)
    if scores is None:
        return 0.0
    nearly = _NEARLY * float(np.abs(scores).max())
    if contract.threshold is not None:
        return float((np.abs(scores[0] - np.float32(contract.threshold)) <= nearly).mean())
    return float(((scores >= scores.max(axis=0) - np.float32(nearly)).sum(axis=0) > 1).mean())


def undecided(tied: float) -> str:
    """Say why comparing with a reference that ties on this share of the pixels says nothing, or ''."""
    if tied <= MOST:
        return ""
    return (
        f"says nothing, the float network's best scores tie on {tied:.1%} of the pixels, where its class is "
        "chance: is it trained, and are its weights the right ones?"
    )
