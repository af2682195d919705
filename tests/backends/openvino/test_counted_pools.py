"""Averages that count zeros around the image: in integers they are right as convolutions alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from mosaic_deploy.backends.openvino.counted_pools import COUNTED_POOLS
from mosaic_deploy.backends.registry import load_backend
from mosaic_deploy.graph.passes import apply
from tests.backends.openvino.test_backend import a_job, build, images, on_the_cpu, run
from tests.backends.openvino.weights import weighted
from tests.backends.qnn.test_backend import CLASSES, HEIGHT, WIDTH
from tests.graph.passes.agreement import error, ops

OPENVINO = load_backend("openvino")


def network(pool: str, *, behind: str) -> onnx.ModelProto:
    model = onnx.parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 18]>
        net (float[1, 3, {HEIGHT}, {WIDTH}] image) => (float[1, {CLASSES}, {HEIGHT}, {WIDTH}] logits)
        <int64[8] edge = {{0, 0, 1, 1, 0, 0, 1, 1}}> {{
            stem = Conv<pads = [1, 1, 1, 1]>(image, stem_w)
            deep = {behind}(stem)
            {pool}
            logits = Conv(mean, head_w)
        }}
    """)
    return weighted(model, {"stem_w": (8, 3, 3, 3), "head_w": (CLASSES, 8, 1, 1)}, size=0.5)


COUNTED = "mean = AveragePool<kernel_shape = [3, 3], pads = [1, 1, 1, 1], count_include_pad = 1>(deep)"
UNCOUNTED = "mean = AveragePool<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(deep)"
BEHIND_A_PAD = "wide = Pad(deep, edge) mean = AveragePool<kernel_shape = [3, 3]>(wide)"


@pytest.mark.parametrize(("pool", "behind", "made"), [
    (COUNTED, "Tanh", ["Conv", "Tanh", "Conv", "Conv"]),
    (BEHIND_A_PAD, "Tanh", ["Conv", "Tanh", "Pad", "Conv", "Conv"]),
    (BEHIND_A_PAD, "Relu", ["Conv", "Relu", "Pad", "Conv", "Conv"]),
    (COUNTED, "Relu", ["Conv", "Relu", "AveragePool", "Conv"]),
    (UNCOUNTED, "Tanh", ["Conv", "Tanh", "AveragePool", "Conv"]),
])  # fmt: skip
def test_only_what_integers_get_wrong_is_a_convolution(pool: str, behind: str, made: list[str]) -> None:
    model = network(pool, behind=behind)
    rewritten = apply(COUNTED_POOLS, model).model
    assert ops(rewritten) == made
    assert error(model, rewritten) < 1e-5


@pytest.mark.skipif(OPENVINO.missing() is not None, reason=str(OPENVINO.missing()))
@pytest.mark.parametrize("pool", [COUNTED, BEHIND_A_PAD])
def test_integers_average_zeros_beside_negative_numbers(tmp_path: Path, pool: str) -> None:
    """As they are, 42 and 73 % of the range is what such pools are off by."""
    job = a_job(tmp_path, network(pool, behind="Tanh"))
    exact = on_the_cpu(job, images(job))
    found = run(job, build(job))
    assert max(np.abs(a - b).max() / np.ptp(b) for a, b in zip(found, exact, strict=True)) < 0.05
