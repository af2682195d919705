"""What a machine has of toolchains and data, and the line that gets what it lacks."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import RenderableType
from rich.table import Table

from mosaic_deploy.backends.registry import load_backend
from mosaic_deploy.datasets import camvid
from mosaic_deploy.errors import MosaicError
from mosaic_deploy.specs.registry import load_spec, spec_names
from mosaic_deploy.specs.root import spec_root
from mosaic_deploy.specs.target import TargetSpec

_PACKAGES = {
    "torch": "export and training",
    "onnx": "the graph format",
    "onnxruntime": "float reference",
    "onnxruntime-qnn": "Hexagon compiler and simulator",
    "onnxsim": "graph simplification",
    "ai-edge-litert": "LiteRT's interpreter and GPU accelerator",
    "onnx2tf": "ONNX to TFLite",
    "ai-edge-quantizer": "integers in TFLite",
    "openvino": "Intel's compiler and runtime",
    "nncf": "integers in OpenVINO",
}
_GIB = 2**30


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked for."""

    name: str
    ok: bool
    found: str
    remedy: str
    """What to do where it is missing; empty where it is not."""
    optional: bool = False
    """Whether ``build`` works without it."""


def examine() -> tuple[Finding, ...]:
    """Look at packages, targets, data, memory and disk; imports no toolchain that is not needed."""
    return (*_packages(), *_targets(), *_data(), *_machine())


def to_json(findings: Sequence[Finding]) -> dict[str, object]:
    """The object that ``doctor --json`` prints."""
    good = all(f.ok or f.optional for f in findings)
    return {"schema": 1, "passed": good, "findings": [asdict(f) for f in findings]}


def table(findings: Sequence[Finding]) -> RenderableType:
    """One row per finding."""
    view = Table()
    for heading in ("", "what", "found", "how to get it"):
        view.add_column(heading, overflow="fold")
    for f in findings:
        mark = "[green]ok[/]" if f.ok else "[yellow]optional[/]" if f.optional else "[red]missing[/]"
        view.add_row(mark, f.name, f.found, f.remedy)
    return view


def _packages() -> list[Finding]:
    findings = []
    for name, purpose in _PACKAGES.items():
        try:
            found, ok = importlib.metadata.version(name), True
        except importlib.metadata.PackageNotFoundError:
            found, ok = "not installed", False
        findings.append(Finding(f"{name} ({purpose})", ok, found, "" if ok else "uv sync"))
    return findings


def _targets() -> list[Finding]:
    findings = []
    for name in spec_names(TargetSpec):
        try:
            target = load_spec(TargetSpec, name)
            backend = load_backend(target.backend)
            options = backend.check_options(target, {})
            missing = backend.missing() or backend.missing_for(options)
        except MosaicError as err:
            missing = str(err)
        found = "ready" if missing is None else "not usable"
        findings.append(Finding(f"target {name}", missing is None, found, missing or ""))
    return findings


def _data() -> list[Finding]:
    embedded = spec_root() / "calib_data" / "streets"
    there = (embedded / "manifest.json").is_file()
    findings = [
        Finding(
            "data streets",
            there,
            "embedded" if there else "missing",
            "" if there else "git checkout calib_data",
        )
    ]
    root = os.environ.get("MOSAIC_CAMVID")
    ok = root is not None and (Path(root) / camvid.SPLITS[0] / "images").is_dir()
    remedy = "set MOSAIC_CAMVID to a folder with train|val/images and labels (see docs/how-to/data.md)"
    findings.append(Finding("data camvid", ok, root or "not set", "" if ok else remedy, optional=True))
    root = os.environ.get("MOSAIC_R4")
    ok = root is not None and any(Path(root).glob("*.tflite"))
    remedy = "set MOSAIC_R4 to a folder with MLCommons' mosaic R4 .tflite (only its tests need it)"
    findings.append(Finding("MLPerf R4 weights", ok, root or "not set", "" if ok else remedy, optional=True))
    return findings


def _machine() -> list[Finding]:
    system = f"{platform.system()} {platform.machine()}"
    right = platform.system() == "Linux" and platform.machine() == "x86_64"
    free = shutil.disk_usage(Path.cwd()).free / _GIB
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIB
    return [
        Finding("system", right, system, "" if right else "the Hexagon simulator needs Linux on x86-64"),
        Finding("disk", free > 2, f"{free:.1f} GiB free", "" if free > 2 else "free 2 GiB"),
        Finding("memory", memory > 4, f"{memory:.1f} GiB", "" if memory > 4 else "4 GiB are needed"),
    ]
