"""The gate's report as text for people and for the programs around them: one format per module.

A module has ``render(report, repository)``, which returns the whole text without a newline at its end.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

from mosaic_deploy.errors import UsageError
from mosaic_deploy.gate.report import GateReport
from mosaic_deploy.gate.repository import Repository
from mosaic_deploy.specs.toml import nearest

FORMATS = {
    "text": "mosaic_deploy.gate.formats.text",
    "json": "mosaic_deploy.gate.formats.json",
    "sarif": "mosaic_deploy.gate.formats.sarif",
    "junit": "mosaic_deploy.gate.formats.junit",
    "github": "mosaic_deploy.gate.formats.github",
    "markdown": "mosaic_deploy.gate.formats.markdown",
}
"""Format's name -> its module."""

Render = Callable[[GateReport, Repository], str]


def find_format(name: str) -> Render:
    """Load a format's ``render``; raises ``UsageError`` for an unknown name, with the nearest."""
    if name not in FORMATS:
        raise UsageError(f"no format '{name}'{nearest(name, FORMATS)}; known: {', '.join(FORMATS)}")
    render: Render = importlib.import_module(FORMATS[name]).render
    return render
