"""Integers that do not pay are called so; those that do are not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest

from mosaic_deploy.artifact.bench.guard import remarks
from mosaic_deploy.artifact.bench.latency import Latencies, Ratio
from mosaic_deploy.artifact.bench.report import Row, Timed
from mosaic_deploy.artifact.manifest import Entry
from mosaic_deploy.artifact.open import Artifact
from mosaic_deploy.backends.protocol import CompiledModel
from tests.artifact.tiny_artifact import CONTRACT


def artifact(folder: Path, facts: Mapping[str, object], entries: tuple[Entry, ...] = ()) -> Artifact:
    built = CompiledModel(folder, (), (), {"precision": "int8 weights, uint8 activations", **facts})
    return Artifact(built, CONTRACT, "net", "cpu", "w8a8", "tflite", True, entries)


def row(
    name: str,
    to_float: Ratio | None = None,
    *,
    seconds: float = 0.01,
    output: str = "lowres",
    hot_spots: tuple[tuple[str, float], ...] = (),
) -> Row:
    times = None if hot_spots else Latencies(((seconds,) * 3,) * 3)
    timed = Timed(name, times, 1, 1, "here", 2, hot_spots)
    return Row(timed, name, "cpu", "w8a8", output, True, "float", to_float, None, None)


def test_integers_slower_than_floats_are_called_so_with_what_is_to_blame(tmp_path: Path) -> None:
    fallback = {"operators": {"HardSigmoid": 29}, "time_share": 0.45}
    slow = row("slow", Ratio(1.3, (1.2, 1.4)))
    ((said,),) = remarks([slow], [artifact(tmp_path, {"fallback": fallback})])
    assert said.startswith("slow: slower than its float network on ONNX Runtime, x1.30 (1.20-1.40)")
    assert "HardSigmoid have no fast integer kernel, 45% of the time" in said
    assert "fp16" in said


@pytest.mark.parametrize(
    "figures",
    [Ratio(0.5, (0.4, 0.6)), Ratio(1.1, (0.9, 1.3)), None],
    ids=["faster", "perhaps-slower", "simulator"],
)
def test_nothing_is_said_where_nothing_is_certain(tmp_path: Path, figures: Ratio | None) -> None:
    assert remarks([row("fine", figures)], [artifact(tmp_path, {})]) == ((),)


def test_floats_may_be_slower_than_floats(tmp_path: Path) -> None:
    plain = artifact(tmp_path, {"precision": "float32"})
    assert remarks([row("plain", Ratio(1.3, (1.2, 1.4)))], [plain]) == ((),)


def test_resize_and_argmax_dominate_beside_the_network_without_them(tmp_path: Path) -> None:
    rows = [row("whole", seconds=0.03, output="classmap"), row("small", seconds=0.01)]
    found = remarks(rows, [artifact(tmp_path, {}), artifact(tmp_path, {})])
    assert found[1] == ()
    assert "Resize and ArgMax take 67% of the time, beside small" in found[0][0]
    assert "--output lowres" in found[0][0]
    rows[1] = row("small", seconds=0.02)
    assert remarks(rows, [artifact(tmp_path, {})] * 2) == ((), ())


def test_resize_and_argmax_dominate_on_a_simulator(tmp_path: Path) -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 18]>
        net (float[1, 3, 8, 8] image) => (int64[1, 1, 8, 8] ids) {
            h = Relu (image)
            ids = ArgMax <axis = 1> (h)
        }
    """)
    for node, name in zip(model.graph.node, ("relu", "ids"), strict=True):
        node.name = name
    onnx.save(model, tmp_path / "model.onnx")
    entry = Entry(path="model.onnx", kind="float-onnx", bytes=1, sha256="0" * 64)
    subject = artifact(tmp_path, {}, (entry,))
    spots = (("ids", 0.7), ("relu", 0.2), ("Input", 0.1))
    ((said,),) = remarks([row("heavy", hot_spots=spots)], [subject])
    assert "Resize and ArgMax take 70% of the simulated cycles" in said
    light = (("relu", 0.7), ("ids", 0.3))
    assert remarks([row("light", hot_spots=light)], [subject]) == ((),)
    assert np.isclose(sum(share for _, share in spots), 1)
