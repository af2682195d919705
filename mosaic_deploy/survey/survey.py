"""A survey asked for: held or read from its records, and written as a table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mosaic_deploy.errors import UsageError
from mosaic_deploy.files import write_whole
from mosaic_deploy.specs.registry import load_spec, spec_names
from mosaic_deploy.specs.target import TargetSpec
from mosaic_deploy.survey.records import sources_digest
from mosaic_deploy.survey.session import Order, Say, hold_all, on_record
from mosaic_deploy.survey.subject import Subject
from mosaic_deploy.survey.table import failures, markdown, matrix, summary_json
from mosaic_deploy.survey.trial import Terms, Trial

TABLE, RECORD = "table.md", "table.json"


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asked for."""

    subjects: tuple[Subject, ...]
    targets: str
    """Names with commas, or ``all``."""
    terms: Terms
    out: Path
    jobs: int = 2
    timed: bool = True
    only_read: bool = False
    """Whether to try nothing and take what is on record, of whatever version."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What came of it."""

    trials: tuple[Trial, ...]

    @property
    def failures(self) -> list[str]:
        """A line for each trial that is not as it should be."""
        return failures(self.trials)

    def matrix(self) -> str:
        """A row per network, a column per target."""
        return matrix(self.trials)

    def markdown(self) -> str:
        """Everything."""
        return markdown(self.trials)

    def to_json(self) -> dict[str, object]:
        """All records and the failures."""
        return dict(summary_json(self.trials))


def hold_survey(request: Request, say: Say) -> Survey:
    """Hold it, and write ``TABLE`` and ``RECORD`` into its folder.

    Raises ``UsageError`` (or a child of it) for a name that is none; a network that fails is in the table.
    """
    order = Order(
        subjects=request.subjects,
        targets=_targets(request.targets),
        terms=request.terms,
        out=request.out.resolve(),  # the commands run elsewhere
        jobs=request.jobs,
        sources=sources_digest(),
        timed=request.timed,
    )
    survey = Survey(tuple(on_record(order) if request.only_read else hold_all(order, say)))
    request.out.mkdir(parents=True, exist_ok=True)
    write_whole(request.out / TABLE, survey.markdown())
    write_whole(request.out / RECORD, json.dumps(survey.to_json(), indent=1) + "\n")
    return survey


def _targets(text: str) -> tuple[str, ...]:
    named: Sequence[str] = tuple(dict.fromkeys(name for name in text.split(",") if name))
    if not named:
        raise UsageError(f"--targets names none; known: {', '.join(spec_names(TargetSpec))}, or all")
    wanted = spec_names(TargetSpec) if "all" in named else named
    return tuple(load_spec(TargetSpec, name).name for name in wanted)
