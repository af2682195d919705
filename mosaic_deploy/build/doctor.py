"""What a machine has of toolchains and data, and the line that gets what it lacks."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.console import RenderableType
from rich.table import Table

from mosaic_deploy.backends.reference import TOOLCHAIN as REFERENCE_TOOLCHAIN
from mosaic_deploy.backends.registry import load_backend
from mosaic_deploy.datasets import camvid
from mosaic_deploy.errors import MosaicError, SpecError
from mosaic_deploy.specs.registry import load_spec, nearest, spec_names
from mosaic_deploy.specs.root import spec_root
from mosaic_deploy.specs.target import TargetSpec
from mosaic_deploy.specs.toolchain import (
    is_here,
    load_toolchain,
    made_python,
    toolchain_folder,
    toolchain_names,
    toolchain_python,
)
from mosaic_deploy.workers.environments import remove_others, size_of
from mosaic_deploy.workers.progress import StageProgress

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
    """Whether ``build`` works without it, for another target say."""


def examine(targets: Sequence[str] = ()) -> tuple[Finding, ...]:
    """Look at toolchains, targets, data, memory and disk; nothing is installed or loaded for that.

    Args:
        targets: what must work, with its toolchains; by default any one target, and the others are optional.

    Raises:
        SpecError: there is no such target.
    """
    found = _targets(targets or spec_names(TargetSpec))
    if not targets and any(finding.ok for finding in found):
        found = [replace(finding, optional=True) for finding in found]
    chains = [chain for name in targets for chain in _chains_of(load_spec(TargetSpec, name))]
    return (*_toolchains(tuple(dict.fromkeys(chains)) or toolchain_names()), *found, *_data(), *_machine())


def healthy(findings: Sequence[Finding]) -> bool:
    """Whether everything that must be there is there."""
    return all(f.ok or f.optional for f in findings)


def install(names: Sequence[str], *, progress: StageProgress) -> tuple[str, ...]:
    """Make toolchains ahead of their first use; return a line on each.

    Args:
        names: of toolchains or of targets, which stand for all that their builds need; ``all`` for every
            toolchain that some command needs.
        progress: hears of each.

    Raises:
        SpecError: a name is neither.
        ToolError: one cannot be made.
    """
    said = []
    for name in dict.fromkeys(chain for word in names for chain in _chains(word)):

        def tell(fraction: float, note: str, chain: str = name) -> None:
            progress(f"install {chain}", fraction, note)

        python = toolchain_python(name, on_progress=tell)
        tell(1.0, "")
        said.append(f"toolchain {name}: {'in this environment' if python is None else python.parents[1]}")
    return tuple(said)


def clean() -> tuple[str, ...]:
    """Remove the environments that no toolchain of this version needs; return a line on each."""
    kept = {load_toolchain(name).environment().folder_name for name in toolchain_names()}
    return tuple(f"removed {folder}: {size / 1e6:.0f} MB" for folder, size in remove_others(kept))


def _chains(word: str) -> tuple[str, ...]:
    chains, targets = toolchain_names(), spec_names(TargetSpec)
    if word == "all":
        return tuple(name for name in chains if not load_toolchain(name).only_by_name)
    if word in chains:
        return (word,)
    if word not in targets:
        known = (*chains, *targets)
        raise SpecError(
            f"no toolchain or target '{word}'{nearest(word, known)}; known: {', '.join(known)}, all"
        )
    return _chains_of(load_spec(TargetSpec, word))


def _chains_of(target: TargetSpec) -> tuple[str, ...]:
    """The toolchains that a target's builds need."""
    return (load_backend(target.backend).toolchain, REFERENCE_TOOLCHAIN)


def to_json(findings: Sequence[Finding]) -> dict[str, object]:
    """The object that ``doctor --json`` prints."""
    return {"schema": 1, "passed": healthy(findings), "findings": [asdict(f) for f in findings]}


def table(findings: Sequence[Finding]) -> RenderableType:
    """One row per finding."""
    view = Table()
    for heading in ("", "what", "found", "how to get it"):
        view.add_column(heading, overflow="fold")
    for f in findings:
        mark = "[green]ok[/]" if f.ok else "[yellow]optional[/]" if f.optional else "[red]missing[/]"
        view.add_row(mark, f.name, f.found, f.remedy)
    return view


def _toolchains(names: Sequence[str]) -> list[Finding]:
    findings = []
    for name in names:
        chain = load_toolchain(name)
        made = made_python(name)
        if is_here(name):
            found = "in this environment"
        elif made is not None:
            found = f"installed, {size_of(toolchain_folder(name)) / 1e6:.0f} MB"
        else:
            found = f"installed on first use: {chain.environment().sizes}"
        ready = is_here(name) or made is not None
        remedy = "" if ready else f"mosaic-deploy doctor --install {name}"
        findings.append(Finding(f"toolchain {name}: {chain.summary}", ready, found, remedy, optional=True))
    return findings


def _targets(names: Sequence[str]) -> list[Finding]:
    findings = []
    for name in names:
        target = load_spec(TargetSpec, name)
        try:
            backend = load_backend(target.backend)
            options = backend.check_options(target, {})
            missing = backend.missing() or backend.missing_for(options)
        except MosaicError as err:
            missing = str(err)
        found = "ready" if missing is None else "not usable"
        findings.append(Finding(f"target {target.name}", missing is None, found, missing or ""))
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
        Finding(
            "system",
            right,
            system,
            "" if right else "toolchains are for Linux on x86-64; 'check' works anywhere",
            optional=True,
        ),
        Finding("disk", free > 2, f"{free:.1f} GiB free", "" if free > 2 else "free 2 GiB"),
        Finding("memory", memory > 4, f"{memory:.1f} GiB", "" if memory > 4 else "4 GiB are needed"),
    ]
