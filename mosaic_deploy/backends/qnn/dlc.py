"""A DLC, which is tied to no architecture, compiled for one as Qualcomm's tools do; in child processes."""

from __future__ import annotations

from ctypes import POINTER, Structure, addressof, byref, c_uint32, c_uint64, c_void_p, create_string_buffer
from pathlib import Path

from mosaic_deploy.backends.qnn.c_interface import Core, Graph, hexagon, invoke, system
from mosaic_deploy.errors import ModelError, ToolError

_ARCH = 1
_GRAPH_INFO = 1


class _ArchOption(Structure):
    """``QnnHtpDevice_CustomConfig_t``."""

    _fields_ = [("option", c_uint64), ("device", c_uint32), ("arch", c_uint32)]


class _Option(Structure):
    """``QnnDevice_Config_t`` of a backend's own."""

    _fields_ = [("option", c_uint64), ("own", c_void_p)]


def compile_dlc(dlc: Path, arch: int, out: Path) -> None:
    """Compile the only network of a DLC for a Hexagon architecture, into a context binary.

    An architecture that the compiler does not know gives one of another: look into what came out.

    Raises:
        ModelError: it is no DLC of one network, or the Hexagon compiler does not take it.
        ToolError: the compiler cannot be used.
    """
    reader, compiler = system(), hexagon()
    backend, context = _start(compiler, arch)
    opened, graphs, count = c_void_p(), POINTER(Graph)(), c_uint32()
    refused = invoke(reader, "open_dlc", None, str(dlc).encode(), byref(opened))
    if refused:
        raise ModelError(f"{dlc.name}: no DLC that QNN can read (its error {refused}), or a damaged one")
    refused = invoke(
        reader,
        "compose",
        opened,
        None,
        0,
        backend,
        context,
        compiler,
        _GRAPH_INFO,
        byref(graphs),
        byref(count),
    )
    if refused:
        raise ModelError(f"{dlc.name}: the Hexagon compiler does not take it for v{arch} (error {refused})")
    if count.value != 1:
        raise ModelError(f"{dlc.name}: holds {count.value} networks, one is expected")
    graph, size, written = c_void_p(), c_uint64(), c_uint64()
    refused = invoke(compiler, "retrieve", context, graphs[0].name, byref(graph)) or invoke(
        compiler, "finalize", graph, None, None
    )
    if refused:
        raise ModelError(f"{dlc.name}: the Hexagon compiler cannot finish it for v{arch} (error {refused})")
    failed = invoke(compiler, "binary_size", context, byref(size))
    binary = create_string_buffer(size.value)
    failed = failed or invoke(compiler, "binary", context, binary, size.value, byref(written))
    if failed or not 0 < written.value <= size.value:
        raise ToolError(f"{dlc.name}: the Hexagon compiler gives no binary for v{arch} (error {failed})")
    out.write_bytes(binary.raw[: written.value])


def _start(compiler: Core, arch: int) -> tuple[c_void_p, c_void_p]:
    """A backend, and an empty context for an architecture."""
    backend, device, context = c_void_p(), c_void_p(), c_void_p()
    own = _ArchOption(_ARCH, 0, arch)
    option = _Option(0, addressof(own))
    options = (c_void_p * 2)(addressof(option), None)
    failed = (
        invoke(compiler, "create_backend", None, None, byref(backend))
        or invoke(compiler, "create_device", None, addressof(options), byref(device))
        or invoke(compiler, "create_context", backend, device, None, byref(context))
    )
    if failed:
        raise ToolError(f"the Hexagon compiler does not start for v{arch} (error {failed})")
    return backend, context
