"""LiteRT through its C interface, for the GPU accelerator and the profiler; in child processes only.

The Python classes of ``ai-edge-litert`` can neither ask for a precision nor tell whether the whole graph is
accelerated, know no profiler, and move every number through a Python list. The C functions are those of its
header files ``litert_compiled_model.h``, ``litert_gpu_options.h``, ``litert_profiler.h`` and
``litert_tensor_buffer.h``. Only buffers are ever freed: the process ends when the work is done.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

PRECISIONS = {"default": 0, "float16": 1, "float32": 2}
"""What can be asked for, as LiteRT numbers it; ``default`` leaves it to the accelerator."""
CPU = 1
"""LiteRT's bit for the CPU, with XNNPACK."""
ACCELERATORS = 2
"""What a network for the GPU may use, as LiteRT's bits: the GPU alone."""
_RUNTIME_FOLDER = 22  # LiteRtEnvOptionTag: where the accelerator's library lies
_STRING = 8  # LiteRtAnyType
_READ, _WRITE = 0, 1
IMPATIENT_S = 5.0
"""LiteRT 2.1.2 gives up reading from a GPU that is busy for 20 s; sooner failures have other reasons."""
_TYPES = {"float32": 1, "int32": 2, "uint8": 3, "int64": 4, "bool": 6, "int8": 9, "float16": 10}
Handle = ctypes.c_void_p
"""Of whatever LiteRT has made."""


class StatusError(Exception):
    """A function of LiteRT gave another status than OK; its reasons are in the log."""


class _Any(ctypes.Structure):
    _fields_ = (("type", ctypes.c_int), ("text", ctypes.c_char_p))


class _Option(ctypes.Structure):
    _fields_ = (("tag", ctypes.c_int), ("value", _Any))


class _TensorType(ctypes.Structure):
    _fields_ = (
        ("element", ctypes.c_int),
        ("rank", ctypes.c_uint32),  # 7 bits, and one that says whether there are strides
        ("dimensions", ctypes.c_int32 * 8),
        ("strides", ctypes.c_uint32 * 8),
    )


class _Event(ctypes.Structure):
    _fields_ = (
        ("tag", ctypes.c_char_p),
        ("type", ctypes.c_int),
        ("start_us", ctypes.c_uint64),
        ("elapsed_us", ctypes.c_uint64),
        ("memory", ctypes.c_size_t * 6),
        ("node", ctypes.c_uint64),
        ("subgraph", ctypes.c_uint64),
        ("source", ctypes.c_int),
    )


_YES = ctypes.c_bool(1)
_RAN, _OPERATOR = 1, 2
"""Kinds of events: something as a whole, and an operator that the interpreter ran by itself."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Where the time of one run went."""

    whole_us: int
    """From the first operator to the last."""
    operators_us: Mapping[int, int]
    """Number of an operator of the file -> its time, of those that no delegate took."""


