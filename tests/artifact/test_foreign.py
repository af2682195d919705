from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mosaic_deploy.artifact.basis import Basis, of_labels
from mosaic_deploy.artifact.foreign import Foreign, Stated, open_foreign
from mosaic_deploy.artifact.open import workspace
from mosaic_deploy.backends.protocol import WorkDir
from mosaic_deploy.errors import ModelError
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.specs.metadata import METADATA_KEY
from tests.artifact.tiny_artifact import CONTRACT, colour_graph, write_artifact
from tests.conftest import HEIGHT, WIDTH

SHAPE = [1, 3, HEIGHT, WIDTH]


@pytest.fixture
def space() -> Iterator[WorkDir]:
    with workspace() as space:
        yield space


def opened(path: Path, space: WorkDir, *, base: Contract = CONTRACT, stated: Stated | None = None) -> Foreign:
    said = stated or Stated()
    basis = Basis(base, "the reference's")
    return open_foreign(path, basis=basis, stated=said, space=space, on_progress=lambda _s, _n: None)


def saved(place: Path, model: onnx.ModelProto) -> Path:
    onnx.save(model, place)
    return place


def relu(kind: int, shape: list[int], out: list[int] | None = None) -> onnx.ModelProto:
    ends = [
        helper.make_tensor_value_info("x", kind, shape),
        helper.make_tensor_value_info("y", kind, out or shape),
    ]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", ends[:1], ends[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def integers() -> onnx.ModelProto:
    """Takes the integers of scale 1/64 and zero point 100, gives those of 0.5 and 3."""
    grids = {"s": np.float32(1 / 64), "z": np.uint8(100), "t": np.float32(0.5), "u": np.uint8(3)}
    graph = helper.make_graph(
        [
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["x"]),
            helper.make_node("QuantizeLinear", ["x", "t", "u"], ["p"]),
        ],
        "g",
        [helper.make_tensor_value_info("q", TensorProto.UINT8, SHAPE)],
        [helper.make_tensor_value_info("p", TensorProto.UINT8, SHAPE)],
        [numpy_helper.from_array(np.array(value), name) for name, value in grids.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def test_a_float_file_keeps_the_references_contract(tmp_path: Path, space: WorkDir) -> None:
    found = opened(saved(tmp_path / "a.onnx", colour_graph()), space)
    assert found.contract == CONTRACT
    assert found.contract_from == "the reference's"


def test_layout_and_size_are_the_files_own(tmp_path: Path, space: WorkDir) -> None:
    model = relu(TensorProto.FLOAT, [1, 64, 96, 3], [1, 16, 24, 3])
    contract = opened(saved(tmp_path / "a.onnx", model), space).contract
    assert (contract.height, contract.width, contract.layout) == (64, 96, "NHWC")
    assert contract.output == "lowres"


def test_a_side_that_is_not_fixed_is_the_references(tmp_path: Path, space: WorkDir) -> None:
    found = opened(saved(tmp_path / "a.onnx", relu(TensorProto.FLOAT, [0, 3, 0, 0])), space)
    assert found.contract == CONTRACT


def test_integers_go_through_the_grids_of_the_file(tmp_path: Path, space: WorkDir) -> None:
    found = opened(saved(tmp_path / "a.onnx", integers()), space)
    facts: Any = found.built.facts
    assert (facts["input"]["scale"], facts["input"]["zero_point"]) == (1 / 64, 100)
    source = space.scratch / "in.npy"
    image = np.full((HEIGHT, WIDTH, 3), 192, np.uint8)
    np.save(source, found.contract.prepare(image))  # 0.5
    ran = found.runner.run(
        found.built, found.contract, (source,), space=space, on_progress=lambda _s, _n: None
    )
    np.testing.assert_array_equal(np.load(ran.outputs[0]), np.full(SHAPE, 0.5, np.float32))


def test_what_a_person_says_counts_most(tmp_path: Path, space: WorkDir) -> None:
    said = Stated((0.0, 0.0, 0.0), (255.0, 255.0, 255.0), "BGR")
    found = opened(saved(tmp_path / "a.onnx", colour_graph()), space, stated=said)
    assert (found.contract.scale, found.contract.colour) == ((255.0, 255.0, 255.0), "BGR")
    assert found.contract_from == "the options, else the reference's"


def test_the_description_inside_counts_before_the_reference(tmp_path: Path, space: WorkDir) -> None:
    model = colour_graph()
    own = CONTRACT.model_copy(update={"mean": (1.0, 2.0, 3.0)})
    tensor = {"name": "x", "shape": SHAPE, "dtype": "float32", "scale": None, "zero_point": None}
    record = {
        "contract": {**own.model_dump(mode="json"), "digest": own.digest()},
        "input": tensor,
        "output": tensor,
    }
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, json.dumps(record)
    found = opened(saved(tmp_path / "a.onnx", model), space)
    assert found.contract == own
    assert "description" in found.contract_from
    entry.value = json.dumps({**record, "input": {**tensor, "shape": [1, 3, 9, 9]}})
    with pytest.raises(ModelError, match="of another network"):
        opened(saved(tmp_path / "b.onnx", model), space)
    entry.value = '{"contract": 7}'
    with pytest.raises(ModelError, match="is damaged"):
        opened(saved(tmp_path / "c.onnx", model), space)


def test_a_folder_is_an_artifact(tmp_path: Path, space: WorkDir) -> None:
    found = opened(write_artifact(tmp_path / "tiny-echo-w8a8"), space)
    assert found.contract_from == "its manifest"


def test_pixels_as_they_are_need_a_word_for_floats(tmp_path: Path, space: WorkDir) -> None:
    path = saved(tmp_path / "a.onnx", colour_graph())
    base = CONTRACT.model_copy(update={"dtype": "uint8"})
    with pytest.raises(ModelError, match="say --input-mean and --input-scale"):
        opened(path, space, base=base)
    said = Stated((0.0, 0.0, 0.0), (255.0, 255.0, 255.0))
    assert opened(path, space, base=base, stated=said).contract.dtype == "float32"


def bytes_in(scale: float, zero: int, kind: type[np.generic] = np.uint8) -> onnx.ModelProto:
    """Takes bytes on a grid, and gives the floats that they are."""
    grid = {"s": np.float32(scale), "z": kind(zero)}
    graph = helper.make_graph(
        [helper.make_node("DequantizeLinear", ["q", "s", "z"], ["x"])],
        "g",
        [helper.make_tensor_value_info("q", helper.np_dtype_to_tensor_dtype(np.dtype(kind)), SHAPE)],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [numpy_helper.from_array(np.array(value), name) for name, value in grid.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@pytest.mark.parametrize(
    ("model", "offset"),
    [
        pytest.param(bytes_in(1 / 127.5, 127), 0, id="-1 to 1"),
        pytest.param(bytes_in(1 / 128, 0, np.int8), -128, id="signed"),
        pytest.param(bytes_in(1 / 255, 0), 0, id="0 to 1"),
        pytest.param(bytes_in(1.0, -128, np.int8), -128, id="0 to 255, signed"),
    ],
)
def test_bytes_on_a_grid_of_pixels_are_pixels(
    tmp_path: Path, space: WorkDir, model: onnx.ModelProto, offset: int
) -> None:
    base = CONTRACT.model_copy(update={"dtype": "uint8"})
    found = opened(saved(tmp_path / "a.onnx", model), space, base=base)
    source: Any = found.built.facts["input"]
    assert (found.contract.dtype, source["pixel_offset"]) == ("uint8", offset)


def test_bytes_on_another_grid_need_a_word(tmp_path: Path, space: WorkDir) -> None:
    """Of ImageNet's mean and deviation, say, which no pixel's byte lies on."""
    path = saved(tmp_path / "a.onnx", bytes_in(0.0187, 114))
    base = CONTRACT.model_copy(update={"dtype": "uint8"})
    with pytest.raises(ModelError, match=r"input is uint8 of step 0.0187, zero at 114, and nothing says how"):
        opened(path, space, base=base)
    said = Stated((124.0, 116.0, 104.0), (58.0, 57.0, 57.0))
    assert opened(path, space, base=base, stated=said).contract.dtype == "float32"


def test_a_side_that_nobody_fixes_is_refused(tmp_path: Path, space: WorkDir) -> None:
    path = saved(tmp_path / "a.onnx", relu(TensorProto.UINT8, [0, 3, 0, 0]))
    with pytest.raises(ModelError, match="is of no fixed size: name a card with --contract"):
        open_foreign(
            path,
            basis=of_labels(CONTRACT.labels),
            stated=Stated(),
            space=space,
            on_progress=lambda _s, _n: None,
        )


def two_inputs() -> onnx.ModelProto:
    model = colour_graph()
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, SHAPE))
    return model


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        pytest.param("a.onnx", two_inputs(), "has 2 inputs", id="two inputs"),
        pytest.param("a.onnx", relu(TensorProto.FLOAT, [1, 5, 32, 48]), "three colours", id="five colours"),
        pytest.param("a.onnx", relu(TensorProto.FLOAT, SHAPE, [1, 7, 32, 48]), "neither scores",
                     id="7 classes"),
        pytest.param("a.onnx", b"\x08\x07hello", "a.onnx: ", id="no onnx"),
        pytest.param("a.xml", b"<net/>", "a.bin, its weights, is not beside it", id="no weights"),
        pytest.param("a.tflite", b"hello world", "not a TFLite file", id="text", marks=pytest.mark.slow),
        pytest.param("a.tflite", b"\x20\x00\x00\x00TFL3" + b"\xff" * 99, "damaged TFLite", id="noise",
                     marks=pytest.mark.slow),
        pytest.param("a.ort", b"hello world", "not a file in ONNX Runtime's format", id="no ort",
                     marks=pytest.mark.slow),
        pytest.param("a.bin", b"hello world", "no context binary that QNN can read", id="no binary",
                     marks=pytest.mark.slow),
        pytest.param("a.dlc", b"hello world", "no DLC that QNN can read", id="no DLC",
                     marks=pytest.mark.slow),
        pytest.param("a.so", b"x", "a program, which would have to be trusted", id="model library"),
        pytest.param("a.weights", b"x", "not a kind of file that is known", id="unknown"),
        pytest.param("a.onnx", None, "no such file", id="missing"),
    ],
)  # fmt: skip
def test_what_cannot_be_opened_is_one_line(
    tmp_path: Path, space: WorkDir, name: str, content: Any, says: str
) -> None:
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        onnx.save(content, path)
    with pytest.raises(ModelError, match=says) as told:
        opened(path, space)
    assert "\n" not in str(told.value)
