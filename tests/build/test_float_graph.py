"""The float graph from an export that was made before, and from a child process where there is none."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from mosaic_deploy.build import float_graph
from mosaic_deploy.build.float_graph import FloatGraph, write_float_graph
from mosaic_deploy.build.model_source import InputOptions, Model, find_model
from mosaic_deploy.specs.root import spec_root
from mosaic_deploy.workers.call import Call, Outcome
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.zoo import export_cache
from mosaic_deploy.zoo.card_export import EXPORTER
from tests.conftest import tiny_graph


@pytest.fixture
def mosaic() -> Model:
    return find_model("mosaic", options=InputOptions(), labels=None)


def write(model: Model, folder: Path) -> FloatGraph:
    (folder / "logs").mkdir(parents=True)
    return write_float_graph(model, folder, folder / "logs", on_progress=lambda _share, _text: None)


def no_child(job: Call, *, on_progress: OnProgress) -> Outcome:
    raise AssertionError("an export was at hand")


def test_the_projects_export_is_taken_as_it_is(
    mosaic: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(float_graph, "call", no_child)
    graph = write(mosaic, tmp_path)
    assert graph.path.read_bytes() == (spec_root() / "models" / "exports" / "mosaic.onnx").read_bytes()
    assert (graph.step.name, graph.step.tool) == ("read export", "torch")
    assert (tmp_path / "logs" / "export.log").read_bytes() == b""  # as a child that says nothing leaves it


def test_what_a_child_exported_is_taken_the_next_time(
    mosaic: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Call] = []

    def child(job: Call, *, on_progress: OnProgress) -> Outcome:
        asked.append(job)
        onnx.save(tiny_graph(), job.request["out"])
        return Outcome({"tool": "torch", "version": EXPORTER["torch"], "versions": dict(EXPORTER)}, 1.0, 1)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(export_cache, "_project_folder", lambda: tmp_path / "none")
    monkeypatch.setattr(float_graph, "call", child)
    first, second = (write(mosaic, tmp_path / name) for name in ("first", "second"))
    assert len(asked) == 1
    assert (first.step.name, second.step.name) == ("export", "read export")
    assert first.path.read_bytes() == second.path.read_bytes()
