"""TFLite through LiteRT: CPUs (XNNPACK), GPUs, and Coral's Edge TPU, as the target's options say.

    model.onnx -> float .tflite (onnx2tf) -> as it is, with float16 weights, or int8 (ai-edge-quantizer)

The target's options:

    accelerator     what runs it: "xnnpack" or "gpu"
    floats_stay     an int8 file may keep in float what XNNPACK takes in float alone, or has no integers
    convolve_pools  write integer averages as convolutions, which XNNPACK takes
    compiler_table  a table in targets/compilers that every operator is held against
    compiler        a program that compiles the file further, run where it is on PATH
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import final

from mosaic_deploy.backends.litert import quantize, run
from mosaic_deploy.backends.litert.child_calls import (
    CONVERT_S,
    MODEL,
    QUANTIZE_S,
    THREADS,
    WRITE_S,
    record,
    step,
    work,
)
from mosaic_deploy.backends.litert.convert import convert
from mosaic_deploy.backends.litert.edgetpu import compile as compiler
from mosaic_deploy.backends.litert.gpu import accelerator as gpu
from mosaic_deploy.backends.plain_ranking import FloatIslands
from mosaic_deploy.backends.protocol import (
    BuildJob,
    CompiledModel,
    File,
    Run,
    Timing,
    TimingConfig,
    WorkDir,
)
from mosaic_deploy.errors import SpecError
from mosaic_deploy.quantize.mixed import Finer
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.specs.fields import Options
from mosaic_deploy.specs.metadata import METADATA_KEY
from mosaic_deploy.specs.recipe import IntegerFormat
from mosaic_deploy.specs.registry import nearest
from mosaic_deploy.specs.target import TargetSpec
from mosaic_deploy.specs.toolchain import unavailable
from mosaic_deploy.workers.call import Call, call
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject

_TOOLCHAIN = "litert"
_OPTIONS = ("accelerator", "floats_stay", "convolve_pools", "compiler_table", "compiler")
_ACCELERATORS = ("xnnpack", "gpu")
_CONVERTING = 0.3
"""Share of a build's time that converting takes, where the build has to."""


@final
class TfliteBackend(FloatIslands):
    """onnx2tf, ai-edge-quantizer and LiteRT."""

    @property
    def toolchain(self) -> str:
        """``litert``."""
        return _TOOLCHAIN

    @property
    def flags(self) -> tuple[str, ...]:
        """None."""
        return ()

    @property
    def takes_ranges(self) -> bool:
        """A converted file has tensors of its own."""
        return False

    def missing(self) -> str | None:
        """Say why the toolchain cannot be had here, or None."""
        return unavailable(self.toolchain)

    def check_options(self, target: TargetSpec, options: Mapping[str, str]) -> Options:
        """Take the target's options, to which the command line adds none.

        Raises ``SpecError`` for one that is unknown or wrong.
        """
        for key in (*target.options, *options):
            if key not in _OPTIONS or key in options:
                raise SpecError(f"target {target.name}: unknown option '{key}'{nearest(key, _OPTIONS)}")
        accelerator = str(target.options.get("accelerator", "xnnpack"))
        if accelerator not in _ACCELERATORS:
            raise SpecError(
                f"target {target.name}: no accelerator '{accelerator}'{nearest(accelerator, _ACCELERATORS)}; "
                f"known: {', '.join(_ACCELERATORS)}"
            )
        if "compiler_table" in target.options:
            compiler.table_path(target)
        return dict(target.options)

    def missing_for(self, options: Options) -> str | None:
        """Say what the GPU accelerator lacks here, where the options ask for it; else None."""
        return gpu.missing() if options.get("accelerator") == "gpu" else None

    def devices(self, options: Options) -> tuple[str, ...]:  # noqa: ARG002  # the protocol's
        """No device in particular: one file is for all."""
        return ()

    def convert(self, job: BuildJob, *, on_progress: OnProgress) -> CompiledModel:
        """Make the float32 ``.tflite``, with the contract's NHWC input, and compare it with ONNX Runtime.

        Raises:
            SpecError: the target asks for another layout, or the recipe is none that TFLite has.
            ModelError: onnx2tf does not take the graph, or makes another network of it.
        """
        _check_recipe(job)
        folder = Path(tempfile.mkdtemp(prefix="tflite-float-", dir=job.space.scratch)).resolve()
        request: JsonObject = {
            "onnx": str(job.onnx.resolve()),
            "out": str(folder / MODEL),
            "shape": list(job.contract.shape),
            "layout": job.layout,
            "fold": isinstance(job.recipe.activations, IntegerFormat),
            "image": str(job.calibration[0].resolve()) if job.calibration else None,
        }
        made = call(work(job.space, convert, request, timeout_s=CONVERT_S), on_progress=on_progress)
        facts: dict[str, object] = {
            "input": {**made.result["input"], "pixels": made.result["pixels"]},
            "output": made.result["output"],
            "difference": made.result["difference"],
            "accelerator": "xnnpack",
        }
        files = (File(MODEL, "tflite", ships=True),)
        return CompiledModel(folder, files, (step("onnx2tf", "onnx2tf", made),), facts)

    def build(
        self, job: BuildJob, converted: CompiledModel | None, out: Path, *, on_progress: OnProgress
    ) -> CompiledModel:
        """Write the float file, with float16 weights, or quantise it; then check and compile it further.

        Raises:
            SpecError: the recipe is none that TFLite has.
            ModelError: the network cannot be converted or quantised.
            RefusedError: something stays in float and must not, LiteRT's own kernels do not run the file,
                or the compiler does not map an operator.
            ToolError: a tool failed.
        """
        options, begun = job.target.options, 0.0 if converted else _CONVERTING
        source = converted or self.convert(job, on_progress=lambda s, text: on_progress(begun * s, text))
        made = call(
            _writing(job, source, out.resolve()),
            on_progress=lambda s, text: on_progress(begun + (0.9 - begun) * s, text),
        )
        integers = isinstance(job.recipe.activations, IntegerFormat)
        tool = "ai-edge-quantizer" if integers else "ai-edge-litert"
        written = step("quantise" if integers else "write", tool, made)
        facts = {
            "input": {**made.result["input"], "pixels": record(source.facts["input"])["pixels"]},
            "output": made.result["output"],
            "accelerator": str(options.get("accelerator", "xnnpack")),
            "arithmetic": "int8" if integers else job.recipe.activations,
        }
        if "weight_grids" in made.result:
            facts |= {key: made.result[key] for key in ("weight_grids", "left_in_float")}
        steps = (written,) if converted else (*source.steps, written)
        built = CompiledModel(out.resolve(), (File(MODEL, "tflite", ships=True),), steps, facts)
        if facts["accelerator"] == "xnnpack":
            floats = source if integers else None
            built = run.without_delegate(built, job.calibration, floats=floats, space=job.space)
        if "compiler_table" not in options:
            return built
        return compiler.compile_further(
            job, built, on_progress=lambda s, text: on_progress(0.9 + 0.1 * s, text)
        )

    def lifts_to(self, target: TargetSpec) -> Finer | None:
        """``float``, where floats may stay in an int8 file at all."""
        return "float" if target.options.get("floats_stay") else None

    def run(
        self,
        built: CompiledModel,
        contract: Contract,
        inputs: tuple[Path, ...],
        *,
        space: WorkDir,
        on_progress: OnProgress,
    ) -> Run:
        """Run the file; on the GPU also on XNNPACK, and the float network in emulated float16.

        Raises:
            RefusedError: the accelerator does not take all of it.
            ToolError: the runtime crashed, or took too long or too much memory.
        """
        if built.facts["accelerator"] == "gpu":
            return run.on_gpu(built, contract, inputs, space=space, on_progress=on_progress)
        converted = "difference" in built.facts  # it is compared and does not ship: what it costs nobody asks
        return run.on_xnnpack(built, inputs, profiled=not converted, space=space, on_progress=on_progress)

    def time(self, built: CompiledModel, trial: TimingConfig, *, space: WorkDir) -> Timing:
        """Time the file on the target's accelerator, in one child process."""
        return run.time(built, trial, space=space)


