"""A compiler that behaves by operator: some run, one is wrong, others crash, hang or take too much memory."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray

from mosaic_deploy.backends.oracle.outcome import CaseOutcome, Found
from mosaic_deploy.specs.precision import Precision

TABLE = "fake"
FULL_NAME = __name__

TOOLCHAIN = "ort"
"""Needs nothing of it, but what every test environment has."""

PRECISIONS: tuple[Precision, ...] = ("float", "w8a8")
SECONDS = 3.0
MEMORY_BYTES = 1 << 29

FOUND: Mapping[str, Found] = {
    "Relu": "runs",
    "Sigmoid": "wrong",
    "Tanh": "wrong",
    "LeakyRelu": "falls-back",
    "Selu": "no-reference",
}
"""What comes of operators that do not misbehave; whatever is not named fails to compile."""


def devices(*, everywhere: bool) -> tuple[str, ...]:
    return ("old", "new") if everywhere else ("new",)


def missing() -> str:
    return ""


def version() -> str:
    return "1.0"


def environment() -> Mapping[str, str]:
    return {"FAKE": "1"}


def begin() -> None:
    assert os.environ["FAKE"] == "1"


def attempt(
    name: str,
    model: bytes,
    feeds: Mapping[str, NDArray[Any]],
    precision: Precision,
    devices: tuple[str, ...],
    scratch: Path,
) -> tuple[CaseOutcome, ...]:
    """Litter the scratch folder, then do as the operator says; ``Tanh`` is not wrong on the new device."""
    assert not list(scratch.iterdir())
    (scratch / "litter").write_text(name)
    read = onnx.load_from_string(model)
    assert {value.name for value in read.graph.input} == set(feeds)
    ops = [node.op_type for node in read.graph.node]
    for op in ops:
        _misbehave(op)
    return tuple(_outcome(name, device, ops) for device in devices)


def _outcome(name: str, device: str, ops: Sequence[str]) -> CaseOutcome:
    """The first operator's that does not run."""
    for op in ops:
        found: Found = "runs" if (op, device) == ("Tanh", "new") else FOUND.get(op, "fails-to-compile")
        if found != "runs":
            return CaseOutcome(name, device, found, f"no {op}")
    return CaseOutcome(name, device, "runs")


def _misbehave(op: str) -> None:
    if op == "Abs":
        ctypes.string_at(0)
    elif op == "Neg":
        ctypes.CDLL(None).sleep(60)
    elif op == "Exp":
        signal.setitimer(signal.ITIMER_REAL, 0)  # so that only the other limit can end it
        held = b"\1" * (MEMORY_BYTES + 1)
        time.sleep(60)
        del held
    elif op == "Floor":
        os._exit(5)
    elif op == "Ceil":
        raise RuntimeError("a bug of whoever wrote the compiler's module")
