"""Parts cut out of a TFLite file compute what the whole computes there, from what they are given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mosaic_deploy.backends.file_parts import fed
from mosaic_deploy.backends.litert import flatbuffer
from mosaic_deploy.backends.litert.part import run_part
from mosaic_deploy.errors import ModelError
from tests.backends.litert import tflite

SHAPE, HALF = [1, 4, 6, 8], [1, 4, 6, 4]
RNG = np.random.default_rng(3)
IMAGE = RNG.normal(size=SHAPE).astype(np.float32)


def forked() -> Any:
    """x -> SPLIT to a, b; p = EXP a; q = NEG b; y = p + q; z = NEG y."""
    model = tflite.tflite_model()
    graph = model.subgraphs[0]
    at = {name: tflite.tensor(model, name, SHAPE if name == "x" else HALF) for name in "xabpqyz"}
    axis = flatbuffer.add_constant(model, "axis", np.array(3, np.int32))
    split = flatbuffer.operator(model, "SPLIT", [axis, at["x"]], [at["a"], at["b"]])
    split.builtinOptions.numSplits = 2
    graph.operators += [
        split,
        flatbuffer.operator(model, "EXP", [at["a"]], [at["p"]]),
        flatbuffer.operator(model, "NEG", [at["b"]], [at["q"]]),
        flatbuffer.operator(model, "ADD", [at["p"], at["q"]], [at["y"]]),
        flatbuffer.operator(model, "NEG", [at["y"]], [at["z"]]),
    ]
    graph.inputs, graph.outputs = [at["x"]], [at["z"]]
    return model


def part(folder: Path, wanted: str, **given: NDArray[Any]) -> NDArray[Any]:
    flatbuffer.save(forked(), folder / "net.tflite")
    np.save(folder / "image.npy", IMAGE)
    feeds = {}
    for name, values in given.items():
        np.save(folder / f"{name}.npy", values)
        feeds[name] = str(folder / f"{name}.npy")
    request = {
        "file": str(folder / "net.tflite"), "wanted": wanted, "given": sorted(given), "feeds": [feeds],
        "images": [str(folder / "image.npy")], "outputs": [str(folder / "out.npy")],
        "input": {"shape": SHAPE, "dtype": "float32", "scale": None, "zero_point": None},
        "cut": str(folder / "part.tflite"),
    }  # fmt: skip
    assert "LiteRT" in run_part(request, lambda _share, _text: None)["ran_on"]
    return np.asarray(np.load(folder / "out.npy", allow_pickle=False))


def kinds(folder: Path) -> list[str]:
    model = flatbuffer.load(folder / "part.tflite")
    return [flatbuffer.kind(model, op) for op in model.subgraphs[0].operators]


def test_from_the_image_on(tmp_path: Path) -> None:
    expected = np.exp(IMAGE[..., :4]) - IMAGE[..., 4:]
    np.testing.assert_allclose(part(tmp_path, "y"), expected, atol=1e-6)
    assert kinds(tmp_path) == ["SPLIT", "EXP", "NEG", "ADD"]
    assert (np.load(fed(tmp_path / "part.tflite", 0, 0)) == IMAGE).all()


def test_from_what_is_given_alone(tmp_path: Path) -> None:
    p, q = (RNG.normal(size=HALF).astype(np.float32) for _ in range(2))
    np.testing.assert_allclose(part(tmp_path, "y", p=p, q=q), p + q, atol=1e-6)
    assert kinds(tmp_path) == ["ADD"]


def test_one_output_of_an_operator_is_given_and_the_other_computed(tmp_path: Path) -> None:
    a = RNG.normal(size=HALF).astype(np.float32)
    np.testing.assert_allclose(part(tmp_path, "y", a=a), np.exp(a) - IMAGE[..., 4:], atol=1e-6)


def test_a_tensor_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no tensor 'nowhere'"):
        part(tmp_path, "nowhere")