def _check_recipe(job: BuildJob) -> None:
    """Raise ``SpecError`` for what TFLite's tools would do otherwise than the recipe says."""
    recipe = job.recipe
    weights, activations = recipe.weights, recipe.activations
    if job.contract.layout != "NHWC":
        raise SpecError(
            f'target {job.target.name}: TFLite\'s input is NHWC: its TOML must say layout = "NHWC"'
        )
    if not isinstance(weights, IntegerFormat) or not isinstance(activations, IntegerFormat):
        if weights != activations:
            raise SpecError(f"recipe {recipe.name}: weights and activations must have the same float type")
    elif (weights.bits, activations.bits) != (8, 8):
        raise SpecError(f"recipe {recipe.name}: only 8-bit TFLite is supported: use w8a8 or int8")
    elif not weights.symmetric or activations.symmetric:
        raise SpecError(
            f"recipe {recipe.name}: TFLite needs symmetric weights and asymmetric activations, as in w8a8"
        )
    elif not job.calibration:
        raise SpecError(f"recipe {recipe.name}: needs calibration images, and there are none")


def _writing(job: BuildJob, source: CompiledModel, out: Path) -> Call:
    taken = record(source.facts["input"])["pixels"]
    request: JsonObject = {
        "model": str((source.folder / MODEL).resolve()),
        "out": str(out / MODEL),
        "description": dict(job.description),
        "key": METADATA_KEY,
        "accelerator": str(job.target.options.get("accelerator", "xnnpack")),
    }
    if not isinstance(job.recipe.activations, IntegerFormat):
        function = quantize.halves if job.recipe.weights == "float16" else quantize.copy
        return work(job.space, function, request, timeout_s=WRITE_S)
    request |= {
        "calibration": [str(path.resolve()) for path in job.calibration],
        "recipe": job.recipe.model_dump(mode="json", by_alias=True),
        "pixels": _pixels(job.contract) if taken is None else taken,
        "bytes": taken is not None,
        "convolve_pools": bool(job.target.options.get("convolve_pools", False)),
        "floats_stay": bool(job.target.options.get("floats_stay", False)),
        "lifted": [list(span) for span in job.mixed.spans] if job.mixed is not None else [],
        "threads": THREADS,
    }
    return work(job.space, quantize.integers, request, timeout_s=QUANTIZE_S)


def _pixels(contract: Contract) -> list[float] | None:
    """Mean and scale where one pair serves all colours, so that raw pixels can be the quantised input."""
    if len({*contract.mean}) > 1 or len({*contract.scale}) > 1:
        return None
    return [contract.mean[0], contract.scale[0]]


BACKEND = TfliteBackend()
