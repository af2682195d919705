from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from mosaic_deploy.backends.stored_weights import BIAS, INTEGERS, STEPS, write_weights

RNG = np.random.default_rng(1)
KERNEL = RNG.normal(size=(6, 5, 3, 3)).astype(np.float32)
POINTWISE = RNG.normal(size=(6, 5, 1, 1)).astype(np.float32)


def found(place: Path, *held: tuple[NDArray[Any], NDArray[Any]], **biases: NDArray[Any]) -> dict[str, Any]:
    weights = [numpy_helper.from_array(KERNEL, "kernel"), numpy_helper.from_array(POINTWISE, "pointwise")]
    model = helper.make_model(helper.make_graph([], "weights", [], [], weights))
    write_weights(place / "weights.npz", onnx.ModelProto.FromString(model.SerializeToString()), held, biases)
    with np.load(place / "weights.npz", allow_pickle=False) as arrays:
        return dict(arrays)


def on_grid(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Integers and a step for each output channel, the first axis."""
    step = np.abs(values).max((1, 2, 3), keepdims=True) / 127
    return np.rint(values / step).astype(np.int8), step.astype(np.float32)


def test_integers_are_found_in_another_order_of_axes_and_without_sides_of_one(tmp_path: Path) -> None:
    integers, step = on_grid(KERNEL)
    small, small_step = on_grid(POINTWISE)
    turned = (integers.transpose(1, 2, 3, 0), step.transpose(1, 2, 3, 0))
    arrays = found(tmp_path, (small[..., 0, 0], small_step[..., 0, 0]), turned, bias=np.ones(3))
    assert (arrays[f"{INTEGERS}kernel"] == integers).all()
    assert (arrays[f"{STEPS}kernel"] == step).all()
    assert arrays[f"{STEPS}kernel"].shape == KERNEL.shape
    assert (arrays[f"{INTEGERS}pointwise"] == small).all()
    assert (arrays[f"{BIAS}bias"] == 1).all()


def test_what_is_two_steps_off_is_not_taken_for_them(tmp_path: Path) -> None:
    integers, step = on_grid(KERNEL)
    integers[2, 3, 1, 1] -= 2 * np.sign(integers[2, 3, 1, 1])
    assert not found(tmp_path, (integers, step))
    assert not found(tmp_path, (integers[:, :, ::-1], step))


def test_floats_are_found_as_they_are(tmp_path: Path) -> None:
    unrounded = np.zeros(1, np.float32)
    arrays = found(tmp_path, (KERNEL.transpose(0, 2, 3, 1), unrounded))
    assert (arrays[f"{INTEGERS}kernel"] == KERNEL).all()
    assert not found(tmp_path, (KERNEL.transpose(0, 2, 3, 1) * np.float32(1.001), unrounded))
