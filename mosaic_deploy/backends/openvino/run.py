"""Run and time OpenVINO's files on one of its devices; runs in child processes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaic_deploy.backends.openvino.fallback import fallback_of
from mosaic_deploy.backends.openvino.ir import bring_openvino, read, reason
from mosaic_deploy.backends.openvino.precision import judge, nodes_of
from mosaic_deploy.backends.time_shares import time_shares
from mosaic_deploy.errors import ToolError
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject

if TYPE_CHECKING:
    import openvino

_CPU = "CPU"
_VIRTUAL = ("AUTO", "HETERO")
"""What OpenVINO takes for a device and does not list among them."""


def predict(request: JsonObject, on_progress: OnProgress) -> JsonObject:
    """Run ``request["xml"]`` on ``request["device"]`` for each of ``inputs`` (.npy) into ``outputs`` (.npy).

    The request further holds ``hint``, the precision for floats (``f32``; None leaves it to the device),
    and ``arithmetic``: what it must really compute in (``float32`` or ``int8``; None only states it).

    Returns:
        ``version``, ``device`` in words, ``devices`` that OpenVINO finds here, and ``facts``: see
        ``precision.judge``, and of an int8 network ``fallback``, see
        ``fallback.fallback_of``, and ``time_shares`` of kinds of nodes.

    Raises:
        ModelError: the files are damaged.
        ToolError: the device is not there, or does not take the network.
        RefusedError: it computes in another precision than it must.
    """
    ov = bring_openvino()
    device = request["device"]
    timed = {"PERF_COUNT": True} if request["arithmetic"] == "int8" else {}
    core, compiled = compile_file(Path(request["xml"]), device, timed, request["hint"])
    nodes = nodes_of(compiled)
    if request["arithmetic"] is None:
        facts: JsonObject = {"precision": "+".join(sorted({node.precision for node in nodes})) or "unknown"}
    else:
        facts = judge(nodes, arithmetic=request["arithmetic"])
    runner = compiled.create_infer_request()
    pairs = list(zip(request["inputs"], request["outputs"], strict=True))
    for index, (source, place) in enumerate(pairs):
        runner.infer([np.load(source, allow_pickle=False)])
        np.save(place, runner.get_output_tensor().data, allow_pickle=False)
        on_progress((index + 1) / len(pairs), f"image {index + 1} of {len(pairs)}")
    if timed and pairs:
        spent = _seconds(runner)
        facts["fallback"] = fallback_of(read(Path(request["xml"])), nodes, spent)
        facts["time_shares"] = time_shares((node.kind, spent.get(node.name, 0.0)) for node in nodes)
    name = str(core.get_property(device, "FULL_DEVICE_NAME")) if device == _CPU else device
    found = list(core.available_devices)
    return {"version": ov.__version__, "device": name, "devices": found, "facts": facts}


def _seconds(runner: Any) -> dict[str, float]:
    """What each node takes, by the plugin's clock, in one more run on the image that it has."""
    runner.infer()
    return {each.node_name: each.real_time.total_seconds() for each in runner.profiling_info}


def time_here(request: JsonObject, on_progress: OnProgress) -> JsonObject:  # noqa: ARG001  # a worker's signature
    """Time ``request["xml"]`` on ``device``: ``warm_up`` runs, then ``runs``, on ``threads`` threads.

    The input lies in memory and the output is left there, as in a C++ application.

    Returns:
        ``seconds`` of each run, and ``version``.
    """
    ov = bring_openvino()
    threads = {"INFERENCE_NUM_THREADS": request["threads"]} if request["device"] == _CPU else {}
    _, compiled = compile_file(Path(request["xml"]), request["device"], threads, request["hint"])
    runner = compiled.create_infer_request()
    runner.set_input_tensor(ov.Tensor(np.load(request["input"], allow_pickle=False)))
    seconds = []
    for _ in range(request["warm_up"] + request["runs"]):
        begun = time.perf_counter()
        runner.infer()
        seconds.append(time.perf_counter() - begun)
    return {"seconds": seconds[request["warm_up"] :], "version": ov.__version__}


def compile_file(
    xml: Path, device: str, settings: JsonObject, hint: str | None
) -> tuple[Any, openvino.CompiledModel]:
    """Compile for one synchronous request at a time; the core, which must live on, and what it made."""
    ov = bring_openvino()
    core = ov.Core()
    wanted = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1", **settings}
    if hint is not None:
        # Not a matter of speed alone: without it this CPU's floats may be bfloat16.
        wanted["INFERENCE_PRECISION_HINT"] = hint
    found = core.available_devices
    if device.partition(":")[0] not in (*found, *_VIRTUAL):
        raise ToolError(f"OpenVINO finds no {device} on this machine, only {', '.join(found)}")
    model = read(xml)
    try:
        return core, core.compile_model(model, device, wanted)
    except RuntimeError as err:
        raise ToolError(f"OpenVINO's {device} does not take {xml.name}: {reason(err)}") from err
