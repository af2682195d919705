"""Two graphs on the same inputs, tensor by tensor, on ONNX Runtime: the child's side of ``fix``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.errors import ModelError
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject

_TYPES = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8}


def compare(request: JsonObject, on_progress: OnProgress) -> JsonObject:
    """Run ``before`` and ``after`` (paths) on random numbers and on the ``.npy`` files in ``inputs``.

    ``random`` is a count, ``seed`` starts them, and ``tensors`` names outputs that both graphs have.

    Returns:
        ``errors``: for each tensor the largest difference as a share of its range, or of integers the share
        that differ; the worst of all inputs. Infinite where shapes differ or one is not finite.

    Raises:
        ModelError: ONNX Runtime cannot load or run one of them.
    """
    names = [str(name) for name in request["tensors"]]
    before, after = (_session(Path(request[key])) for key in ("before", "after"))
    errors = dict.fromkeys(names, 0.0)
    feeds = list(_feeds(before.get_inputs()[0], request))
    for index, feed in enumerate(feeds):
        pairs = zip(_run(before, names, feed), _run(after, names, feed), strict=True)
        for name, (old, new) in zip(names, pairs, strict=True):
            errors[name] = max(errors[name], difference(old, new))
        on_progress((index + 1) / len(feeds), "")
    return {"errors": {name: min(error, 1e30) for name, error in errors.items()}}


def difference(old: NDArray[Any], new: NDArray[Any]) -> float:
    """Largest difference as a share of the first one's range; of integers, the share that differ."""
    if old.shape != new.shape or old.dtype != new.dtype:
        return float("inf")
    if not old.size:
        return 0.0
    if not np.issubdtype(old.dtype, np.floating):
        return float(np.count_nonzero(old != new) / old.size)
    known = np.isfinite(old)
    if not np.array_equal(known, np.isfinite(new)) or not np.array_equal(
        old[~known], new[~known], equal_nan=True
    ):
        return float("inf")
    if not known.any():
        return 0.0
    a, b = old[known].astype(np.float64), new[known].astype(np.float64)
    spread = float(a.max() - a.min()) or float(np.abs(a).max()) or 1.0
    return float(np.abs(a - b).max()) / spread


def _session(path: Path) -> Any:  # ONNX Runtime has no types
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    # Unoptimised, both graphs run node by node, and tensors in the middle can be read.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return ort.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    except Exception as err:
        raise _translated(err) from err


def _run(session: Any, names: list[str], feed: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
    try:
        found: list[NDArray[Any]] = session.run(names, feed)
    except Exception as err:
        raise _translated(err) from err
    return found


def _translated(err: Exception) -> Exception:
    if not type(err).__module__.startswith("onnxruntime"):
        return err
    return ModelError(f"ONNX Runtime does not run the graph: {str(err).splitlines()[0][:300]}")


def _feeds(image: Any, request: JsonObject) -> Iterator[dict[str, NDArray[Any]]]:
    rng = np.random.default_rng(int(request["seed"]))
    dtype = _TYPES[image.type]
    for _ in range(int(request["random"])):
        if dtype is np.uint8:
            yield {image.name: rng.integers(0, 256, image.shape).astype(np.uint8)}
        else:
            yield {image.name: rng.normal(size=image.shape).astype(np.float32)}
    for path in request["inputs"]:
        yield {image.name: np.load(path, allow_pickle=False)}
