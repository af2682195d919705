"""Artifact folders made by hand, and a runtime that answers what their manifests tell it to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mosaic_deploy.artifact.manifest import Entry
from mosaic_deploy.artifact.store import entries, write_json
from mosaic_deploy.backends.protocol import CompiledModel, File, Run, Timing, TimingConfig, WorkDir
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.workers.progress import OnProgress
from tests.conftest import HEIGHT, WIDTH

CONTRACT = Contract(
    height=HEIGHT,
    width=WIDTH,
    classes=("sky", "road", "car"),
    palette=((250, 0, 0), (0, 250, 0), (0, 0, 250)),
)
COLOURS = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
"""Weights by which the score of a class is a channel of the input."""
CALLS: list[str] = []
"""Folders that the fake runtime was asked to time, in order."""


def colour_graph(*, layout: str = "NCHW") -> onnx.ModelProto:
    """Scores of three classes, (1, 3, 32, 48): the three channels of the input."""
    shape = [1, 3, HEIGHT, WIDTH] if layout == "NCHW" else [1, HEIGHT, WIDTH, 3]
    weights = np.array(COLOURS, np.float32).reshape(3, 3, 1, 1)
    nodes = [helper.make_node("Conv", ["x", "w"], ["scores"])]
    if layout == "NHWC":
        nodes.insert(0, helper.make_node("Transpose", ["image"], ["x"], perm=[0, 3, 1, 2]))
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("x" if layout == "NCHW" else "image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 3, HEIGHT, WIDTH])],
        [numpy_helper.from_array(weights, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def write_artifact(
    place: Path,
    *,
    contract: Contract = CONTRACT,
    backend: str = "echo",
    facts: Mapping[str, object] | None = None,
    passed: bool = True,
    graph: onnx.ModelProto | None = None,
    report: Mapping[str, object] | None = None,
) -> Path:
    """An artifact as a build leaves it: the float network, the same as the compiled one, and a log."""
    place.mkdir(parents=True)
    model = graph or colour_graph(layout=contract.layout)
    for name in ("model.onnx", "echo.onnx"):
        onnx.save(model, place / name)
    (place / "logs").mkdir()
    (place / "logs" / "echo.log").write_text("said nothing\n")
    write_json(place / "report.json", report or {"output": contract.output})
    files = (
        File("model.onnx", "float-onnx"),
        File("echo.onnx", "echo", ships=True),
        File("logs/echo.log", "log"),
        File("report.json", "report"),
    )
    tensor = {
        "name": "x",
        "shape": list(contract.shape),
        "dtype": "float32",
        "scale": None,
        "zero_point": None,
    }
    manifest = {
        "schema": 1,
        "mosaic_deploy": "0.1.0",
        "model": "tiny",
        "licence": "Apache-2.0",
        "target": {"schema": 1, "name": backend, "summary": "", "backend": backend, "options": {}},
        "recipe": {"schema": 1, "name": "w8a8"},
        "passed": passed,
        "contract": {**contract.model_dump(mode="json"), "digest": contract.digest()},
        "facts": {"input": tensor, "output": tensor, "fault": "none", **(facts or {})},
        "files": [vars_of(entry) for entry in entries(place, files)],
    }
    write_json(place / "manifest.json", manifest)
    return place


def vars_of(entry: Entry) -> dict[str, object]:
    """An entry as the manifest holds it."""
    return {
        "path": entry.path,
        "kind": entry.kind,
        "bytes": entry.bytes,
        "sha256": entry.sha256,
        "ships": entry.ships,
        "part_of": entry.part_of,
    }


def edit(place: Path, *keys: str | int, value: object) -> None:
    """Change one value of a manifest."""
    path = place / "manifest.json"
    record: Any = json.loads(path.read_text())
    inner = record
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    path.write_text(json.dumps(record))


class FakeBackend:
    """Answers from ``facts``: ``ids`` of each variant, ``seconds`` of each round or none for a simulator."""

    toolchain = "ort"

    def missing(self) -> str | None:
        return None

    def run(
        self,
        built: CompiledModel,
        contract: Contract,
        inputs: tuple[Path, ...],
        *,
        space: WorkDir,
        on_progress: OnProgress,
    ) -> Run:
        on_progress(0.5, "half")
        ids: Any = built.facts.get("ids", {"main": 0})
        outputs = {}
        for name, index in ids.items():
            scores = np.zeros((1, len(contract.classes), contract.height, contract.width), np.float32)
            scores[0, index] = 1
            outputs[name] = (space.scratch / f"{name}.npy",)
            np.save(outputs[name][0], scores)
        (main, ran), *others = outputs.items()
        told = {key: built.facts[key] for key in ("precision", "time_shares") if key in built.facts}
        return Run(ran, (), {"ran_on": f"a fake {main}", "precision": "none", **told}, main, dict(others))

    def time(self, built: CompiledModel, trial: TimingConfig, *, space: WorkDir) -> Timing:
        CALLS.append(built.folder.name)
        turn = CALLS.count(built.folder.name) - 1
        assert np.load(trial.input).shape == tuple(dict_of(built.facts["input"])["shape"])
        facts: dict[str, object] = {"ran_on": "a fake", "threads": built.facts.get("threads", trial.threads)}
        seconds: Any = built.facts.get("seconds")
        if seconds is None:
            spots = tuple((f"node{i}", (9 - i) / 100) for i in range(9))
            return Timing((), 7 << 20, facts, spots)
        runs = int(str(built.facts.get("runs", trial.runs)))
        return Timing(tuple(seconds[turn % len(seconds)] for _ in range(runs)), (turn + 1) << 20, facts)


def dict_of(value: object) -> dict[str, Any]:
    assert isinstance(value, dict)
    return value


def fake_artifact(place: Path, *, seconds: Sequence[float] | None, **facts: object) -> Path:
    """An artifact that the fake runtime takes so long for, a figure per round; None is a simulator."""
    return write_artifact(place, backend="fake", facts={"seconds": seconds, **facts})


BACKEND = FakeBackend()
