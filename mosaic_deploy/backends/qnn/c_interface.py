"""QNN's own libraries through their C interface: structures and functions, as far as they are used here.

In child processes only. The layouts are those of QNN's published interface (``QnnTypes.h``,
``QnnInterface.h`` and ``System/*.h``). What a library says is followed blindly: a file made to harm it can
end the process, and no more.
"""

from __future__ import annotations

from ctypes import (
    CDLL,
    CFUNCTYPE,
    POINTER,
    Structure,
    byref,
    c_char_p,
    c_float,
    c_int32,
    c_uint32,
    c_uint64,
    c_void_p,
)
from pathlib import Path
from typing import Any

from mosaic_deploy.errors import ToolError

HTP = 6
"""The number of the Hexagon backend."""
CORE_API = (2, 40)
"""Version of the core interface; another may have more functions, and a DLC's is handed on by value."""
_CORE_FUNCTIONS = 75
_SYSTEM_API = 1
_SYSTEM, _HEXAGON = "libQnnSystem.so", "libQnnHtp.so"
_Out = POINTER(c_void_p)


class Version(Structure):
    """``Qnn_Version_t``."""

    _fields_ = [("major", c_uint32), ("minor", c_uint32), ("patch", c_uint32)]


class Grid(Structure):
    """``Qnn_QuantizeParams_t`` with one scale: real = scale * (integer + offset)."""

    _fields_ = [
        ("definition", c_uint32),
        ("encoding", c_uint32),
        ("scale", c_float),
        ("offset", c_int32),
        ("more", c_uint64 * 3),
    ]


class Tensor(Structure):
    """The beginning of ``Qnn_Tensor_t``, which all its versions share."""

    _fields_ = [
        ("version", c_uint64),
        ("id", c_uint32),
        ("name", c_char_p),
        ("kind", c_uint32),
        ("format", c_uint32),
        ("dtype", c_uint32),
        ("grid", Grid),
        ("rank", c_uint32),
        ("dimensions", POINTER(c_uint32)),
    ]


class Graph(Structure):
    """The beginning of ``QnnSystemContext_GraphInfo_t``, which all its versions share."""

    _fields_ = [
        ("version", c_uint64),
        ("name", c_char_p),
        ("inputs", c_uint32),
        ("input", POINTER(Tensor)),
        ("outputs", c_uint32),
        ("output", POINTER(Tensor)),
    ]


class Metadata(Structure):
    """What the Hexagon backend adds to a binary: seen alike in those of each known architecture."""

    _fields_ = [("version", c_uint32), ("arch", c_uint32)]


class BinaryInfo(Structure):
    """``QnnSystemContext_BinaryInfo_t`` of version 3."""

    _fields_ = [
        ("version", c_uint32),
        ("unused", c_uint32),
        ("backend", c_uint32),
        ("build", c_char_p),
        ("core_api", Version),
        ("backend_api", Version),
        ("soc", c_char_p),
        ("context_version", Version),
        ("context_bytes", c_uint64),
        ("tensors", c_uint32),
        ("tensor", c_void_p),
        ("graphs", c_uint32),
        ("graph", POINTER(Graph)),
        ("platform", c_void_p),
        ("metadata_bytes", c_uint32),
        ("metadata", POINTER(Metadata)),
    ]


class Core(Structure):
    """``QnnInterface_t`` of a backend."""

    _fields_ = [
        ("backend", c_uint32),
        ("name", c_char_p),
        ("core_api", Version),
        ("backend_api", Version),
        ("functions", c_void_p * _CORE_FUNCTIONS),
    ]


class System(Structure):
    """``QnnSystemInterface_t``, which needs no backend."""

    _fields_ = [("id", c_uint32), ("name", c_char_p), ("api", Version), ("functions", c_void_p * 13)]


_SYSTEM_CALLS: dict[str, tuple[int, tuple[Any, ...]]] = {
    "create": (0, (_Out,)),
    "read_binary": (2, (c_void_p, c_char_p, c_uint64, POINTER(POINTER(BinaryInfo)))),
    "open_dlc": (8, (c_void_p, c_char_p, _Out)),
    "compose": (10, (c_void_p, c_void_p, c_uint32, c_void_p, c_void_p, Core, c_uint32,
                     POINTER(POINTER(Graph)), POINTER(c_uint32))),
}  # fmt: skip
"""Name here -> place in the table, and types of the arguments."""
_CORE_CALLS: dict[str, tuple[int, tuple[Any, ...]]] = {
    "create_backend": (1, (c_void_p, c_void_p, _Out)),
    "create_context": (9, (c_void_p, c_void_p, c_void_p, _Out)),
    "binary_size": (11, (c_void_p, POINTER(c_uint64))),
    "binary": (12, (c_void_p, c_void_p, c_uint64, POINTER(c_uint64))),
    "finalize": (19, (c_void_p, c_void_p, c_void_p)),
    "retrieve": (20, (c_void_p, c_char_p, _Out)),
    "create_device": (40, (c_void_p, c_void_p, _Out)),
}


def system() -> System:
    """The functions that read files; raises ``ToolError`` where the library offers none that is known."""
    provider: System = _provider(_SYSTEM, "QnnSystemInterface_getProviders", System)
    if provider.api.major != _SYSTEM_API:
        raise ToolError(f"QNN's system interface is {provider.api.major}, {_SYSTEM_API} is known here")
    return provider


def hexagon() -> Core:
    """The Hexagon's compiler; raises ``ToolError`` where its interface is another than what is known."""
    provider: Core = _provider(_HEXAGON, "QnnInterface_getProviders", Core)
    version = (provider.core_api.major, provider.core_api.minor)
    if version != CORE_API:
        raise ToolError(f"QNN's core interface is {version}, {CORE_API} is what is known here")
    return provider


def invoke(provider: System | Core, name: str, *arguments: Any) -> int:
    """Call a function by its name here; 0 is success."""
    place, types = (_SYSTEM_CALLS if isinstance(provider, System) else _CORE_CALLS)[name]
    return int(CFUNCTYPE(c_uint64, *types)(provider.functions[place])(*arguments))


def _provider(library: str, function: str, kind: Any) -> Any:
    import onnxruntime_qnn

    found = CDLL(str(Path(onnxruntime_qnn.get_library_path()).with_name(library)))
    providers, count = POINTER(POINTER(kind))(), c_uint32()
    if found[function](byref(providers), byref(count)) or not count.value:
        raise ToolError(f"{library} offers nothing")
    return providers[0].contents
