"""What a build reports: one JSON object, or a short table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from mosaic_deploy.accuracy.parity import ParityReport
from mosaic_deploy.artifact.manifest import Entry
from mosaic_deploy.backends.protocol import Step
from mosaic_deploy.build.report_words import (
    decided_by,
    fell_back,
    fixed,
    given_ranges,
    kept_grids,
    searched,
    tried,
    way_out,
    why_failed,
)
from mosaic_deploy.build.stages import Stage
from mosaic_deploy.gate.fix_report import FixStep
from mosaic_deploy.gate.op_support.judge import CheckReport
from mosaic_deploy.specs.fields import OutputKind

SCHEMA = 1
UNDECIDED = 4
"""Exit code where nothing failed and a comparison says nothing."""
UNTRAINED = "untrained: its weights are random, so how well it does, before and after, means little"
CONVERSION_LIMIT = 0.9999
"""Share of the pixels that must keep their class where a conversion computes in float32."""
UNTRAINED_LIMIT = 0.999
"""The same for random weights: their classes score so much alike that rounding in float32 turns more."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """The float network in the runtime's own format, before anything is quantised, against ONNX Runtime."""

    parity: ParityReport
    """``reference`` is the float ONNX with the deployed output kind."""
    precision: str
    """What the runtime's arithmetic really was."""
    untrained: bool = False
    """Whether the weights are random."""
    fixed: ParityReport | None = None
    """Where passes changed more than rounding: the same against the network as they left it, which was asked
    for, so that it decides."""

    @property
    def judged(self) -> ParityReport:
        """What the conversion alone did."""
        return self.fixed or self.parity

    @property
    def passed(self) -> bool:
        """Parity holds, and in float32 hardly a pixel changed its class."""
        limit = UNTRAINED_LIMIT if self.untrained else CONVERSION_LIMIT
        same = self.judged.agreement >= limit or self.precision != "float32"
        return self.judged.passed and same

    def to_json(self) -> dict[str, object]:
        """The conversion's entry in ``--json``."""
        fixed = None if self.fixed is None else self.fixed.agreement
        own = {"passed": self.passed, "precision": self.precision, "agreement_with_fixed": fixed}
        return {**self.parity.to_json(), **own}


@dataclass(frozen=True, slots=True)
class Losses:
    """Where mIoU (or agreement) went, step by step; the three add up to the drop. Negative is a gain."""

    output: float
    """By giving another kind of output than the model's card states."""
    conversion: float
    """By lossy fixes and the runtime's own format, in float; 0 where nothing is converted."""
    quantisation: float
    """By everything after that: integers, float16, the device's arithmetic."""


