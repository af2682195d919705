"""Operators between two transposes compute in NHWC, and give the very same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mosaic_deploy.backends.litert import flatbuffer, xnnpack
from mosaic_deploy.backends.litert.layout import TO_NCHW, TO_NHWC, keep_nhwc, transpose
from tests.backends.litert import tflite

HEIGHT, WIDTH, DEPTH = 4, 6, 8


def squeezed(*, keep: bool = True) -> Any:
    """x (1, 4, 6, 8) -> NCHW; its mean, as a pixel in NHWC and back, times it -> NHWC."""
    model = tflite.tflite_model()
    graph = model.subgraphs[0]
    names = {
        "x": [1, HEIGHT, WIDTH, DEPTH],
        "turned": [1, DEPTH, HEIGHT, WIDTH],
        "mean": [1, DEPTH, 1, 1] if keep else [1, DEPTH],
        "pixel": [1, 1, 1, DEPTH],
        "gate": [1, 1, 1, DEPTH],
        "wide": [1, DEPTH, 1, 1],
        "gated": [1, DEPTH, HEIGHT, WIDTH],
        "y": [1, HEIGHT, WIDTH, DEPTH],
    }
    at = {name: tflite.tensor(model, name, shape) for name, shape in names.items()}
    axes = flatbuffer.add_constant(model, "axes", np.array([3, 2], np.int32))
    pixel = flatbuffer.add_constant(model, "as_pixel", np.array(names["pixel"], np.int32))
    wide = flatbuffer.add_constant(model, "as_wide", np.array(names["wide"], np.int32))
    mean = flatbuffer.operator(model, "MEAN", [at["turned"], axes], [at["mean"]])
    mean.builtinOptions.keepDims = keep
    graph.operators += [
        transpose(model, at["x"], at["turned"], TO_NCHW),
        mean,
        flatbuffer.operator(model, "RESHAPE", [at["mean"], pixel], [at["pixel"]]),
        flatbuffer.operator(model, "HARD_SWISH", [at["pixel"]], [at["gate"]]),
        flatbuffer.operator(model, "RESHAPE", [at["gate"], wide], [at["wide"]]),
        flatbuffer.operator(model, "MUL", [at["turned"], at["wide"]], [at["gated"]]),
        transpose(model, at["gated"], at["y"], TO_NHWC),
    ]
    graph.inputs, graph.outputs = [at["x"]], [at["y"]]
    return model


def outcome(model: Any, path: Path) -> np.ndarray[Any, Any]:
    flatbuffer.save(model, path)
    image = np.random.default_rng(0).normal(size=(1, HEIGHT, WIDTH, DEPTH)).astype(np.float32)
    return np.asarray(xnnpack.once(xnnpack.open_file(path, threads=1), image))


def kinds(model: Any) -> list[str]:
    return [flatbuffer.kind(model, op) for op in model.subgraphs[0].operators]


def test_squeeze_and_excite_stays_in_nhwc(tmp_path: Path) -> None:
    expected = outcome(squeezed(), tmp_path / "before.tflite")
    model = squeezed()
    assert keep_nhwc(model) > 0
    assert kinds(model)[:3] == ["MEAN", "HARD_SWISH", "MUL"]
    assert "RESHAPE" not in kinds(model)
    np.testing.assert_allclose(outcome(model, tmp_path / "after.tflite"), expected, atol=1e-6)


def test_a_mean_that_drops_its_axes_is_left_where_it_is(tmp_path: Path) -> None:
    expected = outcome(squeezed(keep=False), tmp_path / "before.tflite")
    model = squeezed(keep=False)
    keep_nhwc(model)
    assert kinds(model)[:2] == ["TRANSPOSE", "MEAN"]
    np.testing.assert_allclose(outcome(model, tmp_path / "after.tflite"), expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["SUM", "REDUCE_MAX", "REDUCE_MIN"])
def test_other_reductions_are_told_their_axes(kind: str, tmp_path: Path) -> None:
    def reduced() -> Any:
        model = squeezed()
        old = model.subgraphs[0].operators[1]
        new = flatbuffer.operator(model, kind, list(old.inputs), list(old.outputs))
        new.builtinOptions.keepDims = True
        model.subgraphs[0].operators[1] = new
        return model

    expected, model = outcome(reduced(), tmp_path / "before.tflite"), reduced()
    keep_nhwc(model)
    assert kinds(model)[0] == kind
    np.testing.assert_allclose(outcome(model, tmp_path / "after.tflite"), expected, atol=1e-5)
