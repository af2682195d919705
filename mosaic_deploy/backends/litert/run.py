"""Running and timing a TFLite file: on XNNPACK, or on LiteRT's GPU accelerator with XNNPACK beside it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mosaic_deploy.backends.litert import float16, plain_kernels, xnnpack
from mosaic_deploy.backends.litert.child_calls import (
    MODEL,
    PREDICT_S,
    THREADS,
    TIME_S,
    step,
    version,
    work,
)
from mosaic_deploy.backends.litert.gpu import accelerator
from mosaic_deploy.backends.protocol import CompiledModel, Run, Timing, TimingConfig, WorkDir
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.workers.call import Call, Outcome, call
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject

_FLOAT = "model.onnx"
"""The float ONNX that an artifact holds beside what is built from it."""


def on_xnnpack(
    built: CompiledModel,
    inputs: tuple[Path, ...],
    *,
    profiled: bool,
    space: WorkDir,
    on_progress: OnProgress,
) -> Run:
    """Run the file on LiteRT's interpreter with XNNPACK.

    Where it is ``profiled``, which costs as much again, ``fallback`` says what it leaves to other kernels.
    """
    folder = Path(tempfile.mkdtemp(prefix="xnnpack-", dir=space.scratch)).resolve()
    request, outputs = _request(built, inputs, folder)
    request["profiled"] = profiled
    made = call(
        work(space, xnnpack.predict, request, timeout_s=PREDICT_S, cwd=folder), on_progress=on_progress
    )
    facts = {
        "ran_on": _cpu(),
        **{key: made.result[key] for key in ("precision", "nodes", "outside", "floats")},
        **({"fallback": made.result["fallback"]} if profiled else {}),
    }
    return Run(outputs, (step("run", "ai-edge-litert", made),), facts, "xnnpack")


def on_gpu(
    built: CompiledModel,
    contract: Contract,
    inputs: tuple[Path, ...],
    *,
    space: WorkDir,
    on_progress: OnProgress,
) -> Run:
    """Run the file on the GPU accelerator and on XNNPACK, and the float network in emulated float16.

    The accelerator is asked for the recipe's arithmetic: for float16, as it is a phone's default. What a
    driver makes of that differs, in how sums are kept above all; the emulation rounds at every node. Where
    the driver cannot do it, the accelerator computes in float32, and ``substitute`` says so.

    Raises ``RefusedError`` where the accelerator does not take all of it.
    """
    plain = on_xnnpack(
        built,
        inputs,
        profiled=False,
        space=space,
        on_progress=lambda s, text: on_progress(0.1 * s, text),
    )
    folder = Path(tempfile.mkdtemp(prefix="gpu-", dir=space.scratch)).resolve()
    request, outputs = _request(built, inputs, folder)
    request["precision"] = _gpu_precision(built)
    job = _with_driver(work(space, accelerator.predict, request, timeout_s=PREDICT_S, cwd=folder), folder)
    made = call(job, on_progress=lambda s, text: on_progress(0.1 + 0.7 * s, text))
    rounded = folder / "float16"
    emulated = tuple(rounded / path.name for path in outputs)
    request = {
        "onnx": str((built.folder / _FLOAT).resolve()),
        "layout": contract.layout,
        "inputs": request["inputs"],
        "outputs": [str(path) for path in emulated],
    }
    job = work(space, float16.predict, request, timeout_s=PREDICT_S, cwd=rounded)
    sixteen = call(job, on_progress=lambda s, text: on_progress(0.8 + 0.2 * s, text))
    steps = (
        step("run gpu", "ai-edge-litert", made),
        *(replace(s, name="run xnnpack") for s in plain.steps),
        step("emulate float16", "onnxruntime", sixteen),
    )
    facts = {key: made.result[key] for key in ("precision", "nodes", "outside", "software", "substitute")}
    others = {"xnnpack": plain.outputs, "float16": emulated}
    return Run(outputs, steps, {"ran_on": _gpu(made), **facts}, "gpu", others)


def without_delegate(
    built: CompiledModel, images: tuple[Path, ...], *, floats: CompiledModel | None, space: WorkDir
) -> CompiledModel:
    """Run the file once on LiteRT's own kernels, on the first image or noise; what came out as a fact of it.

    ``floats`` is the network in float that a file of integers was made of.

    Raises ``RefusedError`` where they do not load it, or make something else of it than XNNPACK does.
    """
    folder = Path(tempfile.mkdtemp(prefix="plain-", dir=space.scratch)).resolve()
    request: JsonObject = {
        **_stated(built),
        "image": str(images[0].resolve()) if images else None,
        "threads": THREADS,
        "floats": _stated(floats) if floats else None,
    }
    made = call(work(space, plain_kernels.compare, request, timeout_s=PREDICT_S, cwd=folder))
    facts = {**built.facts, "without_delegate": made.result}
    return replace(
        built, steps=(*built.steps, step("run without a delegate", "ai-edge-litert", made)), facts=facts
    )


def _stated(built: CompiledModel) -> JsonObject:
    return {
        "model": str((built.folder / MODEL).resolve()),
        "input": built.facts["input"],
        "output": built.facts["output"],
    }


def time(built: CompiledModel, trial: TimingConfig, *, space: WorkDir) -> Timing:
    """Time the file on what its target names, in one child process."""
    folder = Path(tempfile.mkdtemp(prefix="time-", dir=space.scratch)).resolve()
    request: JsonObject = {
        "model": str((built.folder / MODEL).resolve()),
        "input_file": str(trial.input.resolve()),
        "input": built.facts["input"],
        "warm_up": trial.warm_up,
        "runs": trial.runs,
        "threads": trial.threads,
    }
    if built.facts["accelerator"] == "gpu":
        request["precision"] = _gpu_precision(built)
        made = call(
            _with_driver(work(space, accelerator.time, request, timeout_s=TIME_S, cwd=folder), folder)
        )
        facts = {
            "ran_on": _gpu(made),
            "software": made.result["software"],
            "substitute": made.result["substitute"],
        }
    else:
        made = call(work(space, xnnpack.time, request, timeout_s=TIME_S, cwd=folder))
        facts = {"ran_on": _cpu(), "outside": made.result["outside"]}
    facts |= {"threads": trial.threads, "precision": made.result["precision"]}
    return Timing(tuple(made.result["seconds"]), made.peak_bytes, facts)


def _gpu_precision(built: CompiledModel) -> str:
    """What the accelerator, which has no integers, is asked to compute in."""
    return "float16" if built.facts["arithmetic"] == "float16" else "float32"


def _with_driver(job: Call, folder: Path) -> Call:
    return replace(job, environment={**job.environment, **accelerator.environment(folder)})


def _request(
    built: CompiledModel, inputs: Sequence[Path], folder: Path
) -> tuple[JsonObject, tuple[Path, ...]]:
    outputs = tuple(folder / path.name for path in inputs)
    request: JsonObject = {
        "model": str((built.folder / MODEL).resolve()),
        "inputs": [str(path.resolve()) for path in inputs],
        "outputs": [str(path) for path in outputs],
        "input": built.facts["input"],
        "output": built.facts["output"],
        "threads": THREADS,
    }
    return request, outputs


def _cpu() -> str:
    return f"LiteRT {version('ai-edge-litert')} with XNNPACK, CPU"


def _gpu(made: Outcome) -> str:
    kind = "a software GPU" if made.result["software"] else "a GPU"
    ran_on = f"LiteRT {version('ai-edge-litert')} GPU accelerator on {made.result['device']}, {kind}"
    return f"{ran_on}; {made.result['substitute']}" if made.result["substitute"] else ran_on
