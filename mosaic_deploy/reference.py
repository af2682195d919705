"""The float reference: ONNX Runtime's CPU kernels in float32; runs in a child process."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mosaic_deploy.errors import ModelError

_THREADS = 2


def predict(request: dict[str, object], tick: Callable[[float, str], None]) -> dict[str, object]:
    """Run ``request["onnx"]`` on each of ``request["inputs"]`` (.npy) into ``request["outputs"]`` (.npy).

    Returns:
        ``version`` of ONNX Runtime.

    Raises:
        ModelError: ONNX Runtime cannot load or run the graph.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = _THREADS
    inputs, outputs = request["inputs"], request["outputs"]
    if not isinstance(inputs, list) or not isinstance(outputs, list):
        raise TypeError("inputs and outputs are lists of paths")
    try:
        session = ort.InferenceSession(str(request["onnx"]), options, ["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        for index, (source, place) in enumerate(zip(inputs, outputs, strict=True)):
            result = session.run(None, {name: np.load(source, allow_pickle=False)})[0]
            np.save(place, result, allow_pickle=False)
            tick((index + 1) / len(inputs), "")
    except Exception as err:
        if type(err).__module__.startswith("onnxruntime"):
            reason = str(err).splitlines()[0][:300]
            raise ModelError(f"ONNX Runtime does not run the float graph: {reason}") from err
        raise
    return {"version": ort.__version__}
