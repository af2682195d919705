"""Which of the planned builds have something to do: the others lie there already, from the very same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mosaic_deploy.artifact.place import require_replaceable
from mosaic_deploy.build.kept_report import find_report
from mosaic_deploy.build.made_from import Digests, changes
from mosaic_deploy.build.plan import Plan
from mosaic_deploy.build.report import BuildReport


@dataclass(frozen=True, slots=True)
class Todo:
    """A build that has something to do."""

    plan: Plan
    made_from: Mapping[str, str]
    """Digests of what it depends on."""
    replaced: tuple[str, ...] = ()
    """What of that is another than in the artifact that lies at its place."""
    may_replace: bool = False
    """Whether an artifact lies at its place, which may go."""


def sort_out(planned: Sequence[Plan], *, force: bool) -> tuple[dict[str, BuildReport], tuple[Todo, ...]]:
    """Tell what is there, by its target, from what is to be done.

    Args:
        planned: builds.
        force: do everything again.

    Raises:
        UsageError: something lies in a build's place that must not be replaced.
        ModelError, DataError: a file cannot be read.
    """
    lying = [require_replaceable(item.place, force=force) for item in planned]
    digests = Digests()
    there: dict[str, BuildReport] = {}
    todo = []
    for item, manifest in zip(planned, lying, strict=True):
        made_from = digests.of(item)
        kept = None if manifest is None or force else find_report(item, manifest, made_from)
        if kept is not None:
            there[item.target.name] = kept
            continue
        changed = () if manifest is None else changes(manifest.made_from, made_from)
        todo.append(Todo(item, made_from, changed, may_replace=manifest is not None))
    return there, tuple(todo)
