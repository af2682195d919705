"""TFLite files on LiteRT's GPU accelerator, the whole graph or not at all; functions for child processes.

What the accelerator of ai-edge-litert 2.1.2 takes, as tried:

- Weights in float16, with or without biases, as a float16 constant and a ``DEQUANTIZE``, which goes when it
  compiles; activations, input and output in float32. ai-edge-quantizer's ``float_casting`` writes the same.
  Not a file that states its activations as float16 (onnx2tf's ``*_float16.tflite``): LiteRT refuses it.
- ``ARG_MAX`` into INT32. Into INT64, ONNX's type, it is refused, and so is the ``CAST`` behind it.
- ``RESIZE_BILINEAR`` with half-pixel centres, ``SLICE``, ``PAD``, ``TRANSPOSE``, ``AVERAGE_POOL_2D``.

Asked for the GPU alone, LiteRT refuses a graph of which anything would be left to the CPU, and its log says
what; after compiling it is asked once more. The precision is what a probe found, not what was asked for.

A shader that the driver does not take is an error in the log alone: LiteRT goes on and gives whatever lay in
memory. So the log is read after compiling and after the first run. A driver without 16-bit types in shaders
(SwiftShader is one) does not take some float16 kernels, those of large dense 3x3 convolutions above all: then
the same file runs in float32, and ``substitute`` says so.
"""

from __future__ import annotations

import re
import time as clock
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.backends.litert import flatbuffer
from mosaic_deploy.backends.litert.c_api import PRECISIONS, OnGpu, StatusError
from mosaic_deploy.backends.litert.gpu import precision, vulkan
from mosaic_deploy.errors import ModelError, RefusedError, ToolError
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject

_LIBRARY = "libLiteRtWebGpuAccelerator.so"
_LOG = Path("/proc/self/fd/2")
"""Where this process's standard error goes: the log of ``tools``, to which native code writes too."""
_LEFT = "operations are not supported by GPU delegate:"
_SPLIT = re.compile(r"^(\d+|No) operations will run on the GPU, and ")
_ADAPTER = re.compile(r"Selected adapter: (.+?), arch=.*adapterType=(.+)")
_INVALID = "Validation error: "
_HALVES = "'f16' type used without 'f16' extension enabled"
NO_HALVES = (
    "this Vulkan driver has no 16-bit type in shaders, which float16 kernels of this network need: "
    "the accelerator computed in float32 here, and float16 is emulated on the CPU"
)
_PREPARE = re.compile(r"Node number \d+ \((\w+)\) failed to prepare")


class NoHalvesError(Exception):
    """The driver has no 16-bit type in shaders; not an error to show, for float32 can be had."""


def missing() -> str | None:
    """Say in one line what the accelerator lacks here and the line that installs it, or None."""
    return vulkan.missing()


def environment(scratch: Path) -> dict[str, str]:
    """Variables that ``predict`` and ``time`` need; raises ``ToolError`` where there is no driver."""
    return vulkan.environment(scratch)


def predict(request: JsonObject, on_progress: OnProgress) -> JsonObject:
    """Run ``request["model"]`` on each of ``inputs`` (.npy) into ``outputs`` (.npy).

    ``input`` and ``output`` state name, shape, dtype, scale and zero point of the file's tensors; where there
    is a scale, floats are quantised and integer scores dequantised to float32. ``precision`` is one of
    ``c_api.PRECISIONS``, ``float32`` unless stated.

    Returns:
        ``nodes`` (how many operators ran on the GPU), ``outside`` (always empty), ``device`` (Vulkan's
        name of it), ``software`` (whether that is a CPU), ``precision`` (as found by a probe) and
        ``substitute`` (why it is another than was asked for, in words, or empty).

    Raises:
        RefusedError: the accelerator does not take all of the graph; what it leaves is named.
        ToolError: the accelerator cannot be had here.
        ModelError: the file is no TFLite file, or an input does not fit it.
    """
    source, result = request["input"], request["output"]
    pairs = list(zip(request["inputs"], request["outputs"], strict=True))
    opened = _open(Path(request["model"]), request, _fed(pairs[0][0], source))
    for index, (image, place) in enumerate(pairs):
        found = _run(opened.network, _fed(image, source)) if index else opened.first
        np.save(place, scores(found, result), allow_pickle=False)
        on_progress((index + 1) / len(pairs), f"image {index + 1} of {len(pairs)}")
    return opened.facts


