"""What came of validating files: a verdict each, or why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mosaic_deploy.accuracy.parity import ParityReport
from mosaic_deploy.build.report import UNDECIDED

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Validated:
    """What came of validating one artifact."""

    artifact: str
    contract_from: str = ""
    """Who said what it takes."""
    feeding: str = ""
    """Mean, scale, colour, layout and output kind that were used, in words."""
    ran_on: str = ""
    variants: tuple[tuple[str, ParityReport], ...] = ()
    error: str = ""
    """Why there is no verdict."""
    exit_code: int = 0
    """That of the error."""

    @property
    def parity(self) -> ParityReport | None:
        """Of the variant that does worst."""
        return min((p for _, p in self.variants), key=lambda p: p.rank, default=None)

    @property
    def passed(self) -> bool:
        """Whether parity holds."""
        return self.parity is not None and self.parity.passed

    @property
    def verdict(self) -> str:
        """In two words at most."""
        if self.parity is None:
            return "no verdict"
        return "passed" if self.passed else "undecided" if self.parity.undecided else "parity failed"

    def to_json(self) -> dict[str, object]:
        """Its entry in ``--json``."""
        return {
            "artifact": self.artifact,
            "passed": self.passed,
            "verdict": self.verdict,
            "contract_from": self.contract_from,
            "feeding": self.feeding,
            "ran_on": self.ran_on,
            "parity": None if self.parity is None else self.parity.to_json(),
            "variants": {name: parity.to_json() for name, parity in self.variants},
            "error": self.error,
        }


def exit_code(results: Sequence[Validated]) -> int:
    """0 where all passed, 1 where parity failed, else that of the first error, 4 for an undecided one."""
    codes = [
        result.exit_code
        or (0 if result.passed else UNDECIDED if result.parity and result.parity.undecided else 1)
        for result in results
    ]
    return 1 if 1 in codes else next((c for c in codes if c not in (0, UNDECIDED)), max(codes, default=0))


def to_json(results: Sequence[Validated]) -> dict[str, object]:
    """The object that ``validate --json`` prints."""
    passed = bool(results) and all(result.passed for result in results)
    return {"schema": SCHEMA, "passed": passed, "artifacts": [result.to_json() for result in results]}
