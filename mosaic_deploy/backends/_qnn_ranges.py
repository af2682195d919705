"""The range of every activation on the calibration images: minmax, percentile or entropy.

ONNX Runtime's own calibrators are not used: they hold the activations of all images at once (gigabytes),
and their entropy search, with 128 bins for 128 levels, has nothing to choose from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx

Floats = NDArray[np.float32]
Ranges = dict[str, tuple[np.float32, np.float32]]
"""Tensor name -> smallest and largest value to represent."""
Method = Literal["minmax", "percentile", "entropy"]

_BINS = 2048
_LEVELS = 128  # of magnitudes, half of an 8-bit grid; all of it where no value is negative
_STRIDE = 8  # bins between two thresholds that the entropy search tries
_SAMPLE = 1 << 16  # values of a tensor and image that enter its histogram
_FETCH_BYTES = 512 << 20


@dataclass(frozen=True, slots=True)
class Calibrator:
    """How ranges are found."""

    method: Method
    percentile: float
    """Share of values inside the range, in percent, for ``percentile``."""
    threads: int


def activation_ranges(
    model: onnx.ModelProto,
    images: Sequence[Path],
    how: Calibrator,
    tick: Callable[[float, str], None],
) -> Ranges:
    """Find the range of the graph's input and of every float tensor that a node makes.

    Args:
        model: a float graph of static shapes with one input.
        images: ``.npy`` files of that input, converted to float32; at least one.
        how: the method.
        tick: hears of each image.

    Returns:
        Ranges that hold every value (``minmax``), or all but the outliers.

    Raises:
        ValueError: a tensor holds NaN or infinity.
    """
    rounds = 1 if how.method == "minmax" else 2
    runner = _Runner(model, how.threads)
    ranges: Ranges = {}
    for index, path in enumerate(images):
        for name, values in runner.activations(_load(path)):
            low, high = values.min(), values.max()
            if not np.isfinite(low) or not np.isfinite(high):
                raise ValueError(f"tensor '{name}' holds NaN or infinity on calibration image {path.name}")
            known = ranges.get(name, (low, high))
            ranges[name] = (min(known[0], low), max(known[1], high))
        tick((index + 1) / len(images) / rounds, "ranges")
    if how.method == "minmax":
        return ranges
    counts = {name: np.zeros(_BINS, np.int64) for name in ranges}
    for index, path in enumerate(images):
        for name, values in runner.activations(_load(path)):
            counts[name] += _histogram(values, ranges[name], fold=how.method == "entropy")
        tick((1 + (index + 1) / len(images)) / rounds, "histograms")
    return {name: _narrow(counts[name], ranges[name], how) for name in ranges}


def _load(path: Path) -> Floats:
    image: Floats = np.load(path, allow_pickle=False).astype(np.float32)
    return image


@final
class _Runner:
    """Runs a float graph and shows all its activations."""

    def __init__(self, model: onnx.ModelProto, threads: int) -> None:
        import onnx
        import onnxruntime as ort

        shown = onnx.ModelProto()
        shown.CopyFrom(model)
        inferred = onnx.shape_inference.infer_shapes(shown, strict_mode=False)
        known = {v.name: v for v in (*inferred.graph.value_info, *inferred.graph.output)}
        outputs = {v.name for v in shown.graph.output}
        made = [name for node in shown.graph.node for name in node.output if name]
        shown.graph.output.extend(onnx.ValueInfoProto(name=n) for n in made if n not in outputs)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = ort.InferenceSession(shown.SerializeToString(), options, ["CPUExecutionProvider"])
        self._session = session
        self._input: str = session.get_inputs()[0].name
        floats = [o.name for o in session.get_outputs() if o.type == "tensor(float)"]
        self._groups = tuple(_groups(floats, {name: _bytes(known.get(name)) for name in floats}))

    def activations(self, image: Floats) -> Iterator[tuple[str, Floats]]:
        """Yield the input and every non-empty float tensor of a run, by name."""
        yield self._input, image
        for group in self._groups:
            for name, values in zip(group, self._session.run(group, {self._input: image}), strict=True):
                if values.size:
                    yield name, values


def _groups(names: Iterable[str], size_bytes: dict[str, int]) -> Iterator[list[str]]:
    """Split names, in their order, so that what is fetched at once stays small."""
    group: list[str] = []
    held = 0
    for name in names:
        if group and held + size_bytes[name] > _FETCH_BYTES:
            yield group
            group, held = [], 0
        group.append(name)
        held += size_bytes[name]
    if group:
        yield group


def _bytes(value: Any) -> int:
    if value is None:
        return 0
    dims = [max(int(d.dim_value), 1) for d in value.type.tensor_type.shape.dim]
    return 4 * int(np.prod(dims, dtype=np.int64))


def _histogram(values: Floats, span: tuple[np.float32, np.float32], *, fold: bool) -> NDArray[np.int64]:
    """Count a regular sample of the values; of their magnitudes if ``fold``."""
    flat = values.reshape(-1)[:: max(1, values.size // _SAMPLE)]
    if fold:
        top = max(abs(float(span[0])), abs(float(span[1])))
        return np.histogram(np.abs(flat), _BINS, (0.0, top or 1.0))[0]
    low, high = float(span[0]), float(span[1])
    return np.histogram(flat, _BINS, (low, high if high > low else low + 1.0))[0]


def _narrow(
    counts: NDArray[np.int64], span: tuple[np.float32, np.float32], how: Calibrator
) -> tuple[np.float32, np.float32]:
    low, high = float(span[0]), float(span[1])
    if how.method == "percentile":
        cut = (1 - how.percentile / 100) / 2 * int(counts.sum())
        below, above = np.cumsum(counts), np.cumsum(counts[::-1])
        width = (high - low) / _BINS
        narrow_low = low + width * int(np.searchsorted(below, cut, side="right"))
        narrow_high = high - width * int(np.searchsorted(above, cut, side="right"))
        if narrow_low < narrow_high:
            low, high = narrow_low, narrow_high
    else:
        levels = _LEVELS if low < 0 else 2 * _LEVELS
        top = max(abs(low), abs(high)) * least_divergence(counts, levels=levels) / _BINS
        low, high = max(low, -top), min(high, top)
    return np.float32(low), np.float32(high)


def least_divergence(counts: NDArray[np.int64], *, levels: int) -> int:
    """How many of the bins of a histogram of magnitudes to keep, by TensorRT's method.

    Clips the histogram at a threshold, merges what is left into ``levels``, and measures the
    Kullback-Leibler divergence between both; returns the threshold with the least. The first bin is
    taken for as full as the second: the zeros that a ReLU makes would outweigh everything else.

    Source: S. Migacz, "8-bit Inference with TensorRT" (GTC 2017); the first bin, pytorch-quantization.
    """
    bins = counts.astype(np.float64)
    bins[0] = bins[1]
    kept_best, best = len(bins), np.inf
    for kept in range(levels, len(bins) + 1, _STRIDE):
        inside = bins[:kept]
        if not inside.any():
            continue
        level = np.arange(kept) * levels // kept
        filled = (inside > 0).astype(np.float64)
        sums = np.bincount(level, inside, levels)
        sizes = np.bincount(level, filled, levels)
        merged = filled * (sums / np.maximum(sizes, 1))[level]
        clipped = inside.copy()
        clipped[-1] += bins[kept:].sum()
        p, q = clipped / clipped.sum(), merged / merged.sum()
        used = p > 0
        divergence = float((p[used] * np.log(p[used] / np.maximum(q[used], 1e-12))).sum())
        if divergence < best:
            kept_best, best = kept, divergence
    return kept_best