def time(request: JsonObject, on_progress: OnProgress) -> JsonObject:
    """Run ``request["model"]`` on ``input_file`` ``warm_up`` + ``runs`` times, in ``precision``.

    Returns:
        what ``predict`` does, and ``seconds`` of each run after the warm-up, input copied in and output out.
        On a software driver they say nothing of a GPU.
    """
    path = Path(request["model"])
    values = _fed(request["input_file"], request.get("input") or _ends(path)[0])
    opened = _open(path, request, values)
    seconds, rounds = [], request["warm_up"] + request["runs"]
    for index in range(rounds):
        begun = clock.perf_counter()
        _run(opened.network, values)
        seconds.append(clock.perf_counter() - begun)
        on_progress((index + 1) / rounds, f"run {index + 1} of {rounds}")
    return {**opened.facts, "seconds": seconds[request["warm_up"] :]}


def _fed(image: str, source: JsonObject) -> NDArray[Any]:
    return feed(np.load(image, allow_pickle=False), source)


def feed(values: NDArray[Any], tensor: JsonObject) -> NDArray[Any]:
    """The artifact's input as the file takes it; bytes pass, and become floats where it takes floats."""
    dtype = np.dtype(str(tensor["dtype"]))
    if list(values.shape) != list(tensor["shape"]):
        raise ModelError(f"the input has shape {list(values.shape)}, the TFLite file's {tensor['shape']}")
    if tensor.get("scale") is None or values.dtype.kind in "iu":
        return values.astype(dtype)
    steps = np.rint(values.astype(np.float64) / tensor["scale"]) + tensor["zero_point"]
    bounds = np.iinfo(dtype)
    integers: NDArray[Any] = np.clip(steps, bounds.min, bounds.max).astype(dtype)
    return integers


def scores(values: NDArray[Any], tensor: JsonObject) -> NDArray[Any]:
    """The file's output with integer scores dequantised to float32; ids stay."""
    if tensor.get("scale") is None:
        return values
    floats: NDArray[Any] = (values.astype(np.float32) - tensor["zero_point"]) * np.float32(tensor["scale"])
    return floats


@dataclass(frozen=True, slots=True)
class _Log:
    """What this process wrote to its log since a moment."""

    start: int

    @classmethod
    def now(cls) -> _Log:
        return cls(_LOG.stat().st_size if _LOG.is_file() else 0)

    def lines(self) -> list[str]:
        if not _LOG.is_file():
            return []
        with _LOG.open("rb") as log:
            log.seek(self.start)
            return log.read().decode(errors="replace").splitlines()


@dataclass(frozen=True, slots=True)
class _Opened:
    """A file compiled, tried, and known for what it runs on."""

    network: OnGpu
    first: NDArray[Any]
    """What it gave when it was tried."""
    facts: JsonObject


def _open(model: Path, request: JsonObject, values: NDArray[Any]) -> _Opened:
    """Compile a file, try it on ``values``, and find out on what and how it runs."""
    asked = str(request.get("precision", "float32"))
    if asked not in PRECISIONS:
        raise ModelError(f"no precision '{asked}'; known: {', '.join(PRECISIONS)}")
    substitute = ""
    try:
        opened = _tried(model, asked, values)
    except NoHalvesError:
        opened = _tried(model, "float32", values)
        substitute = NO_HALVES
    return replace(opened, facts={**opened.facts, "substitute": substitute})


