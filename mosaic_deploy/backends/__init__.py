"""Backends: one runtime per file, found by the name that a target states.

A backend builds an artifact out of a float ONNX and runs it. Both happen in child processes (``tools``).
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from mosaic_deploy.contract import Contract
from mosaic_deploy.errors import SpecError
from mosaic_deploy.specs import Options, QuantRecipe, TargetSpec, nearest
from mosaic_deploy.worker import Tick

BACKENDS = {
    "echo": "mosaic_deploy.backends.echo",
    "qnn": "mosaic_deploy.backends.qnn",
}
"""Backend name -> the module whose ``BACKEND`` it is."""


@dataclass(frozen=True, slots=True)
class BuildJob:
    """What a backend is asked to build."""

    onnx: Path
    """The checked float graph: static shapes, one input, one output."""
    contract: Contract
    target: TargetSpec
    recipe: QuantRecipe
    calibration: tuple[Path, ...]
    """One ``.npy`` per calibration image: the network's input as ``Contract.prepare`` makes it."""
    scratch: Path
    """A folder for whatever must not ship; the caller removes it."""
    logs: Path
    """A folder for the tools' logs, kept in the artifact."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a tool did."""

    name: str
    tool: str
    version: str
    seconds: float
    peak_bytes: int
    """Peak resident memory of the child process that did it."""


@dataclass(frozen=True, slots=True)
class File:
    """One file of an artifact: its path inside the artifact's folder, and what it is."""

    path: str
    kind: str


@dataclass(frozen=True, slots=True)
class Built:
    """What a backend made."""

    folder: Path
    files: tuple[File, ...]
    steps: tuple[Step, ...]
    facts: dict[str, object]
    """For the manifest: quantisation parameters of input and output, dtypes, precision really used."""


@dataclass(frozen=True, slots=True)
class Run:
    """The outputs of a built artifact on some inputs."""

    outputs: tuple[Path, ...]
    """One ``.npy`` per input, dequantised to float32 where scores are quantised."""
    steps: tuple[Step, ...]
    facts: dict[str, object]
    name: str = "main"
    """What the compiled variant is called that gave ``outputs``."""
    others: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    """The outputs of further compiled variants, by their names, where they differ from ``outputs``."""


class Backend(Protocol):
    """A runtime and its compiler."""

    def missing(self) -> str | None:
        """Say what is missing on this machine and the line that installs it, or None."""

    def check_options(self, target: TargetSpec, options: Mapping[str, str]) -> Options:
        """Merge the command line's ``options`` into the target's; raises ``SpecError`` for a wrong one."""

    def devices(self, options: Options) -> tuple[str, ...]:
        """The devices of the target's op table that these options compile for; none means all of them."""

    def build(self, job: BuildJob, out: Path, *, tick: Tick) -> Built:
        """Quantise and compile into the existing empty folder ``out``; raises ``ToolError``."""

    def run(self, built: Built, job: BuildJob, inputs: tuple[Path, ...], *, tick: Tick) -> Run:
        """Run the compiled network on ``.npy`` inputs, without falling back to any other runtime."""


def load(name: str) -> Backend:
    """The backend of that name; raises ``SpecError`` for an unknown one."""
    if name not in BACKENDS:
        raise SpecError(f"no backend '{name}'{nearest(name, BACKENDS)}; known: {', '.join(BACKENDS)}")
    backend: Backend = importlib.import_module(BACKENDS[name]).BACKEND
    return backend
