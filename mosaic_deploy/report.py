"""What a build reports: one JSON object, or a short table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from rich.console import RenderableType
from rich.table import Table

from mosaic_deploy.artifact import Entry
from mosaic_deploy.backends import Step
from mosaic_deploy.check import CheckReport
from mosaic_deploy.parity import ParityReport

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class BuildReport:
    """One model on one target: what was made, and the gates' answers."""

    model: str
    target: str
    recipe: str
    folder: str
    artifacts: tuple[Entry, ...]
    check: CheckReport
    variants: Mapping[str, ParityReport]
    """Parity of each compiled variant that computes otherwise than the others (v68, v75); empty where the
    op gate said no and nothing was compiled."""
    seconds: float
    """Wall-clock time of the build; the steps' own seconds overlap where they ran side by side."""
    facts: Mapping[str, object]
    """What the backend says of its run: the architectures simulated, the precision used."""
    steps: tuple[Step, ...]

    @property
    def parity(self) -> ParityReport | None:
        """Of the variant that does worst, which decides; None where nothing was compiled."""
        return min(self.variants.values(), key=lambda p: (p.passed, -p.drop), default=None)

    @property
    def passed(self) -> bool:
        """Both gates said yes; a build without parity never passes."""
        return self.check.passed and self.parity is not None and self.parity.passed

    def explain(self) -> list[str]:
        """Say in lines what the gates found, and what a reader must know to read the verdict rightly."""
        lines = [str(violation) for violation in self.check.violations]
        if self.parity is None:
            return [*lines, "the op gate said no, so nothing was compiled"]
        if len(self.variants) > 1:
            drops = ", ".join(f"{name} {parity.drop:+.4f}" for name, parity in self.variants.items())
            lines.append(f"drop per variant, the worst decides: {drops}")
        if not self.parity.passed:
            lines.append(
                f"parity failed: {self.parity.metric} dropped by {self.parity.drop:.4f}, "
                f"{self.parity.tolerance:g} is allowed"
            )
        if self.parity.note:
            lines.append(f"parity: {self.parity.note}")
        return lines

    def to_json(self) -> dict[str, object]:
        """The build's entry in ``--json``; ``parity`` is null where it was not measured."""
        return {
            "model": self.model,
            "target": self.target,
            "recipe": self.recipe,
            "passed": self.passed,
            "folder": self.folder,
            "artifacts": [asdict(entry) for entry in self.artifacts],
            "check": self.check.to_json(),
            "parity": None if self.parity is None else self.parity.to_json(),
            "variants": {name: parity.to_json() for name, parity in self.variants.items()},
            "seconds": self.seconds,
            "facts": dict(self.facts),
            "steps": [asdict(step) for step in self.steps],
        }


def to_json(builds: Sequence[BuildReport]) -> dict[str, object]:
    """The object that ``build --json`` prints."""
    passed = bool(builds) and all(build.passed for build in builds)
    return {"schema": SCHEMA, "passed": passed, "builds": [build.to_json() for build in builds]}


def table(builds: Sequence[BuildReport]) -> RenderableType:
    """One row per build: reference and device mIoU, drop, agreement, size, seconds, verdict."""
    view = Table(title_justify="left")
    for heading in ("model", "target", "recipe", "images"):
        view.add_column(heading)
    for heading in ("float mIoU", "device mIoU", "drop", "agreement", "size", "seconds"):
        view.add_column(heading, justify="right")
    view.add_column("verdict")
    for build in builds:
        view.add_row(*_cells(build))
    return view


def _cells(build: BuildReport) -> list[str]:
    size = max((e.bytes for e in build.artifacts if e.kind == "context-binary"), default=0)
    size = size or sum(e.bytes for e in build.artifacts)
    name = [build.model, build.target, build.recipe]
    end = [f"{size / 2**20:.1f} MiB", f"{build.seconds:.0f}"]
    if build.parity is None:
        return [*name, "-", "-", "-", "-", "-", *end, "[red]ops refused[/]"]
    parity = build.parity
    return [
        *name,
        f"{parity.images} {parity.dataset}",
        f"{parity.reference:.4f}",
        f"{parity.candidate:.4f}",
        f"{parity.drop:+.4f}",
        f"{parity.agreement:.2%}",
        *end,
        "[green]passed[/]" if build.passed else "[red]parity failed[/]",
    ]
