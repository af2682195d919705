"""Intel's OpenVINO: one pair of files, ``.xml`` and ``.bin``, for its CPU, GPU and NPU plugins.

    model.onnx -> model.xml + .bin in float32 -> NNCF: the same in int8, or with float16 weights

What runs is what ships, on the CPU plugin, and on every GPU and NPU that OpenVINO finds here. The precision
is read back node by node (``precision``), for the plugin chooses it by itself.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final

from mosaic_deploy.backends.openvino import ir, quantize, run
from mosaic_deploy.backends.openvino.recipes import require_possible
from mosaic_deploy.backends.plain_ranking import FloatIslands
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
from mosaic_deploy.errors import DataError, SpecError, ToolError
from mosaic_deploy.quantize.boundary import raw_pixels
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.specs.fields import Options
from mosaic_deploy.specs.recipe import IntegerFormat, Method, QuantRecipe
from mosaic_deploy.specs.registry import nearest
from mosaic_deploy.specs.target import TargetSpec
from mosaic_deploy.specs.toolchain import load_toolchain, toolchain_python, unavailable
from mosaic_deploy.workers.call import GIB, Call, Outcome, call
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject, Work

_TOOLCHAIN = "openvino"
_TOOL = "openvino"
_CONVERT_S = 600
_QUANTISE_S = 3600
_RUN_S = 3600
_TIME_S = 600
_MEMORY = 8 * GIB
_QUANTISE_MEMORY = 16 * GIB
"""NNCF holds all activations of an image at once: a ResNet-101 at 1024x2048 takes more than 8 GiB."""
_DEVICES = "devices"
_HINT: str | None = "f32"
"""What floats are computed in on the CPU; its plugin's own choice may be bfloat16."""
_ACCELERATORS = ("GPU", "NPU")
_PARTS = tuple(
    File(path, f"openvino-{path.rpartition('.')[2]}", ships=True, part_of="model")
    for path in ("model.xml", "model.bin")
)