@final
class Runtime:
    """LiteRT with one environment: its functions, each of which raises ``StatusError`` where it fails."""

    def __init__(self) -> None:
        self._library = _load()
        option = _Option(_RUNTIME_FOLDER, _Any(_STRING, str(_folder()).encode()))
        self._environment = self.made("LiteRtCreateEnvironment", 1, ctypes.byref(option))

    def compiled(self, model: Path, precision: str) -> Handle:
        """Compile a ``.tflite`` file for the GPU and nothing else, in one of ``PRECISIONS``."""
        graph = self.made("LiteRtCreateModelFromFile", str(model).encode())
        options, gpu = self.made("LiteRtCreateOptions"), self.made("LiteRtCreateGpuOptions")
        self.call("LiteRtSetOptionsHardwareAccelerators", options, ACCELERATORS)
        self.call("LiteRtSetGpuAcceleratorCompilationOptionsPrecision", gpu, PRECISIONS[precision])
        self.call("LiteRtAddOpaqueOptions", options, gpu)
        return self.made("LiteRtCreateCompiledModel", self._environment, graph, options)

    def profiled(self, model: Path, *, threads: int) -> Handle:
        """Compile a ``.tflite`` file for the CPU, with XNNPACK, so that its runs can be profiled."""
        graph, options = (
            self.made("LiteRtCreateModelFromFile", str(model).encode()),
            self.made("LiteRtCreateOptions"),
        )
        self.call("LiteRtSetOptionsHardwareAccelerators", options, CPU)
        runtime, cpu = self.made("LiteRtCreateRuntimeOptions"), self.made("LiteRtCreateCpuOptions")
        profiling = self.made("LiteRtFindRuntimeOptions", runtime)
        self.call("LiteRtSetRuntimeOptionsEnableProfiling", profiling, _YES)
        self.call("LiteRtSetCpuOptionsNumThread", self.made("LiteRtFindCpuOptions", cpu), threads)
        for more in (runtime, cpu):
            self.call("LiteRtAddOpaqueOptions", options, more)
        return self.made("LiteRtCreateCompiledModel", self._environment, graph, options)

    def profile(self, model: Handle, inputs: Sequence[Handle], outputs: Sequence[Handle]) -> Profile:
        """Run a model that ``profiled`` compiled, and say where the time went."""
        profiler, count = self.made("LiteRtCompiledModelGetProfiler", model), ctypes.c_int()
        self.call("LiteRtResetProfiler", profiler)
        self.call("LiteRtStartProfiler", profiler)
        self.run(model, inputs, outputs)
        self.call("LiteRtStopProfiler", profiler)
        self.call("LiteRtGetNumProfilerEvents", profiler, ctypes.byref(count))
        events = (_Event * max(count.value, 1))()
        self.call("LiteRtGetProfilerEvents", profiler, count, events)
        whole = [e.elapsed_us for e in events if e.type == _RAN and e.tag == b"Invoke"]
        if len(whole) != 1:
            raise StatusError(f"LiteRT's profiler tells of {len(whole)} runs, not of one")
        alone = {int(e.node): int(e.elapsed_us) for e in events if e.type == _OPERATOR}
        return Profile(int(whole[0]), alone)

    def accelerated(self, model: Handle) -> bool:
        """Whether LiteRT says that nothing of a compiled model is left to another processor."""
        answer = ctypes.c_bool()
        self.call("LiteRtCompiledModelIsFullyAccelerated", model, ctypes.byref(answer))
        return bool(answer.value)

    def buffer(self, model: Handle, role: str, tensor: Mapping[str, Any], *, index: int = 0) -> Handle:
        """Make a buffer for an ``Input`` or ``Output`` of a compiled model, of a ``shape`` and ``dtype``."""
        first, place = ctypes.c_size_t(0), ctypes.c_size_t(index)
        needs = self.made(f"LiteRtGetCompiledModel{role}BufferRequirements", model, first, place)
        dtype, sides = str(tensor["dtype"]), [int(side) for side in tensor["shape"]]
        if dtype not in _TYPES:
            raise StatusError(f"no buffers of {dtype}")
        kind = _TensorType(_TYPES[dtype], len(sides))
        kind.dimensions[: len(sides)] = sides
        create = "LiteRtCreateManagedTensorBufferFromRequirements"
        buffer = self.made(create, self._environment, ctypes.byref(kind), needs)
        size = ctypes.c_size_t()
        self.call("LiteRtGetTensorBufferSize", buffer, ctypes.byref(size))
        expected = int(np.prod(sides)) * np.dtype(dtype).itemsize
        if size.value < expected:
            raise StatusError(f"LiteRT's {role.lower()} holds {size.value} bytes, {expected} are expected")
        return buffer

    def write(self, buffer: Handle, values: NDArray[Any]) -> None:
        """Copy an array in."""
        ctypes.memmove(self._lock(buffer, _WRITE), values.ctypes.data, values.nbytes)
        self.call("LiteRtUnlockTensorBuffer", buffer)

    def read(self, buffer: Handle, tensor: Mapping[str, Any]) -> NDArray[Any]:
        """Copy an array of a ``shape`` and ``dtype`` out, as soon as what came before is done."""
        found = np.empty(tensor["shape"], np.dtype(str(tensor["dtype"])))
        ctypes.memmove(found.ctypes.data, self._lock(buffer, _READ), found.nbytes)
        self.call("LiteRtUnlockTensorBuffer", buffer)
        return found

    def wait(self, buffer: Handle) -> None:
        """Wait until a buffer can be read; LiteRT gives up after a while."""
        self._lock(buffer, _READ)
        self.call("LiteRtUnlockTensorBuffer", buffer)

    def finish(self, gate: Handle, another: Callable[[], Handle]) -> Handle:
        """Wait until the GPU is done, however long that takes.

        What is read from the GPU comes after all that it was given to do before. A read that LiteRT gave up
        leaves its buffer useless, so what is read here is a buffer that nobody needs, ``gate``, then
        ``another``. Gives the last of them, which is as good as new.
        """
        while True:
            tried = time.monotonic()
            try:
                self.wait(gate)
            except StatusError:
                if time.monotonic() - tried < IMPATIENT_S:
                    raise
                gate = another()
            else:
                return gate

    def run(self, model: Handle, inputs: Sequence[Handle], outputs: Sequence[Handle]) -> None:
        """Start a compiled model on buffers."""
        self.call(
            "LiteRtRunCompiledModel", model, ctypes.c_size_t(0),
            ctypes.c_size_t(len(inputs)), (Handle * len(inputs))(*inputs),
            ctypes.c_size_t(len(outputs)), (Handle * len(outputs))(*outputs),
        )  # fmt: skip

    def drop(self, buffers: Iterable[Handle]) -> None:
        """Free buffers."""
        for buffer in buffers:
            self._library["LiteRtDestroyTensorBuffer"](buffer)

    def made(self, function: str, *arguments: Any) -> Handle:
        """Call a function whose last argument is where it puts what it makes."""
        made = Handle()
        self.call(function, *arguments, ctypes.byref(made))
        return made

    def call(self, function: str, *arguments: Any) -> None:
        """Call a function that answers with a status."""
        status = self._library[function](*arguments)
        if status:
            describe = self._library["LiteRtGetStatusString"]
            describe.restype = ctypes.c_char_p
            raise StatusError(f"{function}: {bytes(describe(status) or b'').decode()}")

    def _lock(self, buffer: Handle, mode: int) -> int:
        place = Handle()
        self.call("LiteRtLockTensorBuffer", buffer, ctypes.byref(place), mode)
        if not place.value:
            raise StatusError("LiteRtLockTensorBuffer gave no memory")
        return place.value


