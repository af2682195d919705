"""onnx2tf simplifies in this process, the same whatever PATH is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from mosaic_deploy.backends.litert.convert import convert
from mosaic_deploy.workers.call import GIB, Call, call
from tests.graph.test_held_pads import padded


@pytest.mark.parametrize("path", ["", None])
def test_zeros_around_negative_numbers_count_in_a_maximum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str | None
) -> None:
    if path is not None:
        monkeypatch.setenv("PATH", path)
    onnx.save(padded("MaxPool"), tmp_path / "net.onnx")
    image = np.random.default_rng(0).uniform(1, 2, (1, 8, 8, 4)).astype(np.float32)
    np.save(tmp_path / "image.npy", image)
    request = {
        "onnx": str(tmp_path / "net.onnx"),
        "out": str(tmp_path / "net.tflite"),
        "shape": [1, 8, 8, 4],
        "layout": "NCHW",
        "fold": False,
        "image": str(tmp_path / "image.npy"),
    }
    (tmp_path / "work").mkdir()
    made = call(Call(convert, request, 120, 8 * GIB, tmp_path / "log", tmp_path / "work"))
    assert made.result["difference"] < 1e-6
