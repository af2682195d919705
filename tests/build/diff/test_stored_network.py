from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from mosaic_deploy.backends.file_parts import FileFacts, FileTensor
from mosaic_deploy.build.diff.named import Grid, NamedGraph, read_named
from mosaic_deploy.build.diff.stored_network import stored_network
from tests.build.diff.graphs import branched
from tests.conftest import HEIGHT, WIDTH


def on_grid(scale: float, zero_point: int = 3) -> FileTensor:
    return FileTensor("theirs", (0, 3, 1, 2), scale, zero_point, "int8", integers=True)


FLOAT = FileTensor("theirs", None, None, 0, "float32", integers=False)
FACTS = FileFacts({"image": on_grid(0.5), "left": on_grid(0.25), "sum": FLOAT}, False, {}, {})


@pytest.fixture
def graph(tmp_path: Path) -> NamedGraph:
    onnx.save(branched(), tmp_path / "net.onnx")
    return read_named(tmp_path / "net.onnx")


def weights(graph: NamedGraph) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.model.graph.initializer}


def test_tensors_get_the_grids_of_the_file_and_others_stay(graph: NamedGraph) -> None:
    stored = stored_network(graph, FACTS)
    tensors = stored.graph.tensors
    assert (tensors["left"].grid, tensors["sum"].grid) == (Grid(0.25, 3, "int8"), None)
    assert (tensors["left"].stored, tensors["sum"].stored) == ("left/stored", "sum")
    assert list(tensors) == list(graph.tensors)
    assert tensors["sum"].makers == ("left", "right")
    for name in ("left", "sum", "logits"):
        onnx.checker.check_model(stored.graph.part(name, {}, (1, 3, HEIGHT, WIDTH)), full_check=True)
    readers = [node for node in stored.graph.model.graph.node if "left" in node.input]
    assert [node.op_type for node in readers] == ["QuantizeLinear"]
    assert stored.quantised


def test_weights_are_the_files_or_rounded_and_those_of_plain_are_as_they_were(graph: NamedGraph) -> None:
    kernel = weights(graph)["b"]
    integers = np.clip(np.rint(kernel / 0.02), -127, 127).astype(np.int8)
    steps = np.full(kernel.shape, 0.02, np.float32)
    held = {"b": (integers, steps), "d": (weights(graph)["d"], np.zeros((3, 3, 1, 1), np.float32))}
    stored = stored_network(graph, FileFacts(FACTS.tensors, False, held, {}))
    assert stored.plain is not None
    assert (weights(stored.plain)["b"] == kernel).all()
    found = weights(stored.graph)
    assert (found["b/stored"] == integers).all()
    assert (found["b/scale"] == np.float32(0.02)).all()
    assert (found["d"] == weights(graph)["d"]).all(), "left in float"
    ours = weights(graph)["a"]
    again = found["a/stored"] * found["a/scale"].reshape(3, 1, 1, 1)
    assert np.abs(again - ours).max() <= 0.501 * found["a/scale"].max()
    assert np.abs(found["a/stored"]).max() == 127


def test_halves_are_rounded_and_floats_left_alone(graph: NamedGraph) -> None:
    tensors = {"left": FLOAT}
    assert stored_network(graph, FileFacts(tensors, False, {}, {})).graph is graph
    halved = stored_network(graph, FileFacts(tensors, True, {}, {}))
    assert not halved.quantised
    assert (weights(halved.graph)["a"] == weights(graph)["a"].astype(np.float16)).all()
    assert halved.plain is not None
    assert (weights(halved.plain)["a"] == weights(graph)["a"]).all()
