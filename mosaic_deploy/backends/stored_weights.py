"""The weights of an ONNX found among the integers that a compiled file holds; for child processes.

Quantisers move weights by half a step, converters turn their axes and drop sides of 1. Weights are known by
their values, each within one step. What is farther off stays unknown: then it is not the quantiser's doing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx

Array = NDArray[Any]
_STEPS = 1.01
_EXACT = 1e-6
"""Share of the largest weight by which floats may differ."""
INTEGERS, STEPS, BIAS = "integers:", "steps:", "bias:"
"""What the name of an array in the file of ``write_weights`` begins with."""


def write_weights(
    place: Path, model: onnx.ModelProto, held: Iterable[tuple[Array, Array]], biases: Mapping[str, Array]
) -> None:
    """Write what was found, in the order of axes and by the names of the ONNX.

    Args:
        place: an ``.npz`` file.
        model: the ONNX.
        held: integers of the file, and the step of each, of a shape that can be broadcast to theirs; or
            floats that it did not round, with steps of 0.
        biases: name in ``model`` -> the file's values.
    """
    from onnx import TensorProto, numpy_helper

    floats = (t for t in model.graph.initializer if t.data_type == TensorProto.FLOAT and len(t.dims) > 1)
    arrays: dict[str, Any] = {f"{BIAS}{name}": values for name, values in biases.items()}
    by_size: dict[int, list[tuple[Array, Array]]] = {}
    for integers, steps in held:
        if integers.ndim > 1:
            by_size.setdefault(integers.size, []).append((integers, np.broadcast_to(steps, integers.shape)))
    for tensor in floats:
        values = numpy_helper.to_array(tensor)
        found = _find(values, by_size.get(values.size, []))
        if found is not None:
            arrays[f"{INTEGERS}{tensor.name}"], arrays[f"{STEPS}{tensor.name}"] = found
    np.savez(place, allow_pickle=False, **arrays)


def _find(values: Array, held: Iterable[tuple[Array, Array]]) -> tuple[Array, Array] | None:
    """The first that are these weights, in their shape."""
    plain = values.squeeze()
    least = _EXACT * float(np.abs(values).max(initial=0.0))
    for integers, steps in held:
        ours, ours_steps = integers.squeeze(), steps.squeeze()
        if ours.ndim != plain.ndim:
            continue
        for order in permutations(range(plain.ndim)):
            if tuple(ours.shape[axis] for axis in order) != plain.shape:
                continue
            turned, step = ours.transpose(order), ours_steps.transpose(order)
            if (np.abs(turned * np.where(step == 0, 1.0, step) - plain) <= _STEPS * step + least).all():
                return turned.reshape(values.shape), step.reshape(values.shape).astype(np.float32)
    return None
