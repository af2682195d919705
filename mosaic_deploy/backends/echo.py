"""A backend that compiles nothing: it hands the float graph back and runs it on ONNX Runtime.

No target of this project names it. It is for testing what surrounds a backend, this project's pipeline or
a program that calls it, in seconds and without a compiler. Its option ``fault`` makes it misbehave:
``wrong`` swaps the scores of two classes, ``crash`` ends the child by a signal, ``hang`` never answers,
``full`` meets a full disk.
"""

from __future__ import annotations

import errno
import importlib.metadata
import os
import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import final

import numpy as np

from mosaic_deploy import reference
from mosaic_deploy.backends import BuildJob, Built, File, Run, Step
from mosaic_deploy.errors import SpecError
from mosaic_deploy.specs import Options, TargetSpec, nearest
from mosaic_deploy.tools import GIB, Call, call
from mosaic_deploy.worker import Tick

FAULTS = ("none", "wrong", "crash", "hang", "full")


@final
class EchoBackend:
    """The identity, as a backend."""

    def missing(self) -> str | None:
        """Nothing ever is."""
        return None

    def check_options(self, target: TargetSpec, options: Mapping[str, str]) -> Options:
        """Take ``fault``; raises ``SpecError`` for anything else."""
        merged = {**target.options, **options}
        for key in merged:
            if key != "fault":
                raise SpecError(f"echo has no option '{key}'{nearest(key, ['fault'])}")
        if merged.get("fault", "none") not in FAULTS:
            raise SpecError(f"no fault '{merged['fault']}'; known: {', '.join(FAULTS)}")
        return merged

    def devices(self, options: Options) -> tuple[str, ...]:  # noqa: ARG002  # the protocol's
        """No device in particular."""
        return ()

    def build(self, job: BuildJob, out: Path, *, tick: Tick) -> Built:
        """Copy the graph."""
        shutil.copyfile(job.onnx, out / "echo.onnx")
        tick(1.0, "copied")
        version = importlib.metadata.version("onnxruntime")
        step = Step("echo", "onnxruntime", version, 0.0, 0)
        return Built(out, (File("echo.onnx", "echo"),), (step,), {"backend": "echo"})

    def run(self, built: Built, job: BuildJob, inputs: tuple[Path, ...], *, tick: Tick) -> Run:
        """Run the copy in a child process."""
        folder = job.scratch / "echo"
        folder.mkdir()
        outputs = tuple(folder / path.name for path in inputs)
        request = {
            "onnx": str((built.folder / "echo.onnx").resolve()),
            "inputs": [str(path.resolve()) for path in inputs],
            "outputs": [str(path.resolve()) for path in outputs],
            "fault": job.target.options.get("fault", "none"),
        }
        outcome = call(
            Call(
                "mosaic_deploy.backends.echo:predict",
                request,
                timeout_s=600,
                memory_bytes=4 * GIB,
                log=job.logs / "echo.log",
                cwd=job.scratch,
            ),
            tick=tick,
        )
        version = str(outcome.result["version"])
        step = Step("run", "onnxruntime", version, outcome.seconds, outcome.peak_bytes)
        return Run(outputs, (step,), {"ran_on": "ONNX Runtime, float"})


def predict(request: dict[str, object], tick: Tick) -> dict[str, object]:
    """Do as ``reference.predict``, or what the ``fault`` in the request asks for (in the child)."""
    fault = request["fault"]
    if fault == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if fault == "full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    while fault == "hang":
        tick(0.0, "hanging")
        time.sleep(0.05)
    result = reference.predict(request, tick)
    outputs = request["outputs"]
    if fault == "wrong" and isinstance(outputs, list):
        for path in outputs:
            scores = np.load(path, allow_pickle=False)
            np.save(path, np.roll(scores, 1, axis=1), allow_pickle=False)
    return result


BACKEND = EchoBackend()
