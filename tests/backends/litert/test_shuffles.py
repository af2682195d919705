"""Channel shuffles on the way to onnx2tf: the same numbers, and only where it would go wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from mosaic_deploy.backends.litert.convert import convert
from mosaic_deploy.backends.litert.shuffles import SHUFFLE_BATCH
from mosaic_deploy.backends.registry import load_backend
from tests.graph.passes.agreement import agrees, image, leaves

TFLITE = load_backend("tflite")
SHUFFLE = (
    "r = Reshape (x, parts) t = Transpose <perm = [1, 0, 2]> (r) z = Reshape (t, whole) "
    "kept, seen = Split <axis = 1> (z, halves) u = Conv (seen, mix) y = Concat <axis = 1> (kept, u)"
)


def unit(groups: int, each: int) -> onnx.ModelProto:
    """A unit of ShuffleNet V2: two convolutions, joined and shuffled; then half of it convolved."""
    count, rng = groups * each, np.random.default_rng(0)
    return image(
        "a = Conv (image, left) b = Conv (image, right) x = Concat <axis = 1> (a, b) " + SHUFFLE,
        shape="1,3,6,10",
        out=f"float[1,{count},6,10] y",
        left=rng.normal(size=(count // 2, 3, 1, 1)).astype(np.float32),
        right=rng.normal(size=(count // 2, 3, 1, 1)).astype(np.float32),
        mix=rng.normal(size=(count // 2, count // 2, 1, 1)).astype(np.float32),
        parts=[groups, each, 60],
        whole=[1, count, 6, 10],
        halves=[count // 2, count // 2],
    )


@pytest.mark.parametrize(("groups", "each"), [(2, 4), (4, 2)], ids=str)
def test_before_and_after_agree(groups: int, each: int) -> None:
    applied = agrees(SHUFFLE_BATCH, unit(groups, each))
    turn = next(node for node in applied.model.graph.node if node.op_type == "Transpose")
    assert list(turn.attribute[0].ints) == [0, 2, 1, 3]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(
            "r = Reshape (image, parts) t = Transpose <perm = [2, 1, 0]> (r) y = Reshape (t, whole)",
            id="another-order",
        ),
        pytest.param("r = Reshape (image, parts) y = Transpose <perm = [1, 0, 2]> (r)", id="no-image-after"),
    ],
)
def test_other_graphs_stay(body: str) -> None:
    leaves(SHUFFLE_BATCH, image(body, shape="1,8,6,10", parts=[2, 4, 60], whole=[1, 8, 6, 10]))


@pytest.mark.slow
@pytest.mark.skipif(TFLITE.missing() is not None, reason=str(TFLITE.missing()))
@pytest.mark.parametrize(("groups", "each"), [(2, 4), (4, 2)], ids=str)
def test_onnx2tf_keeps_them(groups: int, each: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    onnx.save(unit(groups, each), "unit.onnx")
    request = {
        "onnx": "unit.onnx",
        "out": "out.tflite",
        "shape": [1, 6, 10, 3],
        "layout": "NCHW",
        "fold": False,
    }
    assert convert({**request, "image": None}, lambda *_: None)["difference"] < 1e-5
