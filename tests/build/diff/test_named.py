from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from mosaic_deploy.build.diff.named import NamedGraph, read_named
from mosaic_deploy.errors import ModelError
from tests.build.diff.graphs import branched, quantised
from tests.conftest import HEIGHT, WIDTH

SHAPE = (1, 3, HEIGHT, WIDTH)


def read(model: onnx.ModelProto, folder: Path) -> NamedGraph:
    onnx.save(model, folder / "net.onnx")
    return read_named(folder / "net.onnx")


@pytest.fixture(params=["float", "quantised"])
def graph(request: pytest.FixtureRequest, tmp_path: Path) -> NamedGraph:
    return read(branched() if request.param == "float" else quantised(), tmp_path)


def test_a_graph_has_the_same_names_with_pairs_and_without(graph: NamedGraph) -> None:
    assert list(graph.tensors) == ["first", "left", "right", "sum", "logits"]
    assert graph.tensors["first"].makers == ("image",)
    assert graph.tensors["sum"].makers == ("left", "right")
    assert [tensor.depth for tensor in graph.tensors.values()] == [1, 2, 2, 3, 4]
    assert graph.ancestors["sum"] == {"first", "left", "right"}
    assert graph.nearest("logits", {"first", "left"}) == ("left", "first")


def test_a_grid_is_that_of_the_pair_and_stores_integers(tmp_path: Path) -> None:
    graph = read(quantised(), tmp_path)
    grid = graph.tensors["left"].grid
    assert grid is not None
    assert (round(grid.scale, 6), grid.zero_point, grid.dtype) == (0.3, 128, "uint8")
    assert graph.image.grid is not None
    assert (graph.tensors["left"].stored, graph.tensors["logits"].stored) == ("left/q", "logits")
    assert grid.integers(np.array([-1e9, 0, 0.3, 1e9])).tolist() == [0, 128, 129, 255]
    assert grid.integers(grid.floats(np.arange(256, dtype=np.uint8))).tolist() == list(range(256))


def test_what_goes_from_one_grid_to_another_is_no_tensor_of_its_own(tmp_path: Path) -> None:
    model = quantised()
    place = next(i for i, node in enumerate(model.graph.node) if node.output[0] == "left/f")
    finer = [
        onnx.helper.make_node("DequantizeLinear", ["left/q", "left/s", "z"], ["left_convert"]),
        onnx.helper.make_node("QuantizeLinear", ["left_convert", "image/s", "z"], ["left_convert/q"]),
        onnx.helper.make_node("DequantizeLinear", ["left_convert/q", "image/s", "z"], ["left/f"]),
    ]
    del model.graph.node[place]
    for node in reversed(finer):
        model.graph.node.insert(place, node)
    graph = read(model, tmp_path)
    assert list(graph.tensors) == ["first", "left", "right", "sum", "logits"]
    assert graph.tensors["sum"].makers == ("left", "right")
    onnx.checker.check_model(graph.part("sum", {"left": SHAPE, "right": SHAPE}, SHAPE), full_check=True)


def test_a_part_is_a_sound_model_of_the_nodes_between(graph: NamedGraph) -> None:
    whole = graph.part("sum", {}, SHAPE)
    part = graph.part("sum", {"left": SHAPE, "right": SHAPE}, SHAPE)
    for model in (whole, part):
        onnx.checker.check_model(model, full_check=True)
    assert [value.name for value in whole.graph.input] == ["image"]
    assert [value.name for value in part.graph.input] == [graph.tensors[n].stored for n in ("left", "right")]
    assert not {tensor.name for tensor in part.graph.initializer} & {"a", "b", "d"}
    assert graph.operators("sum", ("left", "right")) == ("Add 'sum'",)
    assert graph.operators("logits", ("first",))[0] == "Conv 'left'"


def test_weights_in_another_file_are_refused(tmp_path: Path) -> None:
    model = quantised()
    (kernel,) = (tensor for tensor in model.graph.initializer if tensor.name == "a")
    onnx.external_data_helper.set_external_data(kernel, location="../../secret")
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError):
        read_named(tmp_path / "net.onnx")


def test_a_graph_without_a_comparable_tensor_is_refused(tmp_path: Path) -> None:
    model = branched()
    del model.graph.node[:]
    model.graph.node.append(onnx.helper.make_node("Identity", ["image"], ["logits"]))
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.elem_type = onnx.TensorProto.UINT8
    with pytest.raises(ModelError, match="no tensor in it can be compared"):
        read(model, tmp_path)
