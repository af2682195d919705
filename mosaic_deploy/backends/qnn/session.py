"""Qualcomm's QNN provider of ONNX Runtime, with nothing left to the CPU; used in child processes only.

On x86 the library behind ``backend_path`` holds the real Hexagon compiler and a simulator of its results.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mosaic_deploy.errors import RefusedError, ToolError

EP = "QNNExecutionProvider"
_GLUE = ("QuantizeLinear", "DequantizeLinear", "Transpose")
_FALLBACK = "fallback to CPU EP has been explicitly disabled"


_ALL, _WARNINGS = 0, 2
"""Severities from which on ONNX Runtime logs."""


@contextmanager
def talkative() -> Iterator[None]:
    """Let the Hexagon backend log everything in this block: what it says goes where the provider's does."""
    import onnxruntime as ort

    ort.set_default_logger_severity(_ALL)
    try:
        yield
    finally:
        ort.set_default_logger_severity(_WARNINGS)


def open_session(onnx: Path, *, provider: Mapping[str, str], entries: Mapping[str, str]) -> Any:
    """Open an ``onnxruntime.InferenceSession`` on the Hexagon backend alone.

    Args:
        onnx: a QDQ graph, or a compiled context.
        provider: options of the QNN provider beside its backend.
        entries: session configuration beside the ban on falling back to the CPU.

    Raises:
        RefusedError: an operator is not taken; it is named.
        ToolError: the compiler or the loader fails.
    """
    try:
        return _session(onnx, provider, {"session.disable_cpu_ep_fallback": "1", **entries})
    except Exception as err:
        if not type(err).__module__.startswith("onnxruntime"):
            raise
        if _FALLBACK in str(err):
            refused = _left_to_cpu(onnx, provider)
            raise RefusedError(f"the Hexagon compiler does not take {refused}") from err
        raise ToolError(f"the Hexagon compiler fails on {onnx.name}: {_reason(err)}") from err


def _session(onnx: Path, provider: Mapping[str, str], entries: Mapping[str, str]) -> Any:
    import onnxruntime as ort
    import onnxruntime_qnn

    if not any(device.ep_name == EP for device in ort.get_ep_devices()):
        ort.register_execution_provider_library(EP, onnxruntime_qnn.get_library_path())
    devices = [device for device in ort.get_ep_devices() if device.ep_name == EP]
    if not devices:
        raise ToolError("onnxruntime-qnn offers no device on this machine")
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    for key, value in entries.items():
        options.add_session_config_entry(key, value)
    backend = {"backend_path": onnxruntime_qnn.get_qnn_htp_path()}
    options.add_provider_for_devices(devices[:1], {**backend, **provider})
    return ort.InferenceSession(str(onnx), options)


def _left_to_cpu(onnx: Path, provider: Mapping[str, str]) -> str:
    """Name the operators that the provider leaves to the CPU, when it may."""
    try:
        session = _session(onnx, provider, {"session.record_ep_graph_assignment_info": "1"})
        left = [
            (str(node.op_type), str(node.name))
            for part in session.get_provider_graph_assignment_info()
            if part.ep_name != EP
            for node in part.get_nodes()
        ]
    except Exception as err:
        if not type(err).__module__.startswith("onnxruntime"):
            raise
        return f"part of the graph, which ONNX Runtime does not either: {_reason(err)}"
    operators = [node for node in left if node[0] not in _GLUE] or left
    named = [f"{op} '{name}'" if name else op for op, name in operators]
    more = f" and {len(named) - 3} more" if len(named) > 3 else ""
    return (", ".join(named[:3]) or "part of the graph") + more


def _reason(err: Exception) -> str:
    return str(err).strip().splitlines()[0][:300]
