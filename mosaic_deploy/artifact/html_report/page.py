"""The page: one HTML file with style, script and pictures in it, the same bytes for the same artifact."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from mosaic_deploy.artifact.html_report.cost import in_brief
from mosaic_deploy.artifact.html_report.figures import percent, points
from mosaic_deploy.artifact.html_report.record import Record, open_record
from mosaic_deploy.artifact.html_report.sections import PAGE, SECTIONS, Section
from mosaic_deploy.artifact.html_report.verdict import VerdictView, verdict
from mosaic_deploy.artifact.manifest import Manifest
from mosaic_deploy.backends.protocol import File

if TYPE_CHECKING:
    from jinja2 import Environment

_WORST_ONLY = 1
"""Pictures of each artifact on a page of several."""


@dataclass(frozen=True, slots=True)
class _Article:
    """One artifact on the page."""

    id: str
    verdict: VerdictView
    sections: tuple[tuple[Section, object], ...]
    brief: str
    """What it costs beside its size, for the table of several."""


def write_page(folder: Path, manifest: Manifest) -> File:
    """Write ``report.html`` into an artifact that is being built; ``manifest`` lists its files so far."""
    (folder / PAGE).write_text(render_page([open_record(folder, manifest)]), encoding="utf-8")
    return File(PAGE, "page")


def render_page(records: Sequence[Record]) -> str:
    """One artifact as a page, or several below a table of models and targets."""
    several = len(records) > 1
    shown = [replace(r, views=r.views[:_WORST_ONLY]) for r in records] if several else records
    articles = [_article(f"build-{index}", record) for index, record in enumerate(shown, start=1)]
    targets = list(dict.fromkeys(a.verdict.target for a in articles))
    models = list(dict.fromkeys(a.verdict.model for a in articles))
    style, script = _text("style.css"), _text("script.js")
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            articles=articles,
            several=several,
            models=models,
            targets=targets,
            style=style,
            script=script,
            style_hash=_digest(style),
            script_hash=_digest(script),
        )
    )


def _article(name: str, record: Record) -> _Article:
    views = ((section, section.view(record)) for section in SECTIONS)
    there = tuple((section, view) for section, view in views if view is not None)
    return _Article(name, verdict(record), there, in_brief(record))


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(_text),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
    )
    environment.filters |= {"percent": percent, "points": points}
    return environment


def _printable(value: object) -> object:
    """Text without control characters and without those that turn the direction of writing."""
    if type(value) is not str or value.isprintable():
        return value
    return "".join(c if c.isprintable() or c in "\n\u00a0" else "\ufffd" for c in value)


@cache
def _text(name: str) -> str:
    return (files(__package__) / "templates" / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """What the page's policy allows: this text and no other."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
