"""Qualcomm Hexagon (HTP) through QNN: quantise, compile ahead of time, run on Qualcomm's simulator.

    model.onnx -> model.qdq.onnx -> v68/model_ctx.onnx + .bin, v75/..., model.dlc

What runs is the compiled binary of each architecture, loaded as a phone loads it; nothing is compiled
again and nothing is left to the CPU. Architectures that the simulator computes alike to the last bit on
two images share one simulation of the rest; the others are simulated in full.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from mosaic_deploy.backends.protocol import (
    BuildJob,
    CompiledModel,
    File,
    RankingTerms,
    Run,
    Step,
    Timing,
    TimingConfig,
    WorkDir,
)
from mosaic_deploy.backends.qnn.child_calls import (
    MEMORY,
    TOOLCHAIN,
    compiling,
    quantizing,
    ranking,
    writing_dlc,
)
from mosaic_deploy.backends.qnn.traffic import cost_rows, take_traffic
from mosaic_deploy.errors import SpecError
from mosaic_deploy.specs.fields import Options
from mosaic_deploy.specs.recipe import IntegerFormat, Method
from mosaic_deploy.specs.registry import nearest
from mosaic_deploy.specs.target import TargetSpec
from mosaic_deploy.specs.toolchain import load_toolchain, toolchain_python, unavailable
from mosaic_deploy.workers.call import GIB, Call, call, call_all, free_bytes
from mosaic_deploy.workers.progress import OnProgress

if TYPE_CHECKING:  # a check asks for devices alone
    from mosaic_deploy.quantize.mixed import Finer
    from mosaic_deploy.specs.contract import Contract

_TOOL = "onnxruntime-qnn"
_PROFILE_S = 900
_PROFILE_RUNS = 3
_PROCESS_BYTES = 3 * GIB // 2
"""What a process of the compiler or the simulator is expected to take, with a margin."""
_ARCHS = "archs"
_KNOWN = "known_archs"


@dataclass(frozen=True, slots=True)
class _Host:
    """How much may happen at once here."""

    cores: int
    processes: int


@final
class QnnBackend:
    """Compiler and simulator of ``onnxruntime-qnn``."""

    @property
    def toolchain(self) -> str:
        """``qnn``."""
        return TOOLCHAIN

    @property
    def flags(self) -> tuple[str, ...]:
        """``arch``."""
        return ("arch",)

    @property
    def takes_ranges(self) -> bool:
        """They are of tensors that the graph still has when it is quantised."""
        return True

    def missing(self) -> str | None:
        """Say why the toolchain cannot be had here, or None."""
        return unavailable(self.toolchain)

    def check_options(self, target: TargetSpec, options: Mapping[str, str]) -> Options:
        """Take ``arch``, such as ``"68,73"`` or ``"v75"``, in place of the target's ``archs``.

        Raises ``SpecError`` for another option and for an architecture that is not among ``known_archs``:
        the compiler itself would take it silently and compile for a default.
        """
        for key in target.options:
            if key not in (_ARCHS, _KNOWN):
                raise SpecError(
                    f"target {target.name}: unknown option '{key}'{nearest(key, [_ARCHS, _KNOWN])}"
                )
        for key in options:
            if key != "arch":
                raise SpecError(f"qnn has no option '{key}'{nearest(key, ['arch'])}; known: arch")
        known = _numbers(target.options.get(_KNOWN, ()))
        asked = options["arch"].split(",") if "arch" in options else _numbers(target.options.get(_ARCHS, ()))
        chosen = tuple(sorted({_arch(str(name), known) for name in asked}))
        if not chosen:
            raise SpecError(f"target {target.name}: its option '{_ARCHS}' names no architecture")
        return {**target.options, _ARCHS: chosen}

    def missing_for(self, options: Options) -> str | None:  # noqa: ARG002  # the protocol's
        """Nothing: what one target needs, all do."""
        return None

    def devices(self, options: Options) -> tuple[str, ...]:
        """The architectures, as the op table names them: ``v68``."""
        return tuple(f"v{arch}" for arch in _numbers(options[_ARCHS]))

    def convert(self, job: BuildJob, *, on_progress: OnProgress) -> CompiledModel | None:  # noqa: ARG002  # the protocol's
        """Nothing: the compiler takes ONNX, and what it is given is quantised already."""
        return None

    def build(
        self,
        job: BuildJob,
        converted: CompiledModel | None,  # noqa: ARG002  # the protocol's
        out: Path,
        *,
        on_progress: OnProgress,
    ) -> CompiledModel:
        """Quantise, then compile for each architecture and write the DLC.

        Raises:
            SpecError: the recipe keeps floats.
            ModelError: the graph cannot be quantised.
            RefusedError: the compiler does not take an operator.
            ToolError: the compiler failed.
        """
        precision = _precision(job)
        out, host = out.resolve(), _host()
        qdq = out / "model.qdq.onnx"
        quantized = call(
            quantizing(job, qdq, threads=host.cores), on_progress=lambda s, text: on_progress(0.6 * s, text)
        )
        archs = _numbers(job.target.options[_ARCHS])
        jobs = [*(compiling(job, qdq, out, arch) for arch in archs), writing_dlc(job, qdq, out)]
        made = call_all(
            jobs, parallel=host.processes, on_progress=lambda s, _: on_progress(0.6 + 0.4 * s, "compiling")
        )
        sdk = str(made[0].result["sdk"])
        version = f"{load_toolchain(TOOLCHAIN).version(_TOOL)} (QNN {sdk})"
        ort = str(quantized.result["version"])
        steps = [Step("quantise", "onnxruntime", ort, quantized.seconds, quantized.peak_bytes)]
        steps += [
            Step(j.name, _TOOL, version, m.seconds, m.peak_bytes) for j, m in zip(jobs, made, strict=True)
        ]
        traffic = {f"v{arch}": take_traffic(j.log) for arch, j in zip(archs, jobs, strict=False)}
        files = [File(qdq.name, "qdq-onnx")]
        for arch, outcome in zip(archs, made, strict=False):
            files.append(File(f"v{arch}/{outcome.result['onnx']}", "context-onnx"))
            files.append(File(f"v{arch}/{outcome.result['binary']}", "context-binary", ships=True))
        files.append(File("model.dlc", "dlc"))
        facts = {
            "input": quantized.result["input"],
            "output": quantized.result["output"],
            "archs": list(archs),
            "qnn": sdk,
            "precision": precision,
            "weight_grids": quantized.result["weight_grids"],
            "ranges": quantized.result["ranges"],
            "precisions": quantized.result["precisions"],
            "cost": cost_rows(traffic),
        }
        return CompiledModel(out, tuple(files), tuple(steps), facts)

    def lifts_to(self, target: TargetSpec) -> Finer | None:  # noqa: ARG002  # the protocol's
        """``16 bits``."""
        return "16 bits"

    @property
    def methods(self) -> tuple[Method, ...]:
        """All that do not choose among others."""
        return ("percentile", "entropy", "mse", "minmax")

    @property
    def corrects_biases(self) -> bool:
        """It does not."""
        return False

    def trial(self, job: BuildJob) -> BuildJob:
        """For the oldest and the newest architecture: those between compute as one of them does."""
        archs = _numbers(job.target.options[_ARCHS])
        options = {**job.target.options, _ARCHS: tuple(sorted({min(archs), max(archs)}))}
        return replace(job, target=job.target.model_copy(update={"options": options}))

    def rank(self, job: BuildJob, terms: RankingTerms, *, on_progress: OnProgress) -> Mapping[str, object]:
        """Switch the quantisers that would be compiled, one by one, in ONNX Runtime."""
        _precision(job)
        return call(ranking(job, terms, threads=_host().cores), on_progress=on_progress).result

    def run(
        self,
        built: CompiledModel,
        contract: Contract,
        inputs: tuple[Path, ...],
        *,
        space: WorkDir,
        on_progress: OnProgress,
    ) -> Run:
        """Simulate the compiled binaries; the outputs are those of the newest architecture.

        ``Run.others`` holds those of every architecture that computes otherwise.

        Raises ``ToolError`` where a binary does not load, crashes or takes too long.
        """
        from mosaic_deploy.backends.qnn.simulator_fleet import Fleet, simulate_all

        contexts = _contexts(built)
        archs = tuple(contexts)
        fleet = Fleet(
            contexts=contexts,
            source=_record(built.facts["input"]),
            result=_record(built.facts["output"]),
            contract=contract,
            scratch=space.scratch.resolve() / "simulator",
            logs=space.logs.resolve(),
            parallel=_host().processes,
        )
        version = f"{load_toolchain(TOOLCHAIN).version(_TOOL)} (QNN {built.facts['qnn']})"
        flight = simulate_all(fleet, inputs, on_progress=on_progress)
        steps = tuple(Step(f"simulate v{a}", _TOOL, version, s, b) for a, (s, b) in flight.costs.items())
        facts: dict[str, object] = {
            "ran_on": f"Hexagon simulator, v{max(archs)} context binary",
            "simulation": flight.facts,
        }
        alike = {name: record["alike"] for name, record in flight.facts.items() if "alike" in record}
        return Run(flight.outputs, steps, facts, f"v{max(archs)}", flight.others, alike)

    def time(self, built: CompiledModel, trial: TimingConfig, *, space: WorkDir) -> Timing:
        """Count what each node of the newest architecture's binary costs the simulator: no latency.

        Raises ``ToolError`` where the binary does not load, crashes or takes too long.
        """
        from mosaic_deploy.backends.qnn.profile import profile

        arch, context = next(iter(_contexts(built).items()))
        request = {
            "context": str(context),
            "image": str(trial.input.resolve()),
            "input": built.facts["input"],
            "runs": _PROFILE_RUNS,
        }
        log = space.logs.resolve() / "qnn-profile.log"
        folder = Path(tempfile.mkdtemp(prefix="qnn-profile-", dir=space.scratch.resolve()))
        environment = {"OMP_NUM_THREADS": "1"}
        outcome = call(
            Call(
                profile,
                request,
                _PROFILE_S,
                MEMORY,
                log,
                folder,
                environment,
                "profile",
                toolchain_python(TOOLCHAIN),
            )
        )
        counts = outcome.result["counts"]
        total = max(sum(count for _, count in counts), 1)
        facts: dict[str, object] = {
            "ran_on": f"Hexagon simulator, v{arch} context binary",
            "cycles": total,
            "note": "cost per node on the simulator, not a device's latency",
        }
        spots = tuple((str(name), count / total) for name, count in counts)
        return Timing((), outcome.peak_bytes, facts, spots)


def _precision(job: BuildJob) -> str:
    weights, activations = job.recipe.weights, job.recipe.activations
    if not isinstance(weights, IntegerFormat) or not isinstance(activations, IntegerFormat):
        raise SpecError(
            f"recipe {job.recipe.name} keeps floats: the Hexagon compiler needs integers; use w8a8 or w8a16"
        )
    return f"{weights.bits}-bit weights, {activations.bits}-bit activations, all operators on HTP"


def _contexts(built: CompiledModel) -> dict[int, Path]:
    """Architecture -> its compiled context, the newest first."""
    found = {
        int(Path(file.path).parent.name.removeprefix("v")): built.folder.resolve() / file.path
        for file in built.files
        if file.kind == "context-onnx"
    }
    archs = sorted(_numbers(built.facts["archs"]), reverse=True)
    return {arch: found[arch] for arch in archs}


def _arch(name: str, known: tuple[int, ...]) -> int:
    number = name.strip().lower().removeprefix("v")
    words = [str(arch) for arch in known]
    if number not in words:
        raise SpecError(
            f"the Hexagon compiler does not know the architecture '{name.strip()}'{nearest(number, words)}; "
            f"known: {', '.join(words)}"
        )
    return int(number)


def _numbers(value: object) -> tuple[int, ...]:
    if isinstance(value, int) or (isinstance(value, str) and value.isdigit()):
        return (int(value),)
    if isinstance(value, list | tuple) and all(isinstance(part, int) for part in value):
        return tuple(value)
    raise SpecError(f"a list of Hexagon architectures, such as [68, 75], is expected, not {value!r}")


def _record(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"quantisation parameters expected, not {value!r}")
    return value


def _host() -> _Host:
    cores = len(os.sched_getaffinity(0))
    return _Host(cores, max(1, min(cores, free_bytes() // _PROCESS_BYTES)))


BACKEND = QnnBackend()
