"""Qualcomm's Hexagon compiler (HTP) and its simulator, through ONNX Runtime's QNN provider.

A case is compiled whole for a device, nothing left to the CPU, and run on the simulator, which computes what
each of the devices would.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.backends.oracle.compare import (
    EIGHT_BITS,
    IN_HALF,
    SIXTEEN_BITS,
    Arrays,
    NoReferenceError,
    Tolerance,
    compare_outputs,
    for_chain,
    from_tool,
    reference,
    said,
    with_work,
)
from mosaic_deploy.backends.oracle.outcome import CaseOutcome
from mosaic_deploy.backends.oracle.qdq import Ends, Quantized, quantize, recipe_of
from mosaic_deploy.backends.qnn.quantize import _fuse, _insert
from mosaic_deploy.errors import ModelError
from mosaic_deploy.quantize.ort_tools import tool
from mosaic_deploy.specs.precision import Precision
from mosaic_deploy.specs.toolchain import load_toolchain, toolchain_python, unavailable
from mosaic_deploy.workers.call import GIB, Call, call
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject

TOOLCHAIN = "qnn"
PRECISIONS: tuple[Precision, ...] = ("float", "w8a8", "w8a16")
SECONDS = 120.0
MEMORY_BYTES = 6 * GIB

_CHIPS: Mapping[str, str] = {"v68": "30", "v69": "36", "v73": "43", "v75": "57", "v79": "69", "v81": "87"}
"""Each architecture with a chip that has it (SM8350 to SM8850), by QNN's number. Without a chip the compiler
supposes one that no device is: it computes floats in float32, and takes for v68 what a v68 has not."""
_USUAL = ("v68", "v75")
"""The oldest and the newest that the target builds for; others take what v75 takes, nearly always."""
_TOOL = "onnxruntime-qnn"
_EP = "QNNExecutionProvider"
_FALLBACK = "fallback to CPU EP has been explicitly disabled"
_IDLE = ("Identity", "Dropout", "Transpose")
"""Alone between two quantisers, ONNX Runtime's optimiser makes them something that the provider leaves."""
_TOLERANCES: Mapping[Precision, Tolerance] = {
    "float": IN_HALF,
    "w8a8": EIGHT_BITS,
    "w8a16": SIXTEEN_BITS,
}


def devices(*, everywhere: bool) -> tuple[str, ...]:
    """The architectures of the table, or the two that are enough for a random case."""
    return tuple(_CHIPS) if everywhere else _USUAL


def missing() -> str:
    """Why the toolchain cannot be had here, or nothing."""
    return unavailable(TOOLCHAIN) or ""


@cache
def version() -> str:
    """Of the provider, and of the QNN libraries in it."""
    with TemporaryDirectory(prefix="mosaic-qnn-") as scratch:
        log, cwd = Path(scratch) / "log", Path(scratch) / "work"
        job = Call(sdk_version, {}, 60, GIB, log, cwd, name="QNN", interpreter=toolchain_python(TOOLCHAIN))
        sdk = call(job).result["sdk"]
    return f"{load_toolchain(TOOLCHAIN).version(_TOOL)} (QNN {sdk})"


def sdk_version(_request: JsonObject, _on_progress: OnProgress) -> JsonObject:
    """Return ``sdk``, the version of the QNN libraries in the provider: the child's part."""
    from onnxruntime_qnn.build_and_package_info import qnn_version

    return {"sdk": qnn_version.rpartition(".")[0]}


def environment() -> Mapping[str, str]:
    """One thread: cases are small, and several children run at a time."""
    return {"OMP_NUM_THREADS": "1"}


def begin() -> None:
    """Import the runtimes and register the provider."""
    import onnxruntime as ort
    import onnxruntime_qnn

    tool("onnx_model_utils")  # before the quantiser, which would load PyTorch with it
    importlib.import_module("onnxruntime.quantization.execution_providers.qnn")

    ort.set_default_logger_severity(4)
    if not any(device.ep_name == _EP for device in ort.get_ep_devices()):
        ort.register_execution_provider_library(_EP, onnxruntime_qnn.get_library_path())


