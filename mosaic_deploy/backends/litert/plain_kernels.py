"""A TFLite file on LiteRT's own kernels, held against the same file on XNNPACK; for child processes.

XNNPACK loads files that LiteRT's kernels refuse, and computes what a file states where they compute what they
always do. A phone's application may run either, and an Edge TPU's compiler reads a file as the latter.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.backends.litert import xnnpack
from mosaic_deploy.errors import RefusedError
from mosaic_deploy.quantize.boundary import to_floats
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject

LIMITS = {"float32": 1e-3, "int8": 0.05, "ids": 0.1}
"""What may differ: of scores the root mean square, as a share of their range; of ids the share of pixels.

Both round integers otherwise at every operator: measured on MOSAIC in int8, on street scenes and photographs,
0.003 to 0.006 of the range, and 0.2 to 2.5 % of the pixels. A network that carries rounding on, deep or with
random weights, makes more of it: ``_APART`` of what rounding moves its integers away from its floats is
allowed as well.
"""
_APART = 1.5
"""Two roundings that know nothing of each other are sqrt(2) times as far apart as each is from the floats."""


def compare(request: JsonObject, _on_progress: OnProgress) -> JsonObject:
    """Run ``request["model"]`` once on each.

    The request further holds ``image`` (.npy as the contract prepares it, or None for noise), ``input`` and
    ``output`` (the facts of a build), ``threads``, and ``floats``: the same three of the file in float that a
    file of integers was made of, else None.

    Returns:
        ``difference`` and ``limit``, as ``LIMITS`` says.

    Raises:
        ModelError: XNNPACK does not load the file.
        RefusedError: LiteRT's own kernels do not, or they make something else of it.
    """
    model, source, result = Path(request["model"]), request["input"], request["output"]
    values = _values(request["image"], source)
    expected = xnnpack.once(xnnpack.open_file(model, threads=request["threads"]), values)
    try:
        found = xnnpack.once(_without_delegate(model, threads=request["threads"]), values)
    except (RuntimeError, ValueError) as err:
        reason = (str(err).strip().splitlines() or ["no reason given"])[0][:300]
        raise RefusedError(
            f"{model.name}: XNNPACK runs it, and LiteRT's own kernels do not ({reason}): "
            "replace the operator, or build another target"
        ) from err
    limit = LIMITS[_kind(source, result)]
    difference = _difference(to_floats(expected, result), to_floats(found, result))
    if difference > limit and request["floats"] is not None and request["image"] is not None:
        limit = max(limit, _APART * _rounding(request, to_floats(expected, result)))
    if not difference <= limit:
        raise RefusedError(
            f"{model.name}: LiteRT's own kernels make something else of it than XNNPACK does: outputs differ "
            f"by {difference:.3g}, {limit:g} is allowed: build another recipe or target"
        )
    return {"difference": difference, "limit": limit}


def _rounding(request: JsonObject, integers: NDArray[Any]) -> float:
    """How far integers are from the floats that they stand for, in the measure of ``LIMITS``."""
    floats: JsonObject = request["floats"]
    values = _values(request["image"], floats["input"])
    made = xnnpack.once(xnnpack.open_file(Path(floats["model"]), threads=request["threads"]), values)
    return _difference(to_floats(made, floats["output"]), integers)


def _kind(source: JsonObject, result: JsonObject) -> str:
    """Which limit holds; scores in float that come of integers carry the rounding of these."""
    if result["scale"] is None and result["dtype"] != "float32":
        return "ids"
    return "int8" if "int8" in (source["dtype"], result["dtype"]) else "float32"


def _values(image: str | None, source: JsonObject) -> NDArray[Any]:
    """The input as the file takes it."""
    if image is not None:
        return xnnpack.feed(np.load(image, allow_pickle=False), source)
    rng, shape = np.random.default_rng(0), tuple(source["shape"])
    if source["dtype"] == "int8":
        return rng.integers(-128, 128, shape).astype(np.int8)
    return rng.uniform(-1, 1, shape).astype(np.float32)


def _without_delegate(model: Path, *, threads: int) -> Any:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    kernels = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(str(model), num_threads=threads, experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    return interpreter


def _difference(expected: NDArray[Any], found: NDArray[Any]) -> float:
    if expected.dtype.kind != "f":
        return float((expected != found).mean())
    span = float(expected.max() - expected.min()) or float(np.abs(expected).max()) or 1.0
    return float(np.sqrt(np.square(expected.astype(np.float64) - found).mean())) / span
