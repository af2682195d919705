"""What fixing did, as a value."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from mosaic_deploy.gate.op_support.judge import CheckReport

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class FixStep:
    """What one pass did."""

    name: str
    summary: str
    exact: bool
    nodes: tuple[str, ...]
    """Names of the nodes that it replaced."""
    node_error: float | None
    """Largest difference in a tensor that it replaced, as a share of its range; None if not measured."""
    output_error: float | None
    """The same at the model's outputs; of class ids, the share that differ."""
    covered: tuple[str, ...] = ()
    """Names of all nodes that the new ones stand for, ``nodes`` among them."""

    @property
    def changes(self) -> int:
        """How many nodes it replaced."""
        return len(self.nodes)


@dataclass(frozen=True, slots=True)
class FixReport:
    """What was done to a model, and what the check says now."""

    steps: tuple[FixStep, ...]
    withdrawn: tuple[str, ...]
    """Why passes that called themselves exact were not used: ``name: reason``."""
    before: CheckReport
    after: CheckReport

    @property
    def passed(self) -> bool:
        """Whether the fixed model passes the check."""
        return self.after.passed

    @property
    def exact(self) -> bool:
        """Whether nothing but rounding changed."""
        return all(step.exact for step in self.steps)

    def to_json(self) -> dict[str, object]:
        """The report as one object; ``before`` and ``after`` are those of ``CheckReport``."""
        return {
            "schema": SCHEMA,
            "passed": self.passed,
            "exact": self.exact,
            "steps": [{**asdict(step), "changes": step.changes} for step in self.steps],
            "withdrawn": list(self.withdrawn),
            "before": self.before.to_json(),
            "after": self.after.to_json(),
        }
