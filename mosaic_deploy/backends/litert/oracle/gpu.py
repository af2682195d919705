"""Probing LiteRT's GPU accelerator, for the table ``litert-gpu``: a case as ``build --target gpu`` makes it.

    fp32  onnx2tf, tidied               computed in float32, against ONNX Runtime
    fp16  the same, weights in float16  computed in float16, against ONNX Runtime

Where the driver has no 16-bit types in shaders and the second needs them, the file is computed in float32 and
the model in emulated float16, on the CPU: what a phone will make of it, as near as this machine can tell.

A case runs where both do. Asked for the GPU alone, LiteRT refuses a graph of which it would leave anything to
the CPU, and says on standard error what that is: then the case falls back.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.backends.litert import c_api, flatbuffer, float16, quantize
from mosaic_deploy.backends.litert.gpu import accelerator
from mosaic_deploy.backends.litert.gpu.rewrites import for_accelerator
from mosaic_deploy.backends.litert.oracle import convert
from mosaic_deploy.backends.litert.oracle.xnnpack import plainly
from mosaic_deploy.backends.oracle.compare import (
    IN_HALF,
    IN_SINGLE,
    Arrays,
    NoReferenceError,
    Tolerance,
    for_chain,
    reference,
    said,
    with_work,
)
from mosaic_deploy.backends.oracle.outcome import CaseOutcome, Found
from mosaic_deploy.errors import MosaicError, ToolError
from mosaic_deploy.specs.precision import Precision
from mosaic_deploy.workers.call import GIB

TOOLCHAIN = "litert"
PRECISIONS: tuple[Precision, ...] = ("float",)
SECONDS = 60.0
MEMORY_BYTES = 6 * GIB
_DEVICE = "vulkan"
_IDLE = ("Dropout", "Expand", "Identity", "Pow", "Transpose")
"""Alone they may leave nothing to compile; then the accelerator answers with whatever lay in memory."""
_LARGEST = float(np.finfo(np.float16).max)
_NEARLY_SINGLE = replace(IN_SINGLE, share=0.0025)
"""The accelerator approximates exp, tanh and erf in float32, too: a quarter of what float16 is allowed."""
_WAYS: tuple[tuple[str, Tolerance], ...] = (("float32", _NEARLY_SINGLE), ("float16", IN_HALF))
_NAMED = re.compile(r'(?:Tensor )?"\S+" (?=has )|\. \S+(?=\)$)')
"""The tensor in one of the accelerator's reasons, whose name says nothing of another network."""


def devices(*, everywhere: bool) -> tuple[str, ...]:  # noqa: ARG001  # the protocol's
    """One: the accelerator decides, not the driver under it."""
    return (_DEVICE,)


def missing() -> str:
    """What has to be installed, as a line to run, or empty."""
    return convert.missing() or accelerator.missing() or ""


def version() -> str:
    """LiteRT's, with onnx2tf's."""
    return convert.version()


