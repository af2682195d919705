"""The child processes that build for the Hexagon: what they are asked, and what they may take."""

from __future__ import annotations

from pathlib import Path

from mosaic_deploy.backends.protocol import BuildJob, RankingTerms
from mosaic_deploy.specs.toolchain import toolchain_python
from mosaic_deploy.workers.call import GIB, Call
from mosaic_deploy.workers.worker import JsonObject, Work

TOOLCHAIN = "qnn"
MEMORY = 8 * GIB
_QUANTISE_S = 3600
_COMPILE_S = 1800


def quantizing(job: BuildJob, qdq: Path, *, threads: int) -> Call:
    """Calibrate and write the graph with quantise and dequantise pairs to ``qdq``."""
    from mosaic_deploy.backends.qnn.quantize import quantize

    return _call(job, quantize, _asked(job, qdq, threads), timeout_s=_QUANTISE_S, name="quantise")


def ranking(job: BuildJob, terms: RankingTerms, *, threads: int) -> Call:
    """Rank the activations, or try what else the terms name, on images that do not calibrate."""
    from mosaic_deploy.backends.qnn.quantize import biases, methods, rank

    request = {**_asked(job, Path("unused"), threads), **terms.to_json()}
    function, name = (methods, "ranges") if terms.methods else (rank, "rank")
    function, name = (biases, "biases") if terms.elsewhere else (function, name)
    return _call(job, function, request, timeout_s=_QUANTISE_S, name=name)


def _asked(job: BuildJob, qdq: Path, threads: int) -> JsonObject:
    from mosaic_deploy.quantize.boundary import raw_pixels

    return {
        "onnx": str(job.onnx.resolve()),
        "out": str(qdq),
        "calibration": [str(path.resolve()) for path in job.calibration],
        "recipe": job.recipe.model_dump(mode="json", by_alias=True),
        "ranges": {name: list(ends) for name, ends in job.ranges.items()},
        "pixels": raw_pixels(job.contract),
        "threshold": job.contract.threshold,
        "threads": threads,
        "description": dict(job.description),
        "mixed": None if job.mixed is None else job.mixed.to_json(),
        "kept_ranges": None if job.kept_ranges is None else str(job.kept_ranges.resolve()),
    }


def compiling(job: BuildJob, qdq: Path, out: Path, arch: int) -> Call:
    """Compile for one architecture into ``out / vARCH``; the log has the traffic, see ``traffic``."""
    from mosaic_deploy.backends.qnn.compile import compile_context

    request = {"qdq": str(qdq), "arch": arch, "out": str(out / f"v{arch}"), "talk": True}
    return _call(job, compile_context, request, timeout_s=_COMPILE_S, name=f"compile v{arch}")


def writing_dlc(job: BuildJob, qdq: Path, out: Path) -> Call:
    """Write Qualcomm's own container of the graph, ``out / model.dlc``."""
    from mosaic_deploy.backends.qnn.compile import write_dlc

    request = {"qdq": str(qdq), "out": str(out / "model.dlc")}
    return _call(job, write_dlc, request, timeout_s=_COMPILE_S, name="dlc")


def _call(job: BuildJob, function: Work, request: JsonObject, *, timeout_s: float, name: str) -> Call:
    word = f"qnn-{name.replace(' ', '-')}"
    log, cwd = job.space.logs.resolve() / f"{word}.log", job.space.scratch.resolve() / word
    return Call(
        function,
        request,
        timeout_s,
        MEMORY,
        log,
        cwd,
        {"OMP_NUM_THREADS": "1"},
        name,
        toolchain_python(TOOLCHAIN),
    )
