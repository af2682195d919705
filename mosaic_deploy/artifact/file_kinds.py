"""The kinds of files that can be run, and what runs each.

    .onnx  float, QDQ or QOperator on ONNX Runtime; a compiled context on the Hexagon simulator
    .bin   a context binary, .dlc what Qualcomm's tools convert to: on the Hexagon simulator
    .ort   on ONNX Runtime    .tflite  on LiteRT    .xml  on OpenVINO

They are looked at in a child process, by a module of their backend with ``look`` and ``as_built``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mosaic_deploy.backends import plain_onnx
from mosaic_deploy.backends.protocol import CompiledModel, Run, WorkDir
from mosaic_deploy.backends.registry import load_backend
from mosaic_deploy.errors import ModelError, ToolError
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.specs.toolchain import toolchain_python
from mosaic_deploy.workers.call import GIB, Call, call
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject, Work

_LOOK_S = 120.0
_REFUSED = {
    ".so": "a model library is a program, which would have to be trusted: name the .dlc or .onnx that it was "
    "made of",
    ".pb": "a TensorFlow graph: name the .tflite or .onnx that was made of it",
    ".pte": "an ExecuTorch program: nothing here runs it",
    ".mlmodel": "a Core ML model: nothing here runs it",
}


class Runner(Protocol):
    """What runs a file: a backend, or ONNX Runtime as it is."""

    @property
    def toolchain(self) -> str:
        """Name of the toolchain of its child processes."""

    def missing(self) -> str | None:
        """Say what cannot be had on this machine, or None."""

    def run(
        self,
        built: CompiledModel,
        contract: Contract,
        inputs: tuple[Path, ...],
        *,
        space: WorkDir,
        on_progress: OnProgress,
    ) -> Run:
        """Run it on ``.npy`` inputs as the contract prepares them."""


@dataclass(frozen=True, slots=True)
class FileRead:
    """What a file says, and how it is run."""

    found: JsonObject
    """``input`` and ``output`` as a manifest has them, ``description``, and what its kind adds."""
    make: Callable[[Path, JsonObject, Path], CompiledModel]
    """The file, what is known of it and an empty folder -> as the runner takes it."""
    runner: Runner


@dataclass(frozen=True, slots=True)
class _Kind:
    backend: str
    module: str
    """What reads such files."""
    timeout_s: float = _LOOK_S
    memory_bytes: int = 4 * GIB


_HEXAGON = _Kind("qnn", "mosaic_deploy.backends.qnn.foreign", 1800.0, 8 * GIB)  # a DLC is compiled
_KINDS: Mapping[str, _Kind] = {
    ".ort": _Kind("ort", "mosaic_deploy.backends.ort.foreign"),
    ".tflite": _Kind("tflite", "mosaic_deploy.backends.litert.foreign"),
    ".xml": _Kind("openvino", "mosaic_deploy.backends.openvino.foreign"),
    ".bin": _HEXAGON,
    ".dlc": _HEXAGON,
}


def read_file(path: Path, space: WorkDir, on_progress: OnProgress) -> FileRead:
    """Look at a file without running it.

    Raises:
        ModelError: it is of no kind that can be run, or damaged.
        ToolError: what runs it is missing.
    """
    suffix = path.suffix.lower()
    if not path.is_file():
        raise ModelError(f"{path}: no such file or folder")
    if suffix in _REFUSED:
        raise ModelError(f"{path}: {_REFUSED[suffix]}")
    if suffix == ".onnx":
        found = plain_onnx.look(path)
        if found["context"]:
            return _look(path, _HEXAGON, space, on_progress)
        runner = plain_onnx.OnnxRuntime()
        _require(path, runner)
        return FileRead(found, plain_onnx.as_built, runner)
    if suffix not in _KINDS:
        known = ", ".join((".onnx", *_KINDS))
        raise ModelError(f"{path}: not a kind of file that is known: {known} or a folder")
    return _look(path, _KINDS[suffix], space, on_progress)


def _look(path: Path, kind: _Kind, space: WorkDir, on_progress: OnProgress) -> FileRead:
    runner: Runner = load_backend(kind.backend)
    _require(path, runner)
    reading: Any = importlib.import_module(kind.module)
    work: Work = reading.look
    job = Call(
        work,
        {"path": str(path.resolve())},
        timeout_s=kind.timeout_s,
        memory_bytes=kind.memory_bytes,
        log=space.logs / "look.log",
        cwd=space.scratch / "look",
        interpreter=toolchain_python(runner.toolchain),
    )
    try:
        found = call(job, on_progress=on_progress).result
    except ToolError as err:  # native readers crash on damaged files
        raise ModelError(f"{path}: its runtime cannot read it: {err}") from err
    except ModelError as err:
        raise ModelError(str(err).replace(path.name, str(path), 1)) from err
    return FileRead(found, reading.as_built, runner)


def _require(path: Path, runner: Runner) -> None:
    missing = runner.missing()
    if missing is not None:
        raise ToolError(f"{path}: {missing}")