@cache
def environment() -> Mapping[str, str]:
    """Quiet, and the driver's."""
    folder = Path(tempfile.mkdtemp(prefix="mosaic-deploy-vulkan-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # children need it until the end
    return {
        "OMP_NUM_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "TQDM_DISABLE": "1",
    } | accelerator.environment(folder)


def begin() -> None:
    """Import onnx2tf and LiteRT, and open the accelerator."""
    convert.begin()
    _runtime()


def attempt(
    name: str,
    model: bytes,
    feeds: Mapping[str, NDArray[Any]],
    precision: Precision,  # noqa: ARG001  # there is one
    devices: tuple[str, ...],
    scratch: Path,
) -> tuple[CaseOutcome, ...]:
    """Convert, run on the accelerator in float32 and in float16, and compare."""
    found = _tried(model, feeds, scratch)
    return tuple(CaseOutcome(name, device, *found) for device in devices)


_Answer = tuple[Found, str, float | None]


def _tried(model: bytes, feeds: Mapping[str, NDArray[Any]], scratch: Path) -> _Answer:
    model = with_work(model, idle=(*_IDLE, *_boundless(model)))
    try:
        expected = reference(model, feeds)
        _require_steady(model, feeds, expected)
    except NoReferenceError as err:
        return "no-reference", str(err), None
    try:
        path = _rewritten(convert.convert(model, scratch))
        values = convert.fed(path, feeds)
    except (convert.NotMadeError, MosaicError) as err:
        return "fails-to-compile", said(err), None
    answer: _Answer = "runs", "", None
    for asked, tolerance in _WAYS:
        allowed = for_chain(tolerance, model)
        try:
            answer = _on_gpu(path, asked, values, expected, feeds, allowed)
        except accelerator.NoHalvesError:
            answer = _substituted(model, path, values, expected, feeds, allowed)
        if answer[0] != "runs":
            break
    return answer


def _boundless(model: bytes) -> tuple[str, ...]:
    """``Clip`` where it is all of a case and has no bounds: then it is no work either."""
    import onnx

    nodes = onnx.load_from_string(model).graph.node
    idle = all(node.op_type == "Clip" and not any(node.input[1:]) and not node.attribute for node in nodes)
    return ("Clip",) if idle else ()


def _require_steady(model: bytes, feeds: Mapping[str, NDArray[Any]], expected: Arrays) -> None:
    """Refuse a chain whose answer float16 cannot hold, or moves by rounding the inputs alone.

    Raises:
        NoReferenceError: whatever computes it in float16, nobody could tell right from wrong.
    """
    import onnx

    if len(onnx.load_from_string(model).graph.node) == 1:
        return
    if any(np.abs(values).max(initial=0) > _LARGEST for values in expected if values.dtype.kind == "f"):
        raise NoReferenceError("float16 cannot hold the answer")
    rounded = {
        name: values.astype(np.float16).astype(values.dtype) if values.dtype == np.float32 else values
        for name, values in feeds.items()
    }
    moved = reference(model, rounded)
    if not convert.compared(expected, moved, tolerance=for_chain(IN_HALF, model), feeds=feeds).right:
        raise NoReferenceError("rounding the inputs to float16 alone moves the answer")


def _rewritten(path: Path) -> Path:
    model = flatbuffer.load(path)
    if for_accelerator(model):
        flatbuffer.save(model, path)
    return path


def _substituted(
    model: bytes,
    path: Path,
    values: Arrays,
    expected: Arrays,
    feeds: Mapping[str, NDArray[Any]],
    tolerance: Tolerance,
) -> _Answer:
    """The file with float16 weights in float32, and the model in emulated float16."""
    answer = _on_gpu(_halved(path), "float32", values, expected, feeds, tolerance)
    if answer[0] != "runs":
        return answer
    try:
        emulated = float16.emulated(model, feeds)
    except MosaicError as err:
        return "wrong", f"float16: {said(err)}", None
    found = convert.compared(expected, emulated, tolerance=tolerance, feeds=feeds)
    if found.right:
        return "runs", "", max(found.difference, answer[2] or 0.0)
    return "wrong", f"emulated float16: {found.error}", found.difference


def _on_gpu(
    path: Path,
    asked: str,
    values: Arrays,
    expected: Arrays,
    feeds: Mapping[str, NDArray[Any]],
    tolerance: Tolerance,
) -> _Answer:
    log = path.with_suffix(f".{asked}.log")
    try:
        if asked == "float16":
            path = _halved(path)
        with _logged(log):
            network = _Network(path, asked)
            given = network.run(values)
        accelerator.require_valid(path.name, log.read_text(errors="replace").splitlines())
    except MosaicError as err:
        return "fails-to-compile", said(err), None
    except c_api.StatusError as err:
        return _refused(log, err)
    found = convert.compared(expected, given, tolerance=tolerance, feeds=feeds)
    if found.right:
        return "runs", "", found.difference
    whose = (
        f"the accelerator, in {asked}"
        if _right_plainly(path, values, expected, feeds, tolerance)
        else "onnx2tf"
    )
    return "wrong", f"{whose}: {found.error}", found.difference


def _right_plainly(
    path: Path, values: Arrays, expected: Arrays, feeds: Mapping[str, NDArray[Any]], tolerance: Tolerance
) -> bool:
    """Whether LiteRT's own kernels run the file, and right."""
    try:
        given = plainly(path, values, expected)
    except (RuntimeError, ValueError):  # LiteRT's own
        return False
    return convert.compared(expected, given, tolerance=tolerance, feeds=feeds).right


def _halved(path: Path) -> Path:
    made = path.with_name("half.tflite")
    request = {"model": str(path), "out": str(made), "description": {}, "key": "probe", "accelerator": "gpu"}
    quantize.halves(request, lambda _share, _text: None)
    return made


@contextlib.contextmanager
def _logged(path: Path) -> Iterator[None]:
    """Have native code write its errors into a file."""
    before = os.dup(2)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(file, 2)
    os.close(file)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)


def _refused(log: Path, err: Exception) -> _Answer:
    lines = log.read_text(errors="replace").splitlines()
    left = sorted({_NAMED.sub("", text) for text in accelerator._left(lines)})
    if left:
        return "falls-back", said(f"the accelerator leaves {', '.join(left)}"), None
    unprepared = [match[1] for line in lines if (match := accelerator._PREPARE.search(line))]
    kind = f"{unprepared[0]}: " if unprepared else ""
    return "fails-to-compile", said(f"{kind}{accelerator._because(lines, err)}"), None


@cache
def _runtime() -> c_api.Runtime:
    """One for all cases of a child."""
    try:
        return c_api.Runtime()
    except c_api.StatusError as err:
        raise ToolError(f"LiteRT's environment cannot be made: {err}") from err


@final
class _Network:
    """A file compiled for the accelerator alone, with as many inputs and outputs as it has."""

    def __init__(self, path: Path, precision: str) -> None:
        model = flatbuffer.load(path)
        graph = model.subgraphs[0]
        self._sources = [flatbuffer.describe(model, index) for index in graph.inputs]
        self._results = [flatbuffer.describe(model, index) for index in graph.outputs]
        self._model = _runtime().compiled(path, precision)
        if not _runtime().accelerated(self._model):
            raise c_api.StatusError("it is not fully accelerated")

    def run(self, values: Sequence[NDArray[Any]]) -> Arrays:
        """Copy the inputs in, run, and copy the outputs out."""
        runtime, model = _runtime(), self._model
        inputs = [runtime.buffer(model, "Input", tensor, index=i) for i, tensor in enumerate(self._sources)]
        outputs = [runtime.buffer(model, "Output", tensor, index=i) for i, tensor in enumerate(self._results)]
        for buffer, tensor, array in zip(inputs, self._sources, values, strict=True):
            runtime.write(buffer, np.ascontiguousarray(array, np.dtype(str(tensor["dtype"]))))
        runtime.run(model, inputs, outputs)
        gate = partial(runtime.buffer, model, "Output", self._results[0], index=0)
        done = runtime.finish(gate(), gate)
        found = tuple(runtime.read(*pair) for pair in zip(outputs, self._results, strict=True))
        runtime.drop((*inputs, *outputs, done))
        return found
