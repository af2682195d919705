"""mosaic-deploy: take a mobile segmentation model to mobile hardware, and measure that it still works there.

    from mosaic_deploy import Request, check, deploy
    check("my_net.onnx", target="dsp").passed
    (report,) = deploy(Request(model="mosaic", targets=("dsp",), out=Path("build")))
    report.passed, report.parity.drop

The names in ``__all__`` are the public API, and nothing else is. Importing the package is cheap: every name
is loaded on first use, PyTorch and the runtimes only in child processes.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mosaic_deploy.accuracy.parity import ParityReport
    from mosaic_deploy.accuracy.parity import measure as compare
    from mosaic_deploy.artifact.bench.entries import BenchRequest
    from mosaic_deploy.artifact.bench.report import BenchReport
    from mosaic_deploy.artifact.bench.run import bench
    from mosaic_deploy.artifact.contract_fuzz.fuzz import FuzzReport, FuzzRequest
    from mosaic_deploy.artifact.contract_fuzz.fuzz import fuzz as contract_fuzz
    from mosaic_deploy.artifact.foreign import Stated
    from mosaic_deploy.artifact.open import Artifact, open_artifact
    from mosaic_deploy.artifact.predict import Prediction, predict
    from mosaic_deploy.build.calibration import CalibrationRequest, calibrate
    from mosaic_deploy.build.diff.diff import diff
    from mosaic_deploy.build.diff.found import Diff, DiffRequest
    from mosaic_deploy.build.model_source import InputOptions
    from mosaic_deploy.build.pipeline import deploy
    from mosaic_deploy.build.plan import Request
    from mosaic_deploy.build.report import BuildReport, Failure
    from mosaic_deploy.build.sensitivity import Sensitivity, sensitivity
    from mosaic_deploy.build.validate import ValidationRequest, validate
    from mosaic_deploy.build.validated import Validated
    from mosaic_deploy.datasets import open_data
    from mosaic_deploy.datasets.samples import FileDataset, Sample
    from mosaic_deploy.errors import (
        DataError,
        ModelError,
        MosaicError,
        RefusedError,
        SpecError,
        ToolError,
        UsageError,
    )
    from mosaic_deploy.gate.api import check, fix
    from mosaic_deploy.gate.fix_report import FixReport
    from mosaic_deploy.gate.op_support.judge import CheckReport, Violation
    from mosaic_deploy.gate.verdict import TargetVerdict
    from mosaic_deploy.graph.reader.read import read_model
    from mosaic_deploy.specs.contract import Contract
    from mosaic_deploy.specs.labels import LabelSpace
    from mosaic_deploy.specs.model_card import ModelCard
    from mosaic_deploy.specs.ranges import RangesFile, read_ranges
    from mosaic_deploy.specs.recipe import QuantRecipe
    from mosaic_deploy.specs.registry import load_spec, spec_names
    from mosaic_deploy.specs.target import TargetSpec
    from mosaic_deploy.workers.progress import StageProgress


__all__ = [
    "Artifact",
    "BenchReport",
    "BenchRequest",
    "BuildReport",
    "CalibrationRequest",
    "CheckReport",
    "Contract",
    "DataError",
    "Diff",
    "DiffRequest",
    "Failure",
    "FileDataset",
    "FixReport",
    "FuzzReport",
    "FuzzRequest",
    "InputOptions",
    "LabelSpace",
    "ModelCard",
    "ModelError",
    "MosaicError",
    "ParityReport",
    "Prediction",
    "QuantRecipe",
    "RangesFile",
    "RefusedError",
    "Request",
    "Sample",
    "Sensitivity",
    "SpecError",
    "StageProgress",
    "Stated",
    "TargetSpec",
    "TargetVerdict",
    "ToolError",
    "UsageError",
    "Validated",
    "ValidationRequest",
    "Violation",
    "bench",
    "calibrate",
    "check",
    "compare",
    "contract_fuzz",
    "deploy",
    "diff",
    "fix",
    "load_spec",
    "open_artifact",
    "open_data",
    "predict",
    "read_model",
    "read_ranges",
    "sensitivity",
    "spec_names",
    "validate",
]

_HOMES = {
    "Artifact": "artifact.open",
    "BenchReport": "artifact.bench.report",
    "BenchRequest": "artifact.bench.entries",
    "BuildReport": "build.report",
    "CalibrationRequest": "build.calibration",
    "CheckReport": "gate.op_support.judge",
    "Contract": "specs.contract",
    "DataError": "errors",
    "Diff": "build.diff.found",
    "DiffRequest": "build.diff.found",
    "Failure": "build.report",
    "FileDataset": "datasets.samples",
    "FixReport": "gate.fix_report",
    "FuzzReport": "artifact.contract_fuzz.fuzz",
    "FuzzRequest": "artifact.contract_fuzz.fuzz",
    "InputOptions": "build.model_source",
    "LabelSpace": "specs.labels",
    "ModelCard": "specs.model_card",
    "ModelError": "errors",
    "MosaicError": "errors",
    "ParityReport": "accuracy.parity",
    "Prediction": "artifact.predict",
    "QuantRecipe": "specs.recipe",
    "RangesFile": "specs.ranges",
    "RefusedError": "errors",
    "Request": "build.plan",
    "Sample": "datasets.samples",
    "Sensitivity": "build.sensitivity",
    "SpecError": "errors",
    "StageProgress": "workers.progress",
    "Stated": "artifact.foreign",
    "TargetSpec": "specs.target",
    "TargetVerdict": "gate.verdict",
    "ToolError": "errors",
    "UsageError": "errors",
    "Validated": "build.validated",
    "ValidationRequest": "build.validate",
    "Violation": "gate.op_support.judge",
    "bench": "artifact.bench.run",
    "calibrate": "build.calibration",
    "check": "gate.api",
    "compare": "accuracy.parity:measure",
    "contract_fuzz": "artifact.contract_fuzz.fuzz:fuzz",
    "deploy": "build.pipeline",
    "diff": "build.diff.diff",
    "fix": "gate.api",
    "load_spec": "specs.registry",
    "open_artifact": "artifact.open",
    "open_data": "datasets",
    "predict": "artifact.predict",
    "read_model": "graph.reader.read",
    "read_ranges": "specs.ranges",
    "sensitivity": "build.sensitivity",
    "spec_names": "specs.registry",
    "validate": "build.validate",
}
"""Public name -> the module below this package that it comes from, and after a colon its name there."""


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'mosaic_deploy' has no attribute '{name}'")
    module, _, inner = _HOMES[name].partition(":")
    return getattr(importlib.import_module(f"mosaic_deploy.{module}"), inner or name)
