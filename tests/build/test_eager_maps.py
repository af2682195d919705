"""PyTorch against its export: on the real network, with weights that are the export's and with others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from safetensors.numpy import load_file, save_file

from mosaic_deploy.accuracy.parity import ParityReport, measure
from mosaic_deploy.build.eager_maps import Eager, eager_maps
from mosaic_deploy.build.float_graph import FloatGraph, write_float_graph
from mosaic_deploy.build.inputs import Inputs, prepare_inputs
from mosaic_deploy.build.model_source import InputOptions, Model, find_model
from mosaic_deploy.build.reference_maps import Maps, pairs, reference_maps
from mosaic_deploy.datasets import open_data
from mosaic_deploy.specs.toolchain import is_here
from tests.conftest import Tiny


def quiet(_share: float, _note: str) -> None: ...


def prepared(model: Model, folder: Path) -> tuple[FloatGraph, Inputs]:
    (folder / "logs").mkdir()
    graph = write_float_graph(model, folder, folder / "logs", on_progress=quiet)
    some = open_data("streets", split="val").only([0, 7])
    return graph, prepare_inputs(graph.contract, graph.own, [], some, folder / "inputs", on_progress=quiet)


def held(graph: FloatGraph, inputs: Inputs, first: Maps, second: Maps) -> ParityReport:
    found = pairs(inputs.images, first, second)
    return measure(found, labels=graph.contract.labels, dataset="streets", tolerance=0.01)


def other_weights(model: Model, folder: Path, *, scale: float) -> Model:
    """The model with its weights in another folder, those of one layer scaled."""
    name = str(model.card.source.weights)
    tensors = load_file(model.root / name)
    layer = next(key for key, values in tensors.items() if values.ndim == 4 and values.shape[0] > 32)
    (folder / name).parent.mkdir(parents=True)
    save_file(tensors | {layer: tensors[layer] * scale}, folder / name)
    return replace(model, root=folder)


@pytest.mark.slow
@pytest.mark.skipif(not is_here("torch"), reason="PyTorch is not installed here")
def test_the_export_sees_what_pytorch_sees_and_other_weights_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = find_model("mosaic", options=InputOptions(), labels=None)
    graph, inputs = prepared(model, tmp_path)
    kinds = graph.write_kinds([])
    onnx = reference_maps(graph, kinds, inputs, on_progress=quiet)[graph.contract.output].maps

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def seen(model: Model, folder: str) -> Eager:
        place = tmp_path / folder
        (place / "logs").mkdir(parents=True)
        return eager_maps(model, graph, inputs, place, on_progress=quiet)

    same = seen(model, "same")
    assert (same.indices, same.why) == ((0, 1), "")
    assert same.maps is not None
    report = held(graph, inputs, same.maps, onnx)
    assert report.agreement > 0.9999
    assert abs(report.drop) < 1e-4
    with monkeypatch.context() as without:
        without.setattr("mosaic_deploy.build.eager_maps.call", None)
        again = seen(model, "again")
    assert again.maps is not None
    assert all((again.maps[i] == same.maps[i]).all() for i in same.indices)
    other = seen(other_weights(model, tmp_path / "elsewhere", scale=0.5), "other")
    assert other.maps is not None
    assert held(graph, inputs, other.maps, onnx).agreement < 0.99
    broken = seen(replace(model, root=tmp_path / "nowhere"), "broken")
    assert (broken.maps, broken.why) == (None, "PyTorch did not run it on this machine")


def test_a_network_that_came_as_onnx_has_no_pytorch(tiny: Tiny, tmp_path: Path) -> None:
    model = find_model(str(tiny.card), options=InputOptions(), labels=None)
    nothing = cast("FloatGraph", None), Inputs({}, (), (), ())
    found = eager_maps(model, *nothing, tmp_path, on_progress=quiet)
    assert (found.maps, found.why) == (None, "the network came as ONNX")


def test_nothing_is_installed_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mosaic_deploy.build.eager_maps.is_here", lambda _name: False)
    monkeypatch.setattr("mosaic_deploy.build.eager_maps.made_python", lambda _name: None)
    model = find_model("mosaic", options=InputOptions(), labels=None)
    nothing = cast("FloatGraph", None), Inputs({}, (), (), ())
    found = eager_maps(model, *nothing, tmp_path, on_progress=quiet)
    assert (found.maps, found.why) == (None, "not run: PyTorch is not installed here")