@final
class OnGpu:
    """A compiled network of one input and one output."""

    def __init__(
        self, model: Path, *, precision: str, source: dict[str, Any], result: dict[str, Any]
    ) -> None:
        """Compile a ``.tflite`` file for the GPU and nothing else.

        Args:
            model: the file.
            precision: one of ``PRECISIONS``.
            source: ``shape`` and ``dtype`` of its input.
            result: the same of its output.

        Raises:
            StatusError: LiteRT does not take it, or cannot work here.
        """
        self._runtime = Runtime()
        self._source, self._result = source, result
        self._model = self._runtime.compiled(model, precision)
        self._input = self._runtime.buffer(self._model, "Input", source)
        self._output = self._runtime.buffer(self._model, "Output", result)
        self._another_gate = partial(self._runtime.buffer, self._model, "Input", source)
        self._gate = self._another_gate()

    @property
    def fully_accelerated(self) -> bool:
        """Whether LiteRT says that nothing is left to another processor."""
        return self._runtime.accelerated(self._model)

    def run(self, values: NDArray[Any]) -> NDArray[Any]:
        """Copy the input in, run, wait, and copy the output out; shapes and types are the file's."""
        data = np.ascontiguousarray(values, np.dtype(self._source["dtype"]))
        if list(data.shape) != list(self._source["shape"]):
            raise ValueError(f"the input has shape {data.shape}, the file's {self._source['shape']}")
        self._runtime.write(self._input, data)
        self._runtime.run(self._model, [self._input], [self._output])
        self._wait()
        return self._runtime.read(self._output, self._result)

    def _wait(self) -> None:
        """Wait until the GPU is done.

        LiteRT waits by asking again and again. A GPU that is software needs the cores, so a thread asks that
        gets what is left of them.
        """
        with ThreadPoolExecutor(1, initializer=_stand_back) as pool:
            self._gate = pool.submit(self._runtime.finish, self._gate, self._another_gate).result()


def _stand_back() -> None:
    """Let the calling thread run where no other wants to; it cannot be undone without privileges."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _folder() -> Path:
    import ai_edge_litert

    return Path(str(ai_edge_litert.__file__)).resolve().parent


def _load() -> ctypes.CDLL:
    # For all: the accelerator's own library, loaded later, looks for these functions.
    return ctypes.CDLL(str(_folder() / "libLiteRt.so"), ctypes.RTLD_GLOBAL)