def _tried(model: Path, asked: str, values: NDArray[Any]) -> _Opened:
    source, result = _ends(model)
    began = _Log.now()
    try:
        found = precision.precision(Path.cwd(), asked=asked)
    except (StatusError, OSError) as err:
        raise ToolError(_unavailable(began.lines(), err)) from err
    compiling = _Log.now()
    try:
        network = OnGpu(model, precision=asked, source=source, result=result)
    except StatusError as err:
        _refuse(model, compiling.lines(), err)
    if not network.fully_accelerated:
        _refuse(model, compiling.lines(), StatusError("it is not fully accelerated"))
    require_valid(model.name, compiling.lines())
    first = _run(network, values)
    require_valid(model.name, compiling.lines())
    device, kind = _adapter(_Log(0).lines())
    nodes = len(flatbuffer.load(model).subgraphs[0].operators)
    software = "cpu" in kind.lower() or "software" in kind.lower()
    facts = {"nodes": nodes, "outside": [], "device": device, "software": software, "precision": found}
    return _Opened(network, first, facts)


def require_valid(name: str, lines: list[str]) -> None:
    """Hold the log against it that the driver took every shader.

    Raises:
        NoHalvesError: it has no 16-bit type, and a shader uses one.
        ToolError: it did not, for another reason; what came out is of no worth.
    """
    wrong = [line.partition(_INVALID)[2].strip() for line in lines if _INVALID in line]
    if any(_HALVES in line for line in wrong):
        raise NoHalvesError(NO_HALVES)
    if wrong:
        raise ToolError(
            f"{name}: the GPU's driver does not take a shader of the accelerator's: {wrong[0][:200]}"
        )


def _run(network: OnGpu, values: NDArray[Any]) -> NDArray[Any]:
    try:
        return network.run(values)
    except StatusError as err:
        raise ToolError(f"LiteRT's GPU accelerator fails while it runs: {err}") from err


def _ends(model: Path) -> tuple[JsonObject, JsonObject]:
    """Input and output as the file states them."""
    content = flatbuffer.load(model)
    graph = content.subgraphs[0]
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise ModelError(f"{model.name}: one input and one output are expected")
    return flatbuffer.describe(content, graph.inputs[0]), flatbuffer.describe(content, graph.outputs[0])


def _refuse(model: Path, lines: list[str], err: StatusError) -> NoReturn:
    """Say why a file did not compile, now that the probe did."""
    left, name = _left(lines), model.name
    if left:
        more = f" and {len(left) - 3} more" if len(left) > 3 else ""
        raise RefusedError(f"{name}: the GPU accelerator does not take {', '.join(left[:3])}{more}") from err
    unprepared = [match[1] for line in lines if (match := _PREPARE.search(line))]
    if unprepared:
        raise RefusedError(f"{name}: LiteRT refuses its {unprepared[0]}: {_because(lines, err)}") from err
    raise ToolError(f"{name}: LiteRT's GPU accelerator fails to compile it: {_because(lines, err)}") from err


def _left(lines: list[str]) -> list[str]:
    """What the log says is left to the CPU: ``ARG_MAX (Tensor type(INT64) is not supported. ids)``."""
    left: list[str] = []
    listing = False
    for line in lines:
        if _SPLIT.match(line):
            listing = False
        elif listing and ":" in line:
            operator, _, reason = line.partition(":")
            # Without a reason: what turns float16 weights into floats, left behind together with the rest.
            if reason.strip():
                left.append(f"{operator.strip()} ({reason.strip()[:120]})")
        listing = listing or line.rstrip().endswith(_LEFT)
    return left


def _adapter(lines: list[str]) -> tuple[str, str]:
    """Name and kind of the Vulkan device that was chosen."""
    found = [match for line in lines if (match := _ADAPTER.search(line))]
    return (found[-1][1], found[-1][2].strip()) if found else ("unknown", "unknown")


def _unavailable(lines: list[str], err: Exception) -> str:
    named = vulkan.NAMED_IN[0]
    next_step = missing() or f"name another driver in {named}, or: {vulkan.INSTALL}"
    return f"LiteRT's GPU accelerator is not available: {_because(lines, err)}; {next_step}"


def _because(lines: list[str], err: Exception) -> str:
    """The log's own reason: its first error, warnings of a driver that failed included."""
    for mark in ("Error: ", "E0000 ", "VK_ERROR", "ERROR: "):
        for line in lines:
            if mark in line:
                return line.partition("] ")[2][:200] or line.partition(": ")[2][:200] or line[:200]
    return str(err)
