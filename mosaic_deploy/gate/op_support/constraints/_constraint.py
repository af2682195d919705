"""What a constraint is, and how a predicate becomes one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mosaic_deploy.graph.facts import Node


@dataclass(frozen=True, slots=True)
class Breach:
    """What was found instead."""

    found: str
    certain: bool = True
    """False where the graph does not tell whether the constraint holds."""


Predicate = Callable[[Node], Breach | None]
"""None where it holds."""

UNKNOWN = Breach("an unknown shape", certain=False)


@dataclass(frozen=True, slots=True)
class Constraint:
    """A predicate with the sentence that errors and documentation print."""

    name: str
    sentence: str
    breach: Predicate


def constraint(sentence: str) -> Callable[[Predicate], Constraint]:
    """Make a predicate a constraint of the same name.

    Args:
        sentence: What holds of the node, as one who reads the documentation is told it.
    """

    def named(predicate: Predicate) -> Constraint:
        return Constraint(predicate.__name__, sentence, predicate)

    return named