@final
class OpenVinoBackend(FloatIslands):
    """OpenVINO's converter and runtime, and NNCF."""

    @property
    def toolchain(self) -> str:
        """``openvino``."""
        return _TOOLCHAIN

    @property
    def flags(self) -> tuple[str, ...]:
        """None."""
        return ()

    @property
    def takes_ranges(self) -> bool:
        """NNCF finds its own."""
        return False

    def missing(self) -> str | None:
        """Say why the toolchain cannot be had here, or None."""
        return unavailable(self.toolchain)

    def check_options(self, target: TargetSpec, options: Mapping[str, str]) -> Options:
        """Take the target's ``devices``, OpenVINO's names of those that a build must run on.

        The first gives the outputs and the times. Raises ``SpecError`` for another option.
        """
        for key in (*target.options, *options):
            if key != _DEVICES or key in options:
                raise SpecError(f"target {target.name}: unknown option '{key}'{nearest(key, [_DEVICES])}")
        return {_DEVICES: _names(target.options.get(_DEVICES, ("CPU",)))}

    def missing_for(self, options: Options) -> str | None:  # noqa: ARG002  # the protocol's
        """Nothing: what one target needs, all do."""
        return None

    def devices(self, options: Options) -> tuple[str, ...]:  # noqa: ARG002  # the protocol's
        """No device in particular: the files are the same for all."""
        return ()

    def convert(self, job: BuildJob, *, on_progress: OnProgress) -> CompiledModel | None:
        """Convert to a float32 ``.xml`` and ``.bin``, its weights as in the ONNX.

        Raises:
            ModelError: OpenVINO cannot read the file.
            RefusedError: it has no such operator.
        """
        return _convert(job, on_progress)

    def build(
        self, job: BuildJob, converted: CompiledModel | None, out: Path, *, on_progress: OnProgress
    ) -> CompiledModel:
        """Quantise to int8, store float16 weights, or only describe the float network.

        Raises:
            SpecError: the recipe is none that OpenVINO has.
            DataError: there is no calibration image, or one that is not finite.
            ModelError, RefusedError: the network cannot be converted or quantised.
        """
        require_possible(job.recipe)
        source = converted or _convert(job, _within(on_progress, 0.0, 0.2))
        request: JsonObject = {
            "source": str((source.folder / _PARTS[0].path).resolve()),
            "xml": str(out.resolve() / _PARTS[0].path),
            "description": dict(job.description),
        }
        facts: dict[str, object] = {_DEVICES: list(_names(job.target.options.get(_DEVICES, ("CPU",))))}
        if isinstance(job.recipe.weights, IntegerFormat):
            made = _quantize(job, request, on_progress)
            step = _step("quantise", "nncf", made)
            facts |= {key: made.result[key] for key in ("pixel_grid", "left_in_float")}
            facts["arithmetic"] = "int8"
        else:
            request["half"] = job.recipe.weights == "float16"
            made = call(_call(job.space, ir.compress, request, _CONVERT_S), on_progress=on_progress)
            step = _step("write", _TOOL, made)
            facts |= {"arithmetic": "float32"}
        facts |= {**_ports(made), "weights": _weights(job.recipe), "accelerators": True}
        steps = (step,) if converted else (*source.steps, step)
        return CompiledModel(out, _PARTS, steps, facts)

    @property
    def methods(self) -> tuple[Method, ...]:
        """NNCF knows these two of ours."""
        return ("percentile", "minmax")

    @property
    def corrects_biases(self) -> bool:
        """NNCF does."""
        return True

    def run(
        self,
        built: CompiledModel,
        contract: Contract,  # noqa: ARG002  # the protocol's
        inputs: tuple[Path, ...],
        *,
        space: WorkDir,
        on_progress: OnProgress,
    ) -> Run:
        """Run on the devices that the target names, and on every other GPU and NPU here.

        Raises:
            ToolError: a device that the target names is missing or fails.
            RefusedError: the CPU computes in another precision than the recipe asks for.
        """
        named = _names(built.facts[_DEVICES])
        job, outputs = _predicting(built, named[0], inputs, space)
        first = call(job, on_progress=on_progress)
        ran: dict[str, Outcome] = {named[0]: first}
        others: dict[str, tuple[Path, ...]] = {}
        told: dict[str, str] = {}
        for device in (*named[1:], *_accelerators(built, first.result["devices"])):
            job, placed = _predicting(built, device, inputs, space)
            try:
                ran[device] = call(job, on_progress=lambda _, text: on_progress(1.0, text))
                others[device], told[device] = placed, _words(ran[device])
            except ToolError as err:
                if device in named:
                    raise
                told[device] = str(err)
        steps = tuple(_step(f"run {device}", _TOOL, made) for device, made in ran.items())
        facts = {"ran_on": _words(first), **first.result["facts"]} | ({"others": told} if told else {})
        return Run(outputs, steps, facts, named[0], others)

    def time(self, built: CompiledModel, trial: TimingConfig, *, space: WorkDir) -> Timing:
        """Time synchronous requests on the first device."""
        device = _names(built.facts[_DEVICES])[0]
        request = {
            "xml": str((built.folder / _PARTS[0].path).resolve()),
            "device": device,
            "hint": _hint(device),
            "input": str(trial.input.resolve()),
            "warm_up": trial.warm_up,
            "runs": trial.runs,
            "threads": trial.threads,
        }
        outcome = call(_call(space, run.time_here, request, _TIME_S))
        facts: dict[str, object] = {
            "ran_on": f"OpenVINO {outcome.result['version']}, {device}",
            "threads": trial.threads,
            "precision": built.facts["arithmetic"],
        }
        return Timing(tuple(outcome.result["seconds"]), outcome.peak_bytes, facts)


def _convert(job: BuildJob, on_progress: OnProgress) -> CompiledModel:
    folder = Path(tempfile.mkdtemp(prefix="openvino-float-", dir=job.space.scratch)).resolve()
    request = {
        "onnx": str(job.onnx.resolve()),
        "xml": str(folder / _PARTS[0].path),
        "layout": job.layout,
        "wanted": job.contract.layout,
    }
    made = call(_call(job.space, ir.convert, request, _CONVERT_S), on_progress=on_progress)
    facts = {**_ports(made), "arithmetic": "float32", _DEVICES: ["CPU"], "accelerators": False}
    return CompiledModel(folder, _PARTS, (_step("convert", _TOOL, made),), facts)