@dataclass(frozen=True, slots=True)
class BuildReport:
    """One model on one target: what was made, and the checks' results."""

    model: str
    target: str
    recipe: str
    output: OutputKind
    """What the deployed network gives."""
    folder: str
    artifacts: tuple[Entry, ...]
    check: CheckReport | None
    """None where the target has no op table: its compiler and runtime are the judges."""
    output_change: ParityReport | None
    """The float network with that output against the one with the card's; None where they are the same."""
    conversion: Conversion | None
    """None where nothing is converted before it is quantised."""
    variants: Mapping[str, ParityReport]
    """Parity of each compiled variant that computes otherwise than the others (v68, v75); empty where the
    op check failed and nothing was compiled."""
    seconds: float
    """Wall-clock time of the build; the steps' own seconds overlap where they ran side by side."""
    facts: Mapping[str, object]
    """What the backend says of its run: the architectures simulated, the precision used."""
    steps: tuple[Step, ...]
    fixes: tuple[FixStep, ...] = ()
    """Passes that rewrote the graph for the target before it was compiled."""
    unchanged: bool = False
    """It lay there already, from the very same: nothing was done, and the report is that of then."""
    notes: tuple[str, ...] = ()
    """What the data sets say that a reader must know."""
    replaced: tuple[str, ...] = ()
    """What had changed since the artifact that lay there before: ``model``, ``data`` and the like."""
    stages: tuple[Stage, ...] = ()
    """The network after each stage, from the export to the compiled variants."""
    untrained: bool = False
    """The weights are random: what it sees means nothing, and how well integers keep it means little."""

    @property
    def parity(self) -> ParityReport | None:
        """Of the variant that does worst, which decides; None where nothing was compiled."""
        return min(self.variants.values(), key=lambda parity: parity.rank, default=None)

    @property
    def passed(self) -> bool:
        """All checks passed; a build without parity never passes."""
        gates = (self.check, self.conversion)
        held = all(gate is None or gate.passed for gate in gates)
        return held and self.parity is not None and self.parity.passed

    @property
    def undecided(self) -> str:
        """Why the comparison says nothing, though nothing failed; empty where it says something."""
        if self.passed or (self.check is not None and not self.check.passed):
            return ""
        if self.conversion is not None and not self.conversion.passed:
            return self.conversion.judged.undecided
        return self.parity.undecided if self.parity is not None else ""

    @property
    def losses(self) -> Losses | None:
        """Of the worst variant; None where nothing was compiled. All are measured on the same images."""
        if self.parity is None:
            return None
        output = self.output_change.drop if self.output_change else 0.0
        conversion = self.conversion.parity.drop if self.conversion else 0.0
        if self.parity.metric == "agreement":  # shares of changed pixels do not add up
            return Losses(output, conversion, self.parity.drop)
        return Losses(output, conversion, self.parity.drop - output - conversion)

    @property
    def verdict(self) -> str:
        """In two words at most."""
        if self.passed:
            return "passed" if self.parity is None or self.parity.verdict == "holds" else "undecided"
        if self.check is not None and not self.check.passed:
            return "ops refused"
        if self.undecided:
            return "undecided"
        if self.conversion is not None and not self.conversion.passed:
            return "conversion failed"
        return "parity failed"

    def explain(self) -> list[str]:
        """Say in lines what the gates found, and what a reader must know to read the verdict rightly."""
        lines = [UNTRAINED] if self.untrained else []
        lines += self.check.explain() if self.check else []
        if self.check is not None and not self.check.passed:
            return [*lines, "the operator check failed, so nothing was compiled"]
        lines += [f"data: {note}" for note in self.notes]
        lines += [fixed(step) for step in self.fixes]
        lines += fell_back(self.facts.get("fallback"))
        lines += kept_grids(self.facts.get("weight_grids"))
        lines += given_ranges(self.facts.get("ranges"))
        lines += searched(self.facts.get("search"))
        if self.facts.get("compiled") is False:
            lines.append(f"the target's own compiler was not run: {self.facts.get('not_compiled', '')}")
        if self.undecided:
            advice = decided_by(self.parity)
            return [*lines, f"undecided: {self.undecided}; {advice}"]
        if self.conversion is not None and not self.conversion.passed:
            found = self.conversion.judged
            lines.append(
                f"the float conversion changed the network: {1 - found.agreement:.2%} of the pixels differ, "
                f"{found.metric} dropped by {found.drop:.4f}; nothing was quantised or compiled"
            )
        if self.parity is None:
            return lines
        lines += self._per_variant()
        if not self.parity.passed:
            lines.append(f"parity failed: {why_failed(self.parity)}{way_out(self.parity)}")
        elif self.parity.verdict == "undecided":
            lines.append(f"undecided, and let pass as asked: {self.parity.undecided}")
        if self.parity.note:
            lines.append(f"parity: {self.parity.note}")
        feeding = self.facts.get("feeding")
        return [*lines, f"feed it {feeding}"] if feeding else lines

    @property
    def in_tables(self) -> tuple[str, ...]:
        """Lines of ``explain`` that stand in tables where there are any, as on the page."""
        nodes = self.check.explain() if self.check else ()
        return (*nodes, *tried(self.facts.get("search")), *self._per_variant())

    def _per_variant(self) -> list[str]:
        drops = ", ".join(f"{name} {parity.drop:+.4f}" for name, parity in self.variants.items())
        return [f"drop per variant, the worst decides: {drops}"] if len(self.variants) > 1 else []

    def to_json(self) -> dict[str, object]:
        """The build's entry in ``--json``; ``parity`` is null where it was not measured."""
        return {
            "model": self.model,
            "target": self.target,
            "recipe": self.recipe,
            "output": self.output,
            "passed": self.passed,
            "verdict": self.verdict,
            "folder": self.folder,
            "artifacts": [asdict(entry) for entry in self.artifacts],
            "check": None if self.check is None else self.check.to_json(),
            "losses": None if self.losses is None else _numbers(asdict(self.losses)),
            "conversion": None if self.conversion is None else self.conversion.to_json(),
            "parity": None if self.parity is None else self.parity.to_json(),
            "variants": {name: parity.to_json() for name, parity in self.variants.items()},
            "stages": [
                {
                    "stage": stage.name,
                    "variant": stage.variant,
                    "parity": None if stage.parity is None else stage.parity.to_json(),
                    "why": stage.why,
                }
                for stage in self.stages
            ],
            "seconds": self.seconds,
            "undecided": self.undecided,
            "fixes": [{**asdict(step), "changes": step.changes} for step in self.fixes],
            "fallback": self.facts.get("fallback"),
            "facts": dict(self.facts),
            "steps": [asdict(step) for step in self.steps],
            "notes": list(self.notes),
            "unchanged": self.unchanged,
            "replaced": list(self.replaced),
            "untrained": self.untrained,
        }


