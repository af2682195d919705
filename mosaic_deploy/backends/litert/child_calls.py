"""The child processes of the TFLite backend: what they may take, and how their work is asked for."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

from mosaic_deploy.backends.protocol import Step, WorkDir
from mosaic_deploy.workers.call import GIB, Call, Outcome
from mosaic_deploy.workers.worker import JsonObject

MEMORY = 8 * GIB
LIMITS_S = {
    "float16:predict": 3600,
    "convert:convert": 1800,
    "edgetpu.operators:check": 300,
    "gpu.accelerator:predict": 3600,
    "gpu.accelerator:time": 1200,
    "quantize:copy": 600,
    "quantize:halves": 600,
    "quantize:integers": 3600,
    "xnnpack:predict": 3600,
    "xnnpack:time": 1200,
}
"""Every function that runs in a child, and how long it may take."""
THREADS = 2
MODEL = "model.tflite"
"""What the file is called, in every folder."""


def work(space: WorkDir, function: str, request: JsonObject, *, cwd: Path | None = None) -> Call:
    """Ask for a function of ``LIMITS_S``; its log's name is its own."""
    word = f"litert-{function.replace(':', '-').replace('.', '-')}"
    return Call(
        f"mosaic_deploy.backends.litert.{function}",
        request,
        timeout_s=LIMITS_S[function],
        memory_bytes=MEMORY,
        log=space.logs.resolve() / f"{word}.log",
        cwd=cwd or space.scratch.resolve() / word,
        environment={"OMP_NUM_THREADS": str(THREADS), "TF_CPP_MIN_LOG_LEVEL": "2"},
        name=word,
    )


def step(name: str, tool: str, made: Outcome) -> Step:
    """What a child did, for the manifest; ``tool`` is a Python package."""
    return Step(name, tool, version(tool), made.seconds, made.peak_bytes)


def version(package: str) -> str:
    """The installed version of a Python package."""
    return importlib.metadata.version(package)


def words(value: object) -> tuple[str, ...]:
    """A list of words out of a TOML file or a manifest; a word alone is a list too."""
    if isinstance(value, str):
        return (value,)
    return tuple(str(part) for part in value) if isinstance(value, list | tuple) else ()


def record(value: object) -> dict[str, Any]:
    """The facts of an input or output."""
    if not isinstance(value, dict):
        raise TypeError(f"facts of a tensor expected, not {value!r}")
    return value
