"""What recipe ``auto`` may try, what came of it, and which of several to take."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mosaic_deploy.quantize.mixed import Mixed
from mosaic_deploy.specs.recipe import Method

_NOTHING = Mixed()
AS_GOOD = 1e-3
"""Agreement that two choices may differ by and still be worth the same."""
_AS_QUICK = 1.1
"""Factor between two times that says nothing: the machine does other things too."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One choice of ranges and precisions, compiled and run."""

    method: Method
    """Of calibration."""
    lifted: float
    """Share of the activations that are lifted, in [0, 1]."""
    tensors: int
    """How many were chosen; what else lies between them is lifted with them."""
    conversions: int
    """Tensors that are converted between both precisions."""
    predicted: float | None
    """Agreement that the ranking predicted; None where nothing was ranked before."""
    agreement: float
    """Share of the held-out images' pixels that keep the float network's class, in [0, 1]; of several
    compiled variants the least. 0 where it could not be compiled or run."""
    good: bool
    """It reaches the goal, and no class is lost."""
    cost: float | None
    """Of one image: the simulator's cycles, or seconds where the runtime is a real one. None if unknown."""
    size: int
    """Bytes of the compiled files that ship."""
    error: str = ""
    """Why it could not be compiled or run."""
    corrected: bool = False
    """Whether the network's biases were corrected."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Ranges and precisions that may be tried; see ``Attempt``."""

    method: Method
    mixed: Mixed = _NOTHING
    lifted: float = 0.0
    conversions: int = 0
    predicted: float | None = None

    @classmethod
    def of(cls, method: Method, step: Mapping[str, Any]) -> Choice:
        """One of the steps that ``quantize.sensitivity.rank`` gives."""
        mixed = Mixed.from_json({"lifted": step["sixteen"], "spans": step["spans"]})
        return cls(method, mixed, step["lifted"], step["conversions"], step["agreement"])

    def attempt(
        self, agreement: float, *, good: bool, cost: float | None, size: int, error: str = ""
    ) -> Attempt:
        """What came of it."""
        return Attempt(
            method=self.method,
            lifted=self.lifted,
            tensors=len(self.mixed.lifted),
            conversions=self.conversions,
            predicted=self.predicted,
            agreement=agreement,
            good=good,
            cost=cost,
            size=size,
            error=error,
        )


def cheapest(tried: Mapping[int, Attempt], *, simulated: bool = False) -> int:
    """The one that costs least; of about the same or unknown cost the one with least lifted.

    Args:
        tried: by how much is lifted.
        simulated: costs are a simulator's cycles, which vary by half with what else the machine does. They
            only tell what costs more than the largest lift; of the others the least lifted is the cheapest.
    """
    if not simulated:
        known = {index: attempt.cost for index, attempt in tried.items() if attempt.cost is not None}
        least = min(known.values(), default=None)
        return min(tried if least is None else (i for i, cost in known.items() if cost <= _AS_QUICK * least))
    costs = {index: attempt.cost or 0.0 for index, attempt in tried.items()}
    most = costs[max(tried)] or math.inf
    return min(index for index, cost in costs.items() if cost <= most)


def closest(tried: Mapping[int, Attempt], *, simulated: bool = False) -> int:
    """Of those that agree about as much as the best does, the cheapest."""
    most = max(attempt.agreement for attempt in tried.values())
    near = {i: attempt for i, attempt in tried.items() if attempt.agreement >= most - AS_GOOD}
    return cheapest(near, simulated=simulated)
