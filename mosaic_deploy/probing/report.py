"""What a probe found: whether a table holds, and where it does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mosaic_deploy.probing.agreement import WRONG, Agreement, Classified

Use = Literal["make", "verify", "random", "replay"]
"""``make`` turns the grid's outcomes into rules, ``verify`` holds them against the table as it is, ``random``
does so with random cases, ``replay`` with the outcomes that are kept beside the table."""

SCHEMA = 1
MOST_FALSE_REJECTS = 0.03
"""Share of random cases, in [0, 1], that a table may refuse though the tool runs them right."""

_SHOWN = 30


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """What came of a probe."""

    use: Use
    table: str
    tool: str
    version: str
    """Of the tool that was run."""
    evidence: str
    """The version that the table's evidence is of; before ``make``, where the table is made anew."""
    seed: int | None
    """Of random cases."""
    seconds: float
    """Wall-clock time."""
    agreement: Agreement
    """With the table as it is; after ``make`` with the new one."""
    text: str = ""
    """The new table's file, after ``make``."""
    notes: tuple[str, ...] = ()
    """What else is to be said, one line each."""

    @property
    def passed(self) -> bool:
        """Whether the table holds: random cases may have a few false rejects, a new table any number."""
        if self.agreement.counts["false accept"]:
            return False
        share = self.agreement.share("false reject")
        return self.use == "make" or share <= (MOST_FALSE_REJECTS if self.use == "random" else 0.0)

    @property
    def exit_code(self) -> int:
        """0 where the table holds, else 1."""
        return 0 if self.passed else 1

    def explain(self) -> tuple[str, ...]:
        """Lines for a person: another version of the tool, each disagreement, and the verdict."""
        lines = list(self.notes)
        if self.version != self.evidence:
            said = "was" if self.use == "make" else "is"
            lines.append(
                f"{self.tool} {self.version} was run; the table's evidence {said} of {self.evidence}"
            )
        wrong = self.agreement.of(*WRONG)
        lines += [_line(item) for item in wrong[:_SHOWN]]
        if len(wrong) > _SHOWN:
            lines.append(f"and {len(wrong) - _SHOWN} more, which --json names")
        verdict = "table confirmed" if self.passed else "table contradicted"
        count, compared = len(self.agreement.weighed), self.agreement.compared
        return (*lines, f"{verdict}: {count} cases, {compared} compared, in {self.seconds:.0f} s")

    def to_json(self) -> dict[str, object]:
        """The object that ``probe --json`` prints."""
        return {
            "schema": SCHEMA,
            "passed": self.passed,
            "use": self.use,
            "table": self.table,
            "tool": self.tool,
            "version": self.version,
            "evidence": self.evidence,
            "seed": self.seed,
            "seconds": self.seconds,
            "agreement": self.agreement.to_json(),
            "notes": list(self.notes),
            "text": self.text or None,
        }


def _line(item: Classified) -> str:
    rules = f"; rules {', '.join(item.rules)}" if item.rules else ""
    off = f", off by {item.difference:.2%}" if item.difference else ""
    return f"{item.kind}: {item.case}: {item.found}{off} on {', '.join(item.devices)}{rules}"
