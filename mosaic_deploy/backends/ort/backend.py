"""ONNX Runtime on a phone's CPU: quantise, optimise ahead of time for ARM, run the very file that ships.

    model.onnx -> model.qdq.onnx -> model.ort + required_operators_and_types.config

The same file runs here: the format holds kernels and not a processor's code, and files with kernels of x86
alone are refused. A quantised network keeps no convolution in float.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import final

from mosaic_deploy.backends.ort import convert, quantize, run
from mosaic_deploy.backends.plain_ranking import FloatIslands, asked
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
from mosaic_deploy.specs.recipe import IntegerFormat
from mosaic_deploy.specs.target import TargetSpec
from mosaic_deploy.specs.toolchain import load_toolchain, toolchain_python, unavailable
from mosaic_deploy.workers.call import GIB, Call, Outcome, call
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject, Work

_TOOLCHAIN = "ort"
_TOOL = "onnxruntime"
_QUANTISE_S = 3600.0
_CONVERT_S = 600.0
_SESSION_S = 120.0
_IMAGE_S = 60.0
_MEMORY = 8 * GIB
_THREADS = 2
_CONFIG = "required_operators_and_types.config"
_ENDS = 2
"""Activations that are integers at least: the image, and perhaps the scores."""


@final
class OrtBackend(FloatIslands):
    """ONNX Runtime's quantiser, converter and CPU kernels."""

    @property
    def toolchain(self) -> str:
        """``ort``."""
        return _TOOLCHAIN

    @property
    def flags(self) -> tuple[str, ...]:
        """None."""
        return ()

    @property
    def takes_ranges(self) -> bool:
        """They are of tensors that the graph still has when it is quantised."""
        return True

    def missing(self) -> str | None:
        """Say why the toolchain cannot be had here, or None."""
        return unavailable(self.toolchain)

    def check_options(self, target: TargetSpec, options: Mapping[str, str]) -> Options:
        """There are none; raises ``SpecError`` for any."""
        for key in (*target.options, *options):
            raise SpecError(f"ort has no option '{key}'; known: none")
        return {}

    def missing_for(self, options: Options) -> str | None:  # noqa: ARG002  # the protocol's
        """Nothing: what one target needs, all do."""
        return None

    def devices(self, options: Options) -> tuple[str, ...]:  # noqa: ARG002  # the protocol's
        """No device in particular."""
        return ()

    def convert(self, job: BuildJob, *, on_progress: OnProgress) -> CompiledModel | None:
        """Write the float network in ONNX Runtime's format, its ends in the contract's layout.

        Raises:
            ModelError: ONNX Runtime cannot read the graph.
            ToolError: the converter failed.
        """
        return _float(job, _folder(job.space, "ort-float-"), on_progress)

    def build(
        self, job: BuildJob, converted: CompiledModel | None, out: Path, *, on_progress: OnProgress
    ) -> CompiledModel:
        """Quantise and convert; or, for a recipe in float32, keep the float file.

        Raises:
            SpecError: the recipe is in float16.
            ModelError: the graph cannot be quantised.
            RefusedError: all that convolves or multiplies matrices would stay in float.
            ToolError: the quantiser or the converter failed.
        """
        out = out.resolve()
        if isinstance(job.recipe.weights, IntegerFormat):
            return _quantized(job, out, on_progress)
        if job.recipe.weights == "float16":
            raise SpecError(
                f"recipe {job.recipe.name}: ONNX Runtime convolves in float16 on ARM alone, which cannot be "
                "validated here; use w8a8 or fp32"
            )
        made = converted or _float(job, _folder(job.space, "ort-float-"), on_progress)
        for file in made.files:
            shutil.copyfile(made.folder / file.path, out / file.path)
        on_progress(1.0, "copied")
        return CompiledModel(out, made.files, made.steps, made.facts)

    def run(
        self,
        built: CompiledModel,
        contract: Contract,
        inputs: tuple[Path, ...],
        *,
        space: WorkDir,
        on_progress: OnProgress,
    ) -> Run:
        """Run the file that ships, on two threads of this machine's CPU.

        Raises:
            RefusedError: it holds kernels that a phone does not have.
            ToolError: it does not load, crashes or takes too long.
        """
        del contract  # the file and its facts say it all
        folder = _folder(space, "ort-run-")
        outputs = tuple(folder / path.name for path in inputs)
        request = {
            "ort": str(_ort(built)),
            "inputs": [str(path.resolve()) for path in inputs],
            "outputs": [str(path) for path in outputs],
            "input": built.facts["input"],
            "output": built.facts["output"],
            "threads": _THREADS,
        }
        job = _call(run.predict, request, space, _SESSION_S + _IMAGE_S * len(inputs), "ort-run")
        outcome = call(job, on_progress=on_progress)
        result = outcome.result
        precision = str(built.facts["precision"])
        if result["saturates"] and precision != "float32":
            precision += ", sums of products cut at 16 bits by this CPU, which has no VNNI; a phone's are not"
        facts: dict[str, object] = {
            "ran_on": f"ONNX Runtime {result['version']}, CPU, {_THREADS} threads",
            "precision": precision,
            "nodes": result["nodes"],
            "outside": [] if precision == "float32" else result["outside"],
        }
        if precision != "float32":
            facts |= {key: result[key] for key in ("fallback", "time_shares")}
        return Run(outputs, (_step("run", outcome),), facts)

    def time(self, built: CompiledModel, trial: TimingConfig, *, space: WorkDir) -> Timing:
        """Time the file that ships on this machine's CPU, integers in to integers out."""
        request = {
            "ort": str(_ort(built)),
            "image": str(trial.input.resolve()),
            "input": built.facts["input"],
            "warm_up": trial.warm_up,
            "runs": trial.runs,
            "threads": trial.threads,
        }
        limit = _SESSION_S + _IMAGE_S * (trial.warm_up + trial.runs)
        outcome = call(_call(run.time_here, request, space, limit, "ort-time"))
        facts: dict[str, object] = {
            "ran_on": f"ONNX Runtime {outcome.result['version']}, CPU",
            "threads": trial.threads,
            "precision": built.facts["precision"],
        }
        return Timing(tuple(outcome.result["seconds"]), outcome.peak_bytes, facts)


