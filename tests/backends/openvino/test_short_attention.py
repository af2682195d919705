"""Attention across few keys, which the plugin gets wrong in integers or dies of: part stays in float."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from mosaic_deploy.backends.registry import load_backend
from tests.backends.openvino.test_backend import a_job, build, images, on_the_cpu, run
from tests.backends.openvino.weights import weighted
from tests.backends.qnn.test_backend import CLASSES, HEIGHT, WIDTH

OPENVINO = load_backend("openvino")


def network(keys: int) -> onnx.ModelProto:
    """Channels that attend to channels, ``keys`` in a head."""
    model = onnx.parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 18]>
        net (float[1, 3, {HEIGHT}, {WIDTH}] image) => (float[1, {CLASSES}, {HEIGHT}, {WIDTH}] logits)
        <int64[4] heads = {{1, {16 // keys}, {keys}, {HEIGHT * WIDTH}}},
         int64[4] map = {{1, 16, {HEIGHT}, {WIDTH}}}> {{
            deep = Conv<pads = [1, 1, 1, 1]>(image, stem_w)
            rows = Reshape(deep, heads)
            turned = Transpose<perm = [0, 1, 3, 2]>(rows)
            alike = MatMul(rows, turned)
            shares = Softmax<axis = -1>(alike)
            mixed = MatMul(shares, rows)
            back = Reshape(mixed, map)
            logits = Conv(back, head_w)
        }}
    """)
    return weighted(model, {"stem_w": (16, 3, 3, 3), "head_w": (CLASSES, 16, 1, 1)}, size=0.3)


@pytest.mark.skipif(OPENVINO.missing() is not None, reason=str(OPENVINO.missing()))
@pytest.mark.parametrize("keys", [8, 16])
def test_channels_attend_to_channels(tmp_path: Path, keys: int) -> None:
    job = a_job(tmp_path, network(keys))
    exact = on_the_cpu(job, images(job))
    found = run(job, build(job))
    assert max(np.abs(a - b).max() / np.ptp(b) for a, b in zip(found, exact, strict=True)) < 0.05