@dataclass(frozen=True, slots=True)
class Failure:
    """A build that came to no verdict, while others went on: a tool is missing or failed."""

    model: str
    target: str
    recipe: str
    error: str
    """What, where, and what next, in one line."""
    exit_code: int
    """That of the error: 3 for a tool, 1 where the target refused the model, 2 for a bad model."""

    @property
    def passed(self) -> bool:
        """Never."""
        return False

    def to_json(self) -> dict[str, object]:
        """The failure's entry in ``--json``."""
        return {**asdict(self), "passed": False}


Result = BuildReport | Failure


def exit_code(results: Sequence[Result]) -> int:
    """0 where all passed; 1 where any check failed; else that of the first failure, 4 for one undecided."""
    codes = [_code(result) for result in results]
    return 1 if 1 in codes else next((c for c in codes if c not in (0, UNDECIDED)), max(codes, default=0))


def _code(result: Result) -> int:
    if isinstance(result, Failure):
        return result.exit_code
    return 0 if result.passed else UNDECIDED if result.undecided else 1


def explain(results: Sequence[Result]) -> list[str]:
    """Lines for a person: where each artifact lies, and what its gates found."""
    lines = []
    for result in results:
        if isinstance(result, Failure):
            lines.append(f"{result.model} on {result.target}: {result.error}")
        else:
            lines.append(f"{result.model} on {result.target}: {result.folder}{_state(result)}")
            lines += [f"  {line}" for line in result.explain()]
    return lines


def _state(build: BuildReport) -> str:
    if build.unchanged:
        return " (unchanged since it was built, so nothing was done: --force builds it again)"
    return f" (replaced, as this is new: {', '.join(build.replaced)})" if build.replaced else ""


def to_json(results: Sequence[Result]) -> dict[str, object]:
    """The object that ``build --json`` prints."""
    return {
        "schema": SCHEMA,
        "passed": bool(results) and all(result.passed for result in results),
        "builds": [r.to_json() for r in results if isinstance(r, BuildReport)],
        "failures": [r.to_json() for r in results if isinstance(r, Failure)],
    }


def _numbers(record: Mapping[str, float]) -> dict[str, float | None]:
    return {name: None if value != value else value for name, value in record.items()}
