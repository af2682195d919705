"""One JSON object with everything."""

from __future__ import annotations

import json

from mosaic_deploy.gate.report import GateReport
from mosaic_deploy.gate.repository import Repository


def render(report: GateReport, repository: Repository) -> str:  # noqa: ARG001  # every format's signature
    """Render as JSON without NaN or infinity, on one line."""
    return json.dumps(report.to_json(), allow_nan=False)