def _float(job: BuildJob, out: Path, on_progress: OnProgress) -> CompiledModel:
    """Convert the float graph into a folder."""
    request = {**_ends(job), "onnx": str(job.onnx.resolve()), **_places(out)}
    converting = _call(convert.convert_float, request, job.space, _CONVERT_S, "ort-convert")
    outcome = call(converting, on_progress=on_progress)
    result = outcome.result
    on_progress(1.0, "converted")
    facts = {
        "input": result["input"],
        "output": result["output"],
        "precision": "float32",
        "nodes": result["nodes"],
        "outside": [],
        "npu": result["npu"],
    }
    return CompiledModel(out, _files(), (_step("convert", outcome),), facts)


def _quantized(job: BuildJob, out: Path, on_progress: OnProgress) -> CompiledModel:
    qdq = out / "model.qdq.onnx"
    request = asked(job, qdq)
    quantizing = _call(quantize.quantize, request, job.space, _QUANTISE_S, "ort-quantise")
    first = call(quantizing, on_progress=lambda share, text: on_progress(0.9 * share, text))
    # Where all but the ends is lifted, nothing is left to compute in integers: as was asked for.
    lifted = job.mixed is not None and bool(job.mixed.lifted)
    whole = lifted and first.result["precisions"]["activations"] <= _ENDS
    request = {"onnx": str(qdq), **_places(out), "integers": not whole}
    second = call(_call(convert.to_ort, request, job.space, _CONVERT_S, "ort-convert"))
    on_progress(1.0, "converted")
    facts = {
        "input": first.result["input"],
        "output": first.result["output"],
        "precision": _precision(job),
        "nodes": second.result["nodes"],
        "outside": second.result["outside"],
        "npu": second.result["npu"],
        "weight_grids": first.result["weight_grids"],
        "ranges": first.result["ranges"],
        "precisions": first.result["precisions"],
    }
    steps = (_step("quantise", first), _step("convert", second))
    return CompiledModel(out, (File(qdq.name, "qdq-onnx"), *_files()), steps, facts)


def _ends(job: BuildJob) -> JsonObject:
    # JSON has no tuples and the like: what the description holds is written there as it is.
    return {"layout": job.layout, "wanted": job.contract.layout, "description": dict(job.description)}


def _places(out: Path) -> JsonObject:
    return {"out": str(out / "model.ort"), "config": str(out / _CONFIG)}


def _files() -> tuple[File, ...]:
    return File("model.ort", "ort", ships=True), File(_CONFIG, "ort-config")


def _ort(built: CompiledModel) -> Path:
    return next(built.folder.resolve() / file.path for file in built.files if file.kind == "ort")


def _step(name: str, outcome: Outcome) -> Step:
    return Step(name, _TOOL, load_toolchain(_TOOLCHAIN).version(_TOOL), outcome.seconds, outcome.peak_bytes)


def _folder(space: WorkDir, prefix: str) -> Path:
    space.scratch.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=prefix, dir=space.scratch.resolve()))


def _call(function: Work, request: JsonObject, space: WorkDir, timeout_s: float, name: str) -> Call:
    log, cwd = space.logs.resolve() / f"{name}.log", _folder(space, f"{name}-")
    interpreter = toolchain_python(_TOOLCHAIN)
    return Call(
        function,
        request,
        timeout_s,
        _MEMORY,
        log,
        cwd,
        name=name,
        interpreter=interpreter,
    )


def _precision(job: BuildJob) -> str:
    weights, activations = job.recipe.weights, job.recipe.activations
    if not isinstance(weights, IntegerFormat) or not isinstance(activations, IntegerFormat):
        return "float32"
    signs = ["int" if grid.signed else "uint" for grid in (weights, activations)]
    return f"{signs[0]}{weights.bits} weights, {signs[1]}{activations.bits} activations"


BACKEND = OrtBackend()
