"""mosaic-deploy: take a mobile segmentation model to mobile hardware, and prove that it still works there.

    from mosaic_deploy import Request, deploy
    (report,) = deploy(Request(model="mosaic", targets=("dsp",), out=Path("build")), progress=print)
    report.passed, report.parity.drop

Importing the package is cheap: every name is loaded on first use, PyTorch and the runtimes only in child
processes.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mosaic_deploy.contract import Contract
    from mosaic_deploy.errors import (
        DataError,
        ModelError,
        MosaicError,
        SpecError,
        ToolError,
        UsageError,
    )
    from mosaic_deploy.op_check import CheckReport, check
    from mosaic_deploy.parity import ParityReport
    from mosaic_deploy.pipeline import deploy
    from mosaic_deploy.plan import Request
    from mosaic_deploy.report import BuildReport
    from mosaic_deploy.specs import ModelCard, QuantRecipe, TargetSpec

__version__ = "0.1.0"

__all__ = [
    "BuildReport",
    "CheckReport",
    "Contract",
    "DataError",
    "ModelCard",
    "ModelError",
    "MosaicError",
    "ParityReport",
    "QuantRecipe",
    "Request",
    "SpecError",
    "TargetSpec",
    "ToolError",
    "UsageError",
    "check",
    "deploy",
]

_HOMES = {
    "BuildReport": "report",
    "CheckReport": "op_check",
    "Contract": "contract",
    "DataError": "errors",
    "ModelCard": "specs",
    "ModelError": "errors",
    "MosaicError": "errors",
    "ParityReport": "parity",
    "QuantRecipe": "specs",
    "Request": "plan",
    "SpecError": "errors",
    "TargetSpec": "specs",
    "ToolError": "errors",
    "UsageError": "errors",
    "check": "op_check",
    "deploy": "pipeline",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'mosaic_deploy' has no attribute '{name}'")
    return getattr(importlib.import_module(f"mosaic_deploy.{_HOMES[name]}"), name)
