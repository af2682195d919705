"""What came of one case on one device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Found = Literal["runs", "wrong", "falls-back", "fails-to-compile", "no-reference"]
"""As the verdicts of rules. ``no-reference``: ONNX Runtime itself does not run it, so nothing is learned."""


@dataclass(frozen=True, slots=True)
class CaseOutcome:
    """What a compiler and its runtime did with a case."""

    case: str
    """The case's name."""
    device: str
    found: Found
    error: str = ""
    """What the tool said, in one short line without paths or addresses."""
    difference: float | None = None
    """Largest difference to the reference, as a share of the reference's range; None where nothing ran."""
