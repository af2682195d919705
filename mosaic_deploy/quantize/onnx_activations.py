"""The range of every activation of a float ONNX graph on the calibration images; for child processes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np

from mosaic_deploy.graph.execute import Session, expose
from mosaic_deploy.quantize.calibrate import Calibrator, collect, collect_by_method
from mosaic_deploy.quantize.histogram import Floats, Ranges
from mosaic_deploy.quantize.range_choice import Method
from mosaic_deploy.workers.progress import OnProgress

if TYPE_CHECKING:
    import onnx

_FETCH_BYTES = 512 << 20


def activation_ranges(
    model: onnx.ModelProto,
    images: Sequence[Path],
    how: Calibrator,
    on_progress: OnProgress,
) -> Ranges:
    """Find the range of the graph's input and of every float tensor that a node makes.

    Args:
        model: a float graph of static shapes with one input.
        images: ``.npy`` files of that input, converted to float32; at least one.
        how: the method.
        on_progress: hears of each image.

    Returns:
        Ranges that hold every value (``minmax``), or all but the outliers.

    Raises:
        ValueError: a tensor holds NaN or infinity.
    """
    runner = Runner(model, how.threads)
    return collect(lambda path: runner.activations(_load(path, how.axes)), images, how, on_progress)


def ranges_by_method(
    model: onnx.ModelProto,
    images: Sequence[Path],
    how: Calibrator,
    on_progress: OnProgress,
) -> dict[Method, Ranges]:
    """What each method gives, at the cost of one; as ``activation_ranges`` else."""
    runner = Runner(model, how.threads)
    return collect_by_method(lambda path: runner.activations(_load(path, how.axes)), images, how, on_progress)


def _load(path: Path, axes: tuple[int, ...] | None) -> Floats:
    image: Floats = np.load(path, allow_pickle=False).astype(np.float32)
    return image if axes is None else np.ascontiguousarray(image.transpose(axes))


@final
class Runner:
    """Runs a float graph and shows all its activations."""

    def __init__(self, model: onnx.ModelProto, threads: int) -> None:
        import onnx

        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=False)
        known = {v.name: v for v in (*inferred.graph.value_info, *inferred.graph.output)}
        self._session = Session(expose(model), threads=threads)
        self._input = self._session.inputs[0].name
        floats = [port.name for port in self._session.outputs if port.type == "tensor(float)"]
        self._groups = tuple(_groups(floats, {name: _bytes(known.get(name)) for name in floats}))

    def activations(self, image: Floats) -> Iterator[tuple[str, Floats]]:
        """Yield the input and every non-empty float tensor of a run, by name."""
        yield self._input, image
        for group in self._groups:
            for name, values in zip(group, self._session.run({self._input: image}, group), strict=True):
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
