"""One build that can start, what it shares with the others, and what it has come to so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mosaic_deploy.accuracy.parity import ParityReport
from mosaic_deploy.backends.protocol import File, Step
from mosaic_deploy.build.eager_maps import Eager
from mosaic_deploy.build.fitting import Fitted
from mosaic_deploy.build.float_graph import FloatGraph, GraphFile
from mosaic_deploy.build.inputs import Inputs
from mosaic_deploy.build.plan import Plan
from mosaic_deploy.build.reference_maps import Reference
from mosaic_deploy.build.report import Conversion
from mosaic_deploy.build.stages import Stage
from mosaic_deploy.gate.op_support.judge import CheckReport
from mosaic_deploy.specs.contract import Contract

if TYPE_CHECKING:
    from mosaic_deploy.specs.fields import OutputKind

_NOT_RUN = Eager(why="not run")


@dataclass(frozen=True, slots=True)
class Common:
    """What the builds of one model share."""

    graph: FloatGraph
    kinds: Mapping[OutputKind, GraphFile]
    """The graph with every kind of output that is built."""
    inputs: Inputs
    references: Mapping[OutputKind, Reference]
    eager: Eager = _NOT_RUN
    """The trained network in PyTorch, on a few of all images."""

    def only(self, indices: Sequence[int]) -> Common:
        """The same with these validation images alone."""
        kept = {kind: found.only(indices) for kind, found in self.references.items()}
        return replace(self, inputs=self.inputs.only(indices), references=kept)


@dataclass(frozen=True, slots=True)
class TargetBuild:
    """One build that can start: its plan, and what the op gate said."""

    plan: Plan
    kind: OutputKind
    fitted: Fitted
    """The graph as it is compiled, and what the op table says of it."""
    made_from: Mapping[str, str] = field(default_factory=dict)
    """Digests of what the build depends on."""
    replaced: tuple[str, ...] = ()
    """What changed since the artifact that lies at its place."""
    may_replace: bool = False
    """Whether an artifact lies at its place that may go."""

    def only(self, indices: Sequence[int]) -> TargetBuild:
        """The same with these validation images alone."""
        return replace(self, plan=replace(self.plan, validation=self.plan.validation.only(indices)))

    @property
    def checked(self) -> CheckReport | None:
        """None where the target has no op table."""
        return self.fitted.checked


@dataclass(frozen=True, slots=True)
class BuildState:
    """What one build has come to so far."""

    files: tuple[File, ...]
    steps: tuple[Step, ...]
    facts: dict[str, object] = field(default_factory=dict)
    contract: Contract | None = None
    conversion: Conversion | None = None
    output_change: ParityReport | None = None
    variants: Mapping[str, ParityReport] = field(default_factory=dict)
    stages: tuple[Stage, ...] = ()
    seconds: float = 0.0
