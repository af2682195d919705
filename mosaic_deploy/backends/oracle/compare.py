"""What is right: ONNX Runtime's CPU kernels without optimisation, and how far from them an answer may be."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.errors import ModelError
from mosaic_deploy.graph.execute import Session
from mosaic_deploy.graph.shares import gives_shares

Arrays = tuple[NDArray[Any], ...]

_WORST = 1e9
"""The difference where one answer is finite and the other is not, or where shapes differ."""
_LENGTH = 160
_SLACK = 1.001
"""For the rounding of the comparison itself: two steps dequantised are not quite two steps."""


class NoReferenceError(Exception):
    """ONNX Runtime itself does not run the model. Not an error to show."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far floats may be off: the largest of three allowances."""

    share: float
    """Of the reference's range."""
    steps: float = 0.0
    """Of the output's grid, where it is quantised."""
    rounding: float = 0.0
    """Of the largest input: what merely storing the inputs costs, which small sums of large terms show."""
    least: float = 0.0
    """The smallest range that ``share`` is of, where outputs have one whatever the network is shown."""


IN_HALF = Tolerance(0.01, rounding=2.0**-10)
"""For runtimes that compute floats in float16."""
IN_SINGLE = Tolerance(0.001, rounding=2.0**-20)
"""For runtimes that compute floats in float32."""
EIGHT_BITS = Tolerance(2 / 255, steps=2.0)
"""For networks of 8-bit activations."""
SIXTEEN_BITS = Tolerance(0.005, steps=2.0)
"""For networks of 16-bit activations."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """How an answer compares with the reference."""

    right: bool
    difference: float
    """The largest of all outputs, as a share of the reference's range; of integers, the share that is off."""
    error: str = ""
    """What is wrong, where it is."""


def reference(model: bytes, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
    """Run a model on ONNX Runtime's CPU kernels, nothing optimised.

    Raises ``NoReferenceError`` where ONNX Runtime refuses or fails.
    """
    try:
        return tuple(np.asarray(values) for values in Session(model, quiet=True).run(feeds))
    except ModelError as err:
        raise NoReferenceError(said(err.__cause__)) from err


def for_chain(allowed: Tolerance, model: bytes) -> Tolerance:
    """What is allowed of one node, for each node of a model: every one of them rounds."""
    import onnx

    read = onnx.load_from_string(model)
    count, least = len(read.graph.node), 1.0 if gives_shares(read) else 0.0
    return replace(allowed, share=allowed.share * count, steps=allowed.steps * count, least=least)


def with_work(model: bytes, *, idle: Collection[str]) -> bytes:
    """Put an Add before nodes that, alone, compilers take for no work at all; other models stay.

    Args:
        model: one case, whose first input the first node reads.
        idle: operators of which nothing is left where they are all of a graph.
    """
    import onnx

    made = onnx.load_from_string(model)
    source = made.graph.input[0]
    floats = source.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    if not floats or any(node.op_type not in idle for node in made.graph.node):
        return model
    made.graph.node[0].input[0] = "with-work"
    made.graph.node.insert(0, onnx.helper.make_node("Add", [source.name] * 2, ["with-work"], "with-work"))
    return bytes(made.SerializeToString())


def compare_outputs(
    expected: Sequence[NDArray[Any]],
    actual: Sequence[NDArray[Any]],
    *,
    tolerance: Tolerance,
    feeds: Mapping[str, NDArray[Any]] | None = None,
    scales: Sequence[float | None] = (),
) -> Comparison:
    """Compare an answer with the reference, output by output.

    Args:
        expected: the reference.
        actual: the answer, quantised floats dequantised.
        tolerance: for floats; integers and bools, class ids among them, have to be equal.
        feeds: what went in, for the tolerance's ``rounding``.
        scales: of the outputs' grids, for its ``steps``; None where an output has none.
    """
    if len(expected) != len(actual):
        return Comparison(False, _WORST, f"{len(actual)} outputs instead of {len(expected)}")  # noqa: FBT003
    magnitude = max((_largest(values) for values in (feeds or {}).values()), default=0.0)
    worst = Comparison(right=True, difference=0.0)
    for index, (wanted, given) in enumerate(zip(expected, actual, strict=True)):
        scale = scales[index] if index < len(scales) else None
        spare = max(tolerance.rounding * magnitude, tolerance.steps * (scale or 0.0))
        one = _weigh_one(wanted, given, tolerance, spare)
        if (one.right, -one.difference) < (worst.right, -worst.difference):
            worst = one
    return worst


def from_tool(err: Exception) -> bool:
    """Whether an exception is ONNX Runtime's, or what C++ throws through it, and none of ours."""
    return type(err).__module__.startswith("onnxruntime") or type(err) in (
        RuntimeError, ValueError, NotImplementedError, IndexError,
    )  # fmt: skip


def said(err: object) -> str:
    """What a tool said, in one short line without paths, addresses and times, so that it stays the same."""
    lines = [line.strip() for line in str(err).splitlines() if line.strip()]
    text = lines[0] if lines else type(err).__name__
    for pattern, instead in _NOISE:
        text = pattern.sub(instead, text)
    text = " ".join(text.split())
    return text if len(text) <= _LENGTH else text[: _LENGTH - 3].rstrip() + "..."


_NOISE = (
    (re.compile(r"\x1b\[[0-9;]*m"), ""),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.,\d]*Z?"), ""),
    (re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ :"), ""),
    (re.compile(r"\b0x[0-9a-fA-F]+\b"), "ADDRESS"),
    (re.compile(r"(?<![\w<])/(?:[\w.+@-]+/)+(?P<name>[\w.+@-]*)(?::\d+)?"), r"\g<name>"),
)
"""What differs from run to run, or tells of the machine; a path keeps its last part."""


def _weigh_one(wanted: NDArray[Any], given: NDArray[Any], allowed: Tolerance, spare: float) -> Comparison:
    if wanted.shape != given.shape:
        return Comparison(False, _WORST, f"shape {list(given.shape)} instead of {list(wanted.shape)}")  # noqa: FBT003
    if not wanted.size:
        return Comparison(right=True, difference=0.0)
    if wanted.dtype.kind not in "fc" and wanted.dtype.name != "bfloat16":
        unequal = float(np.mean(wanted != given))
        return Comparison(unequal == 0, unequal, f"{unequal:.2%} of the integers differ" if unequal else "")
    left, right = wanted.astype(np.float64), given.astype(np.float64)
    finite = np.isfinite(left)
    if (finite != np.isfinite(right)).any() or not np.array_equal(
        left[~finite], right[~finite], equal_nan=True
    ):
        return Comparison(False, _WORST, "NaN or infinity where the reference has none, or the reverse")  # noqa: FBT003
    left, right = left[finite], right[finite]
    if not left.size:
        return Comparison(right=True, difference=0.0)
    span = max(float(np.ptp(left)), _largest(left), allowed.least) or 1.0
    off = float(np.abs(left - right).max())
    if off <= max(allowed.share * span, spare) * _SLACK:
        return Comparison(right=True, difference=off / span)
    return Comparison(right=False, difference=off / span, error=f"off by {off / span:.1%} of the range")


def _largest(values: NDArray[Any]) -> float:
    if values.dtype.kind not in "fiu" or not values.size:
        return 0.0
    return float(np.abs(values.astype(np.float64)).max())
