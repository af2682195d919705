"""Two graphs on the same inputs, tensor by tensor, on ONNX Runtime: the child's side of ``fix``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.graph.execute import Port, Session
from mosaic_deploy.graph.shares import shares
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
    import onnx

    names = [str(name) for name in request["tensors"]]
    bounded = shares(onnx.load(request["before"]))
    before, after = (Session(Path(request[key])) for key in ("before", "after"))
    errors = dict.fromkeys(names, 0.0)
    feeds = list(random_and_given(before.inputs[0], request))
    for index, feed in enumerate(feeds):
        pairs = zip(before.run(feed, names), after.run(feed, names), strict=True)
        for name, (old, new) in zip(names, pairs, strict=True):
            errors[name] = max(errors[name], difference(old, new, least=float(name in bounded)))
        on_progress((index + 1) / len(feeds), "")
    return {"errors": {name: min(error, 1e30) for name, error in errors.items()}}


def difference(old: NDArray[Any], new: NDArray[Any], *, least: float = 0.0) -> float:
    """Largest difference as a share of the first one's range; of integers, the share that differ.

    ``least`` is the smallest range that counts as one.
    """
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
    spread = max(float(a.max() - a.min()) or float(np.abs(a).max()), least) or 1.0
    return float(np.abs(a - b).max()) / spread


def random_and_given(image: Port, request: JsonObject) -> Iterator[dict[str, NDArray[Any]]]:
    """Yield feeds of random numbers, as many as ``random`` says from ``seed`` on, then the ``inputs``."""
    rng = np.random.default_rng(int(request["seed"]))
    dtype = _TYPES[image.type]
    for _ in range(int(request["random"])):
        if dtype is np.uint8:
            yield {image.name: rng.integers(0, 256, image.shape).astype(np.uint8)}
        else:
            yield {image.name: rng.normal(size=image.shape).astype(np.float32)}
    for path in request["inputs"]:
        yield {image.name: np.load(path, allow_pickle=False)}
