"""A file in ONNX Runtime's own format on its CPU kernels; runs in a child process."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from mosaic_deploy.backends.ort.fallback import fallback_of, seconds_of
from mosaic_deploy.backends.ort.ort_file import nodes, require_portable
from mosaic_deploy.backends.time_shares import time_shares
from mosaic_deploy.errors import ToolError
from mosaic_deploy.quantize.boundary import to_floats, to_integers
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject


def predict(request: JsonObject, on_progress: OnProgress) -> JsonObject:
    """Run ``request["ort"]`` on each of ``inputs`` (.npy) into ``outputs`` (.npy), with ``threads``.

    ``input`` and ``output`` are the facts of the two; floats are quantised first and integer scores
    dequantised afterwards, as an application would.

    Returns:
        ``version``; ``nodes`` and ``outside`` as ``convert.to_ort`` does; ``fallback``, see
        ``fallback.fallback_of``; ``time_shares`` of kinds of nodes; ``saturates``, whether this CPU's integer
        sums stop at 16 bits, which a phone's do not.

    Raises:
        RefusedError: the file holds kernels of x86 only.
        ToolError: it does not load or run.
    """
    import onnxruntime as ort

    path = Path(request["ort"])
    found = nodes(path)
    require_portable(found, file=path.name)
    session = open_file(path, request["threads"], spin=False, profile=True)
    source, result = request["input"], request["output"]
    pairs = list(zip(request["inputs"], request["outputs"], strict=True))
    for index, (image, place) in enumerate(pairs):
        feed = to_integers(np.load(image, allow_pickle=False), source)
        np.save(place, to_floats(_run(session, source, feed), result), allow_pickle=False)
        on_progress((index + 1) / len(pairs), f"image {index + 1} of {len(pairs)}")
    outside = [node.title for node in found if node.floats]
    spent = seconds_of(Path(session.end_profiling()))
    fallback, shares = fallback_of(found, spent), time_shares((n.op, spent.get(n.name, 0.0)) for n in found)
    facts = {"nodes": len(found), "outside": outside, "fallback": fallback, "saturates": _saturates()}
    return {**facts, "time_shares": shares, "version": ort.__version__}


def time_here(request: JsonObject, _on_progress: OnProgress) -> JsonObject:
    """Time ``request["ort"]`` on ``image`` (.npy), ``runs`` times after ``warm_up``, with ``threads``.

    Returns ``seconds`` of each run, integers in to integers out, and ``version``; raises as ``predict`` does.
    """
    import onnxruntime as ort

    path = Path(request["ort"])
    require_portable(nodes(path), file=path.name)
    session = open_file(path, request["threads"], spin=True)
    feed = to_integers(np.load(request["image"], allow_pickle=False), request["input"])
    seconds = []
    for _ in range(request["warm_up"] + request["runs"]):
        begun = time.perf_counter()
        _run(session, request["input"], feed)
        seconds.append(time.perf_counter() - begun)
    return {"seconds": seconds[request["warm_up"] :], "version": ort.__version__}


def open_file(path: Path, threads: int, *, spin: bool, profile: bool = False) -> Any:
    """Open a session that runs the file as it is: nothing is optimised any more, nothing replaced.

    Raises ``ToolError`` where it does not load.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.load_model_format", "ORT")
    if profile:  # into a file in the working folder
        options.enable_profiling = True
    if not spin:  # the default, and the fastest; but it takes a core from whoever else works here
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    except Exception as err:
        if not type(err).__module__.startswith("onnxruntime"):
            raise
        raise _failed(path.name, "does not load", err) from err


def _run(session: Any, source: JsonObject, feed: Any) -> Any:
    try:
        return session.run(None, {source["name"]: feed})[0]
    except Exception as err:
        if not type(err).__module__.startswith("onnxruntime"):
            raise
        raise _failed(source["name"], "is not taken", err) from err


def _failed(what: str, how: str, err: Exception) -> ToolError:
    reason = str(err).strip().splitlines()[0][:300]
    return ToolError(f"ONNX Runtime: {what} {how}: {reason}")


def _saturates() -> bool:
    """Whether a product of bytes is summed in 16 bits here: x86 without VNNI does that, ARM does not."""
    import onnx
    import onnxruntime as ort

    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 18]>
        sum (uint8[4, 64] a) => (int32[4, 16] y) { y = MatMulInteger(a, b) }
    """)
    ones = np.full((64, 16), 127, np.int8)
    model.graph.initializer.append(onnx.numpy_helper.from_array(ones, "b"))
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    sums = session.run(None, {"a": np.full((4, 64), 255, np.uint8)})[0]
    return bool((sums != 64 * 127 * 255).any())
