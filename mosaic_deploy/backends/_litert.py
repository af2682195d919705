"""A network on LiteRT's GPU accelerator, through LiteRT's C interface; used in child processes only.

The Python classes of ``ai-edge-litert`` can neither ask for a precision nor tell whether the whole graph is
accelerated, and move every number through a Python list. The C functions are those of its header files
``litert_compiled_model.h``, ``litert_gpu_options.h`` and ``litert_tensor_buffer.h``. Nothing is ever freed:
the process ends when the work is done.
"""

from __future__ import annotations

import ctypes
import time
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

PRECISIONS = {"default": 0, "float16": 1, "float32": 2}
"""What can be asked for, as LiteRT numbers it; ``default`` leaves it to the accelerator."""
ACCELERATORS = 2
"""What may be used, as LiteRT's bits: 1 is the CPU, 2 the GPU."""
_RUNTIME_FOLDER = 22  # LiteRtEnvOptionTag: where the accelerator's library lies
_STRING = 8  # LiteRtAnyType
_READ, _WRITE = 0, 1
IMPATIENT_S = 5.0
"""LiteRT 2.1.2 gives up reading from a GPU that is busy for 20 s; sooner failures have other reasons."""
_ASLEEP = 0.5
"""Share of the quickest run so far that is slept through: LiteRT waits by asking again and again, which
takes a core from a GPU that is software."""
_TYPES = {"float32": 1, "int32": 2, "uint8": 3, "int64": 4, "bool": 6, "int8": 9, "float16": 10}
_Handle = ctypes.c_void_p


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
        self._library = _load()
        self._source, self._result = source, result
        self._environment = self._open()
        self._model = self._compile(model, precision)
        self._input = self._buffer("Input", source)
        self._output = self._buffer("Output", result)
        self._gate = self._buffer("Input", source)
        self._quickest_s = float("inf")

    @property
    def fully_accelerated(self) -> bool:
        """Whether LiteRT says that nothing is left to another processor."""
        answer = ctypes.c_bool()
        self._call("LiteRtCompiledModelIsFullyAccelerated", self._model, ctypes.byref(answer))
        return bool(answer.value)

    def run(self, values: NDArray[Any]) -> NDArray[Any]:
        """Copy the input in, run, wait, and copy the output out; shapes and types are the file's."""
        data = np.ascontiguousarray(values, np.dtype(self._source["dtype"]))
        if list(data.shape) != list(self._source["shape"]):
            raise ValueError(f"the input has shape {data.shape}, the file's {self._source['shape']}")
        place = self._lock(self._input, _WRITE)
        ctypes.memmove(place, data.ctypes.data, data.nbytes)
        self._call("LiteRtUnlockTensorBuffer", self._input)
        one, first = ctypes.c_size_t(1), ctypes.c_size_t(0)
        inputs, outputs = ctypes.byref(self._input), ctypes.byref(self._output)
        self._call("LiteRtRunCompiledModel", self._model, first, one, inputs, one, outputs)
        self._wait()
        found = np.empty(self._result["shape"], np.dtype(self._result["dtype"]))
        place = self._lock(self._output, _READ)
        ctypes.memmove(found.ctypes.data, place, found.nbytes)
        self._call("LiteRtUnlockTensorBuffer", self._output)
        return found

    def _open(self) -> _Handle:
        option = _Option(_RUNTIME_FOLDER, _Any(_STRING, str(_folder()).encode()))
        return self._made("LiteRtCreateEnvironment", 1, ctypes.byref(option))

    def _compile(self, model: Path, precision: str) -> _Handle:
        graph = self._made("LiteRtCreateModelFromFile", str(model).encode())
        options, gpu = self._made("LiteRtCreateOptions"), self._made("LiteRtCreateGpuOptions")
        self._call("LiteRtSetOptionsHardwareAccelerators", options, ACCELERATORS)
        self._call("LiteRtSetGpuAcceleratorCompilationOptionsPrecision", gpu, PRECISIONS[precision])
        self._call("LiteRtAddOpaqueOptions", options, gpu)
        return self._made("LiteRtCreateCompiledModel", self._environment, graph, options)

    def _buffer(self, role: str, tensor: dict[str, Any]) -> _Handle:
        first = ctypes.c_size_t(0)
        needs = self._made(f"LiteRtGetCompiledModel{role}BufferRequirements", self._model, first, first)
        kind = _TensorType(_TYPES[str(tensor["dtype"])], len(tensor["shape"]))
        kind.dimensions[: len(tensor["shape"])] = [int(side) for side in tensor["shape"]]
        create = "LiteRtCreateManagedTensorBufferFromRequirements"
        buffer = self._made(create, self._environment, ctypes.byref(kind), needs)
        size = ctypes.c_size_t()
        self._call("LiteRtGetTensorBufferSize", buffer, ctypes.byref(size))
        expected = int(np.prod(tensor["shape"])) * np.dtype(tensor["dtype"]).itemsize
        if size.value < expected:
            raise StatusError(f"LiteRT's {role.lower()} holds {size.value} bytes, {expected} are expected")
        return buffer

    def _wait(self) -> None:
        """Wait until the GPU is done, however long that takes.

        What is read from the GPU comes after all that it was given to do before. A read that LiteRT gave up
        leaves its buffer useless, so what is read here is a buffer that nobody needs, then another.
        """
        begun = time.monotonic()
        if self._quickest_s < float("inf"):
            time.sleep(_ASLEEP * self._quickest_s)
        while True:
            tried = time.monotonic()
            try:
                self._lock(self._gate, _READ)
                self._call("LiteRtUnlockTensorBuffer", self._gate)
                break
            except StatusError:
                if time.monotonic() - tried < IMPATIENT_S:
                    raise
                self._gate = self._buffer("Input", self._source)
        self._quickest_s = min(self._quickest_s, time.monotonic() - begun)

    def _lock(self, buffer: _Handle, mode: int) -> int:
        place = _Handle()
        self._call("LiteRtLockTensorBuffer", buffer, ctypes.byref(place), mode)
        if not place.value:
            raise StatusError("LiteRtLockTensorBuffer gave no memory")
        return place.value

    def _made(self, function: str, *arguments: Any) -> _Handle:
        """Call a function whose last argument is where it puts what it makes."""
        made = _Handle()
        self._call(function, *arguments, ctypes.byref(made))
        return made

    def _call(self, function: str, *arguments: Any) -> None:
        status = self._library[function](*arguments)
        if status:
            describe = self._library["LiteRtGetStatusString"]
            describe.restype = ctypes.c_char_p
            raise StatusError(f"{function}: {bytes(describe(status) or b'').decode()}")


def _folder() -> Path:
    import ai_edge_litert

    return Path(str(ai_edge_litert.__file__)).resolve().parent


def _load() -> ctypes.CDLL:
    # For all: the accelerator's own library, loaded later, looks for these functions.
    return ctypes.CDLL(str(_folder() / "libLiteRt.so"), ctypes.RTLD_GLOBAL)