def attempt(
    name: str,
    model: bytes,
    feeds: Mapping[str, NDArray[Any]],
    precision: Precision,
    devices: tuple[str, ...],
    scratch: Path,
) -> tuple[CaseOutcome, ...]:
    """Compile for each device, run it there, and compare with ONNX Runtime's CPU kernels."""
    allowed = for_chain(_TOLERANCES[precision], model)
    model = with_work(model, idle=_IDLE if precision != "float" else ())
    model, outputs = _inside(model)
    case = Quantized(model, _rounded(feeds), outputs)
    try:
        expected = case.floats(reference(case.model, case.feeds))
    except NoReferenceError as err:
        return tuple(CaseOutcome(name, device, "no-reference", said(err)) for device in devices)
    if precision != "float":
        try:
            case = quantize(
                model, feeds, prepare=_fuse, insert=_insert, recipe=recipe_of(precision), scratch=scratch
            )
            expected = case.floats(reference(case.model, case.feeds))
        except (ModelError, NoReferenceError) as err:  # what cannot be quantised cannot be built
            return tuple(CaseOutcome(name, device, "fails-to-compile", said(err)) for device in devices)
    return tuple(_tried(name, device, case, expected, allowed) for device in devices)


def _tried(name: str, device: str, case: Quantized, expected: Arrays, allowed: Tolerance) -> CaseOutcome:
    try:
        session = _session(case.model, device)
        answer = session.run(None, dict(case.feeds))
    except Exception as err:
        if not from_tool(err):
            raise
        refused = _FALLBACK in str(err)
        return CaseOutcome(
            name, device, "falls-back" if refused else "fails-to-compile", "" if refused else said(err)
        )
    found = compare_outputs(
        expected, case.floats(answer), tolerance=allowed, feeds=case.feeds, scales=case.scales
    )
    return CaseOutcome(name, device, "runs" if found.right else "wrong", found.error, found.difference)


def _session(model: bytes, device: str) -> Any:
    """Compile a model for a device, nothing left to the CPU."""
    import onnxruntime as ort
    import onnxruntime_qnn

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    provider = {
        "backend_path": onnxruntime_qnn.get_qnn_htp_path(),
        "htp_arch": device.removeprefix("v"),
        "htp_graph_finalization_optimization_mode": "3",
        "soc_model": _CHIPS[device],
    }
    found = [each for each in ort.get_ep_devices() if each.ep_name == _EP]
    options.add_provider_for_devices(found[:1], provider)
    return ort.InferenceSession(model, options, disable_fallback=True)


def _inside(model: bytes) -> tuple[bytes, tuple[Ends, ...]]:
    """Put an Add between a quantiser and the graph's end, where the provider would leave it to the CPU.

        in -> Q -> out          becomes   in -> Add -> Q -> out
        in -> DQ -> out         becomes   in -> DQ -> Add -> out

    Returns:
        The graph, and its outputs: what Q makes counts as floats, for float16 may round to the next integer.
    """
    import onnx

    graph = onnx.load_from_string(model)
    nodes, made, outputs = list(graph.graph.node), set[str](), []
    for node in nodes:
        if node.op_type == "QuantizeLinear" and node.input[0] in {v.name for v in graph.graph.input}:
            source, inner = node.input[0], f"{node.name}/inside"
            node.input[0] = inner
            graph.graph.node.insert(0, onnx.helper.make_node("Add", [source, source], [inner], inner))
        if node.op_type == "DequantizeLinear" and node.output[0] in {v.name for v in graph.graph.output}:
            result, inner = node.output[0], f"{node.name}/inside"
            node.output[0] = inner
            graph.graph.node.append(onnx.helper.make_node("Add", [inner, inner], [result], inner))
        if node.op_type == "QuantizeLinear":
            made.add(node.output[0])
    for value in graph.graph.output:
        kind = str(onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))
        outputs.append(Ends(value.name, 1.0 if value.name in made else None, 0, kind))
    return graph.SerializeToString(), tuple(outputs)


def _rounded(feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Floats that float16 holds: HTP computes in it, and comparisons would else hang on the rounding."""
    return {
        name: values.astype(np.float16).astype(np.float32) if values.dtype == np.float32 else values
        for name, values in feeds.items()
    }
