"""The float reference: ONNX Runtime's CPU kernels in float32, in a child process."""

from __future__ import annotations

import time as clock
from pathlib import Path

import numpy as np

from mosaic_deploy.backends.protocol import Timing, TimingConfig, WorkDir
from mosaic_deploy.graph.execute import Session
from mosaic_deploy.specs.toolchain import toolchain_python
from mosaic_deploy.workers.call import GIB, Call, call
from mosaic_deploy.workers.progress import OnProgress

TOOLCHAIN = "ort"
"""Where the float reference runs."""
_THREADS = 2
_TIME_TIMEOUT_S = 600
_MEMORY = 4 * GIB


def predict(request: dict[str, object], on_progress: OnProgress) -> dict[str, object]:
    """Run ``request["onnx"]`` on each of ``request["inputs"]`` (.npy) into ``request["outputs"]`` (.npy).

    Returns:
        ``version`` of ONNX Runtime.

    Raises:
        ModelError: ONNX Runtime cannot load or run the graph.
    """
    inputs, outputs = request["inputs"], request["outputs"]
    if not isinstance(inputs, list) or not isinstance(outputs, list):
        raise TypeError("inputs and outputs are lists of paths")
    session = Session(Path(str(request["onnx"])), threads=_THREADS, optimize=True)
    name = session.inputs[0].name
    for index, (source, place) in enumerate(zip(inputs, outputs, strict=True)):
        result = session.run({name: np.load(source, allow_pickle=False)})[0]
        np.save(place, result, allow_pickle=False)
        on_progress((index + 1) / len(inputs), "")
    return {"version": session.version}


def time(onnx: Path, trial: TimingConfig, *, space: WorkDir) -> Timing:
    """Time ONNX Runtime's float kernels on an ONNX file, in a child process."""
    request = {
        "onnx": str(onnx.resolve()),
        "input": str(trial.input.resolve()),
        "warm_up": trial.warm_up,
        "runs": trial.runs,
        "threads": trial.threads,
    }
    outcome = call(
        Call(
            time_here,
            request,
            timeout_s=_TIME_TIMEOUT_S,
            memory_bytes=_MEMORY,
            log=space.logs / "reference-time.log",
            cwd=space.scratch / "reference-time",
            interpreter=toolchain_python(TOOLCHAIN),
        )
    )
    facts: dict[str, object] = {
        "ran_on": f"ONNX Runtime {outcome.result['version']}, CPU",
        "threads": trial.threads,
        "precision": "float32",
    }
    return Timing(tuple(outcome.result["seconds"]), outcome.peak_bytes, facts)


def time_here(request: dict[str, object], _on_progress: OnProgress) -> dict[str, object]:
    """Do as ``time`` says, in the child; returns ``seconds`` of each run and ``version``."""
    session = Session(Path(str(request["onnx"])), threads=int(str(request["threads"])), optimize=True)
    feed = {session.inputs[0].name: np.load(str(request["input"]), allow_pickle=False)}
    seconds = []
    for _ in range(int(str(request["warm_up"])) + int(str(request["runs"]))):
        begun = clock.perf_counter()
        session.run(feed)
        seconds.append(clock.perf_counter() - begun)
    return {"seconds": seconds[int(str(request["warm_up"])) :], "version": session.version}
