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
    from mosaic_deploy.accuracy.parity import ParityReport
    from mosaic_deploy.build.pipeline import deploy
    from mosaic_deploy.build.plan import Request
    from mosaic_deploy.build.report import BuildReport
    from mosaic_deploy.errors import DataError, ModelError, MosaicError, SpecError, ToolError, UsageError
    from mosaic_deploy.gate.op_support.judge import CheckReport, check
    from mosaic_deploy.specs.contract import Contract
    from mosaic_deploy.specs.model_card import ModelCard
    from mosaic_deploy.specs.recipe import QuantRecipe
    from mosaic_deploy.specs.target import TargetSpec


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
    "BuildReport": "build.report",
    "CheckReport": "gate.op_support.judge",
    "Contract": "specs.contract",
    "DataError": "errors",
    "ModelCard": "specs.model_card",
    "ModelError": "errors",
    "MosaicError": "errors",
    "ParityReport": "accuracy.parity",
    "QuantRecipe": "specs.recipe",
    "Request": "build.plan",
    "SpecError": "errors",
    "TargetSpec": "specs.target",
    "ToolError": "errors",
    "UsageError": "errors",
    "check": "gate.op_support.judge",
    "deploy": "build.pipeline",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'mosaic_deploy' has no attribute '{name}'")
    return getattr(importlib.import_module(f"mosaic_deploy.{_HOMES[name]}"), name)
