"""The child's side of a fleet: tries a batch of cases, one after the other, and writes down each as it goes.

Two lines of JSON per case go to the batch's file: ``{"begun": index}`` before anything is done with it, then
``{"done": index, "outcomes": [...]}``. So whoever finds this process dead knows which case it died of.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.backends.oracle.registry import Compiler
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject


def serve(request: JsonObject, on_progress: OnProgress) -> JsonObject:
    """Try the cases of a batch; a ``worker.Work``.

    Args:
        request: ``compiler``, a module's full name; ``folder``, which holds ``STEM.onnx`` and ``STEM.npz`` of
            each case; ``answers``, the file to append to; ``devices``; ``seconds``, if not the
            compiler's own limit; and ``cases``, each with ``stem``, ``name`` and ``precision``.
        on_progress: hears of every case, with its name.

    Returns:
        How many were tried, as ``cases``.
    """
    compiler: Compiler = _module(str(request["compiler"]))
    compiler.begin()
    cases: list[JsonObject] = request["cases"]
    descriptor = os.open(request["answers"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for index, case in enumerate(cases):
        _say(descriptor, {"begun": index})
        outcomes = _attempt(compiler, case, request)
        _say(descriptor, {"done": index, "outcomes": outcomes})
        on_progress((index + 1) / len(cases), str(case["name"]))
    os.close(descriptor)
    return {"cases": len(cases)}


def _module(name: str) -> Any:
    return importlib.import_module(name)


def _attempt(compiler: Compiler, case: JsonObject, request: JsonObject) -> list[JsonObject]:
    """Try one case in a scratch folder of its own. Too long a case ends the whole process."""
    folder = Path(request["folder"])
    model = (folder / f"{case['stem']}.onnx").read_bytes()
    feeds = _feeds(folder / f"{case['stem']}.npz")
    scratch = Path.cwd() / f"scratch-{case['stem']}"
    scratch.mkdir()
    # No handler of Python's: it would not run before native code comes back. Tools may have set one.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, float(request.get("seconds", compiler.SECONDS)))
    try:
        found = compiler.attempt(
            case["name"], model, feeds, case["precision"], tuple(request["devices"]), scratch
        )
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        shutil.rmtree(scratch, ignore_errors=True)
    return [asdict(outcome) for outcome in found]


def _feeds(path: Path) -> Mapping[str, NDArray[Any]]:
    with np.load(path, allow_pickle=False) as held:
        return {name: held[name] for name in held.files}


def _say(descriptor: int, line: JsonObject) -> None:
    os.write(descriptor, json.dumps(line).encode() + b"\n")
