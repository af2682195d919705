"""What a pass is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mosaic_deploy.graph.passes._site import Site


@dataclass(frozen=True, slots=True)
class Pass:
    """A rewrite of nodes into others that compute the same, or nearly."""

    name: str
    summary: str
    """Before -> after, in a line."""
    anchors: tuple[str, ...]
    """Operators whose nodes it may replace."""
    rewrite: Callable[[Site], bool]
    """Drafts the replacement and gives it, or returns False and leaves the node as it is."""
    exact: bool = True
    """Whether only rounding may differ; else ``fix`` measures the error and reports it."""
    bit_exact: bool = False
    """Whether it only moves data, so that every bit must be the same."""
    resolves: tuple[str, ...] = ()
    """Operators whose violations it may cure where it replaces several nodes at once; none named means the
    anchors alone."""
    requires: tuple[str, ...] = ()
    """Names of passes that must have had their turn before."""

    @property
    def targets(self) -> tuple[str, ...]:
        """Operators whose violations it may cure."""
        return self.resolves or self.anchors
