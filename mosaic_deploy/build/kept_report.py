"""A build's report kept in its artifact, so that it can be given again without the work.

NaN, which JSON has not, is written as the text ``nan``.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from pydantic import TypeAdapter, ValidationError

from mosaic_deploy.artifact.manifest import MANIFEST, Manifest
from mosaic_deploy.artifact.place import is_intact
from mosaic_deploy.artifact.store import entries
from mosaic_deploy.backends.protocol import File
from mosaic_deploy.build.made_from import changes
from mosaic_deploy.build.plan import Plan
from mosaic_deploy.build.report import BuildReport

REPORT = "report.json"
_BYTES = 1 << 26


def report_text(report: BuildReport) -> str:
    """The report as ``find_report`` reads it; the list of the artifact's files is left to the manifest.

    ``summary`` is for the page: what the report says of itself in words, but for what stands in tables there.
    """
    plain = _adapter().dump_python(replace(report, artifacts=()))
    lines = [line for line in report.explain() if line not in report.in_tables]
    plain["summary"] = {"verdict": report.verdict, "lines": lines}
    return json.dumps(_without_nan(plain), indent=1, allow_nan=False) + "\n"


def find_report(item: Plan, manifest: Manifest, made_from: Mapping[str, str]) -> BuildReport | None:
    """The report of the artifact that lies at a plan's place, where a build would make the same again.

    None where something that it was made from is another now, where one of its files was changed, or where
    what the target names as its compiler has come since.
    """
    if changes(manifest.made_from, made_from) or _compiler_came(item, manifest):
        return None
    if not is_intact(item.place, manifest):
        return None
    try:
        with open(item.place / REPORT, encoding="utf-8") as file:
            report = _adapter().validate_json(file.read(_BYTES))
    except (OSError, ValueError, ValidationError):
        return None
    itself = entries(item.place, [File(MANIFEST, "manifest")])
    return replace(
        report, artifacts=(*manifest.files, *itself), folder=str(item.place), unchanged=True, replaced=()
    )


def _compiler_came(item: Plan, manifest: Manifest) -> bool:
    program = item.target.options.get("compiler")
    return (
        manifest.facts.get("compiled") is False and bool(program) and shutil.which(str(program)) is not None
    )


@cache
def _adapter() -> TypeAdapter[BuildReport]:
    return TypeAdapter(BuildReport)


def _without_nan(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(inner) for inner in value]
    return value
