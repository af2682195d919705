"""The child processes of the TFLite backend: what they may take, and how their work is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mosaic_deploy.backends.protocol import Step, WorkDir
from mosaic_deploy.specs.toolchain import load_toolchain, toolchain_python
from mosaic_deploy.workers.call import GIB, Call, Outcome
from mosaic_deploy.workers.worker import JsonObject, Work

MEMORY = 16 * GIB
CONVERT_S, QUANTIZE_S, WRITE_S, CHECK_S = 1800.0, 3600.0, 600.0, 300.0
PREDICT_S, TIME_S = 3600.0, 1200.0
THREADS = 2
TOOLCHAIN = "litert"
MODEL = "model.tflite"
"""What the file is called, in every folder."""


def work(
    space: WorkDir, function: Work, request: JsonObject, *, timeout_s: float, cwd: Path | None = None
) -> Call:
    """Ask for a function of this room in a child; its log is named after the function's module and name."""
    room = __name__.rpartition(".")[0]
    module = function.__module__.removeprefix(f"{room}.").replace(".", "-")
    word = f"litert-{module}-{function.__name__}".replace("_", "-")
    return Call(
        function,
        request,
        timeout_s=timeout_s,
        memory_bytes=MEMORY,
        log=space.logs.resolve() / f"{word}.log",
        cwd=cwd or space.scratch.resolve() / word,
        environment={"OMP_NUM_THREADS": str(THREADS), "TF_CPP_MIN_LOG_LEVEL": "2"},
        name=word,
        interpreter=toolchain_python(TOOLCHAIN),
    )


def step(name: str, tool: str, made: Outcome) -> Step:
    """What a child did, for the manifest; ``tool`` is a Python package."""
    return Step(name, tool, version(tool), made.seconds, made.peak_bytes)


def version(package: str) -> str:
    """The pinned version of a package of the toolchain; raises ``KeyError`` for another."""
    return load_toolchain(TOOLCHAIN).version(package)


def record(value: object) -> dict[str, Any]:
    """The facts of an input or output."""
    if not isinstance(value, dict):
        raise TypeError(f"facts of a tensor expected, not {value!r}")
    return value
