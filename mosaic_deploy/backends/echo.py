"""A backend that compiles nothing: it hands the float graph back and runs it on ONNX Runtime.

No target of this project names it. It is for testing what surrounds a backend, this project's pipeline or
a program that calls it, in seconds and without a compiler. Its option ``fault`` makes it misbehave:
``wrong`` swaps the scores of two classes, ``crash`` ends the child by a signal, ``hang`` never answers,
``full`` meets a full disk.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import final

import numpy as np
import onnx

from mosaic_deploy.backends import reference
from mosaic_deploy.backends.protocol import (
    BuildJob,
    CompiledModel,
    File,
    Run,
    Step,
    Timing,
    TimingConfig,
    WorkDir,
)
from mosaic_deploy.errors import SpecError
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.specs.fields import Options
from mosaic_deploy.specs.registry import nearest
from mosaic_deploy.specs.target import TargetSpec
from mosaic_deploy.specs.toolchain import load_toolchain, toolchain_python
from mosaic_deploy.workers.call import GIB, Call, call
from mosaic_deploy.workers.progress import OnProgress

FAULTS = ("none", "wrong", "crash", "hang", "full")


@final
class EchoBackend:
    """The identity, as a backend."""

    @property
    def toolchain(self) -> str:
        """``ort``: the copy runs on ONNX Runtime."""
        return "ort"

    @property
    def flags(self) -> tuple[str, ...]:
        """None."""
        return ()

    @property
    def takes_ranges(self) -> bool:
        """Nothing is quantised."""
        return False

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

    def missing_for(self, options: Options) -> str | None:  # noqa: ARG002  # the protocol's
        """Nothing: what one target needs, all do."""
        return None

    def devices(self, options: Options) -> tuple[str, ...]:  # noqa: ARG002  # the protocol's
        """No device in particular."""
        return ()

    def convert(self, job: BuildJob, *, on_progress: OnProgress) -> CompiledModel | None:
        """Hand the graph back as its own conversion."""
        on_progress(1.0, "nothing to convert")
        facts = {**_tensors(job.onnx), "fault": "none"}
        return CompiledModel(job.onnx.parent, (File(job.onnx.name, "echo", ships=True),), (), facts)

    def build(
        self,
        job: BuildJob,
        converted: CompiledModel | None,  # noqa: ARG002  # the protocol's
        out: Path,
        *,
        on_progress: OnProgress,
    ) -> CompiledModel:
        """Copy the graph."""
        shutil.copyfile(job.onnx, out / "echo.onnx")
        on_progress(1.0, "copied")
        version = load_toolchain(self.toolchain).version("onnxruntime")
        step = Step("echo", "onnxruntime", version, 0.0, 0)
        facts = {**_tensors(job.onnx), "fault": job.target.options.get("fault", "none")}
        return CompiledModel(out, (File("echo.onnx", "echo", ships=True),), (step,), facts)

    def run(
        self,
        built: CompiledModel,
        contract: Contract,  # noqa: ARG002  # the protocol's
        inputs: tuple[Path, ...],
        *,
        space: WorkDir,
        on_progress: OnProgress,
    ) -> Run:
        """Run the copy in a child process."""
        folder = Path(tempfile.mkdtemp(prefix="echo-", dir=space.scratch))
        outputs = tuple(folder / path.name for path in inputs)
        request = {
            "onnx": str((built.folder / built.files[0].path).resolve()),
            "inputs": [str(path.resolve()) for path in inputs],
            "outputs": [str(path.resolve()) for path in outputs],
            "fault": built.facts["fault"],
        }
        outcome = call(
            Call(
                predict,
                request,
                timeout_s=600,
                memory_bytes=4 * GIB,
                log=space.logs / "echo.log",
                cwd=folder,
                interpreter=toolchain_python(self.toolchain),
            ),
            on_progress=on_progress,
        )
        version = str(outcome.result["version"])
        step = Step("run", "onnxruntime", version, outcome.seconds, outcome.peak_bytes)
        return Run(outputs, (step,), {"ran_on": "ONNX Runtime, float", "precision": "float32"})

    def time(self, built: CompiledModel, trial: TimingConfig, *, space: WorkDir) -> Timing:
        """Time ONNX Runtime on the copy."""
        return reference.time(built.folder / built.files[0].path, trial, space=space)


def _tensors(path: Path) -> dict[str, object]:
    """Name, shape and dtype of a graph's input and output."""
    facts: dict[str, object] = {}
    graph = onnx.load(path, load_external_data=False).graph
    for role, value in (("input", graph.input[0]), ("output", graph.output[0])):
        kind = value.type.tensor_type
        facts[role] = {
            "name": value.name,
            "shape": [dim.dim_value for dim in kind.shape.dim],
            "dtype": onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name,
            "scale": None,
            "zero_point": None,
        }
    return facts


def predict(request: dict[str, object], on_progress: OnProgress) -> dict[str, object]:
    """Do as ``reference.predict``, or what the ``fault`` in the request asks for (in the child)."""
    fault = request["fault"]
    if fault == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if fault == "full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    while fault == "hang":
        on_progress(0.0, "hanging")
        time.sleep(0.05)
    result = reference.predict(request, on_progress)
    outputs = request["outputs"]
    if fault == "wrong" and isinstance(outputs, list):
        for path in outputs:
            scores = np.load(path, allow_pickle=False)
            np.save(path, np.roll(scores, 1, axis=1), allow_pickle=False)
    return result


BACKEND = EchoBackend()
