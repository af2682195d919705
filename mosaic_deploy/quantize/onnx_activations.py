"""The range of every activation of a float ONNX graph on the calibration images; for child processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.graph.execute import Session
from mosaic_deploy.graph.segments import segments
from mosaic_deploy.quantize.calibrate import Calibrator, collect, collect_by_method
from mosaic_deploy.quantize.histogram import Floats, Ranges
from mosaic_deploy.quantize.range_choice import Method
from mosaic_deploy.workers.progress import OnProgress

if TYPE_CHECKING:
    import onnx

_HELD_BYTES = 512 << 20
"""What a session may show at once."""


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
    return collect(lambda path: runner.activations(load_image(path, how.axes)), images, how, on_progress)


def ranges_by_method(
    model: onnx.ModelProto,
    images: Sequence[Path],
    how: Calibrator,
    on_progress: OnProgress,
) -> dict[Method, Ranges]:
    """What each method gives, at the cost of one; as ``activation_ranges`` else."""
    runner = Runner(model, how.threads)
    return collect_by_method(
        lambda path: runner.activations(load_image(path, how.axes)), images, how, on_progress
    )


def load_image(path: Path, axes: tuple[int, ...] | None) -> Floats:
    """A ``.npy`` file as float32, its axes in the graph's order (None for their own)."""
    image: Floats = np.load(path, allow_pickle=False).astype(np.float32)
    return image if axes is None else np.ascontiguousarray(image.transpose(axes))


@final
class Runner:
    """Runs a float graph and shows all its activations.

    A graph of large tensors is run in segments: a session holds all that it shows until it ends, which is
    gigabytes for a deep network on a large image.
    """

    def __init__(self, model: onnx.ModelProto, threads: int) -> None:
        import onnx

        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=False)
        self._input = inferred.graph.input[0].name
        parts = list(segments(inferred, _HELD_BYTES))
        self._parts = [
            (Session(part.model, threads=threads, keep_memory=len(parts) == 1), part.last_use)
            for part in parts
        ]

    def activations(self, image: Floats) -> Iterator[tuple[str, Floats]]:
        """Yield the input and every non-empty float tensor of a run, by name."""
        yield self._input, image
        held: dict[str, NDArray[Any]] = {self._input: image}
        for session, last_use in self._parts:
            made = session.run({port.name: held[port.name] for port in session.inputs})
            held |= {port.name: values for port, values in zip(session.outputs, made, strict=True)}
            for port, values in zip(session.outputs, made, strict=True):
                if port.type == "tensor(float)" and values.size:
                    yield port.name, values
            for name in last_use:
                held.pop(name, None)
            del made