def _quantize(job: BuildJob, request: JsonObject, on_progress: OnProgress) -> Outcome:
    if not job.calibration:
        raise DataError(f"recipe {job.recipe.name}: int8 needs calibration images, and there are none")
    asked = {
        **request,
        "calibration": [str(path.resolve()) for path in job.calibration],
        "recipe": job.recipe.model_dump(mode="json", by_alias=True),
        "pixels": raw_pixels(job.contract),
        "floats": list(job.mixed.lifted) if job.mixed is not None else [],
    }
    return call(
        _call(job.space, quantize.quantize, asked, _QUANTISE_S, _QUANTISE_MEMORY), on_progress=on_progress
    )


def _accelerators(built: CompiledModel, found: Sequence[str]) -> tuple[str, ...]:
    """The GPUs and NPUs of this machine beyond the devices that the target names."""
    named = _names(built.facts[_DEVICES])
    if not built.facts["accelerators"]:
        return ()
    return tuple(device for device in found if device not in named and device.startswith(_ACCELERATORS))


def _predicting(
    built: CompiledModel, device: str, inputs: Sequence[Path], space: WorkDir
) -> tuple[Call, tuple[Path, ...]]:
    """The call that runs the network on one device, and where it puts its outputs."""
    folder = Path(tempfile.mkdtemp(prefix="openvino-out-", dir=space.scratch)).resolve()
    outputs = tuple(folder / path.name for path in inputs)
    request = {
        "xml": str((built.folder / _PARTS[0].path).resolve()),
        "device": device,
        "hint": _hint(device),
        "arithmetic": None if device.startswith(_ACCELERATORS) else built.facts["arithmetic"],
        "inputs": [str(path.resolve()) for path in inputs],
        "outputs": [str(path) for path in outputs],
    }
    return _call(space, run.predict, request, _RUN_S), outputs


def _within(on_progress: OnProgress, start: float, size: float) -> OnProgress:
    """Progress of a part of the work that begins at the share ``start``."""
    return lambda share, text: on_progress(start + size * share, text)


def _hint(device: str) -> str | None:
    """The precision for floats; accelerators keep their own, mostly float16, which is what an app gets."""
    return None if device.startswith(_ACCELERATORS) else _HINT


def _call(
    space: WorkDir, function: Work, request: JsonObject, timeout_s: float, memory_bytes: int = _MEMORY
) -> Call:
    name = f"openvino {function.__name__.removesuffix('_here')}"
    word = name.replace(" ", "-")
    cwd = Path(tempfile.mkdtemp(prefix=f"{word}-", dir=space.scratch)).resolve()
    log = space.logs.resolve() / f"{word}.log"
    interpreter = toolchain_python(_TOOLCHAIN)
    return Call(function, request, timeout_s, memory_bytes, log, cwd, name=name, interpreter=interpreter)


def _weights(recipe: QuantRecipe) -> str:
    return recipe.weights if isinstance(recipe.weights, str) else f"int{recipe.weights.bits}"


def _ports(made: Outcome) -> dict[str, Any]:
    return {"input": made.result["input"], "output": made.result["output"]}


def _step(name: str, tool: str, made: Outcome) -> Step:
    version = str(made.result["version"]) if tool != _TOOL else _version()
    return Step(name, tool, version, made.seconds, made.peak_bytes)


def _words(made: Outcome) -> str:
    return f"OpenVINO {_version()}, {made.result['device']}"


def _version() -> str:
    return load_toolchain(_TOOLCHAIN).version(_TOOL)


def _names(value: object) -> tuple[str, ...]:
    names = (value,) if isinstance(value, str) else value
    if (
        isinstance(names, list | tuple)
        and names
        and all(isinstance(n, str) and n[:1].isupper() for n in names)
    ):
        return tuple(names)
    raise SpecError(f'a list of OpenVINO\'s devices, such as ["CPU"], is expected, not {value!r}')


BACKEND = OpenVinoBackend()
