from __future__ import annotations

import io
import zipfile
from pathlib import Path

import flatbuffers  # type: ignore[import-untyped]  # it has no types
import numpy as np
import pytest

from mosaic_deploy.backends.litert import flatbuffer
from mosaic_deploy.backends.litert.foreign import look
from mosaic_deploy.errors import ModelError
from tests.backends.litert.tflite import tensor, tflite_model


def metadata(mean: list[float], scale: list[float]) -> bytes:
    """An image's normalisation as TensorFlow Lite Support writes it: a table in a table in a table."""
    builder = flatbuffers.Builder(256)

    def floats(values: list[float]) -> int:
        return int(builder.CreateNumpyVector(np.array(values, np.float32)))

    def vector(places: list[int]) -> int:
        builder.StartVector(4, len(places), 4)
        for place in reversed(places):
            builder.PrependUOffsetTRelative(place)
        return int(builder.EndVector())

    def table(fields: dict[int, int], bytes_: dict[int, int]) -> int:
        builder.StartObject(10)
        for number, place in fields.items():
            builder.PrependUOffsetTRelativeSlot(number, place, 0)
        for number, value in bytes_.items():
            builder.PrependUint8Slot(number, value, 0)
        return int(builder.EndObject())

    options = table({0: floats(mean), 1: floats(scale)}, {})
    unit = table({1: options}, {0: 1})
    image = table({4: vector([unit])}, {})
    subgraph = table({2: vector([image])}, {})
    builder.Finish(table({3: vector([subgraph])}, {}), file_identifier=b"M001")
    return bytes(builder.Output())


def described(place: Path, held: bytes) -> Path:
    from ai_edge_litert import schema_py_generated as schema

    model = tflite_model()
    graph = model.subgraphs[0]
    graph.inputs, graph.outputs = (
        [tensor(model, "image", [1, 8, 8, 3])],
        [tensor(model, "scores", [1, 8, 8, 2])],
    )
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(held, np.uint8)
    model.buffers.append(buffer)
    entry.name, entry.buffer = b"TFLITE_METADATA", len(model.buffers) - 1
    model.metadata = [entry]
    flatbuffer.save(model, place)
    return place


def seen(path: Path) -> dict[str, object]:
    return look({"path": str(path)}, lambda _share, _text: None)


def test_normalisation_and_labels_are_read(tmp_path: Path) -> None:
    path = described(tmp_path / "a.tflite", metadata([123.5, 116.0, 104.0], [58.0, 57.0, 57.5]))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("labels.txt", "sky\nroad\n")
    path.write_bytes(path.read_bytes() + packed.getvalue())
    found = seen(path)
    assert (found["mean"], found["scale"]) == ([123.5, 116.0, 104.0], [58.0, 57.0, 57.5])
    assert found["classes"] == ["sky", "road"]
    assert found["description"] is None
    assert found["input"] == {
        "name": "image", "shape": [1, 8, 8, 3], "dtype": "float32", "scale": None, "zero_point": None,
    }  # fmt: skip


def test_a_file_without_metadata_says_nothing(tmp_path: Path) -> None:
    path = described(tmp_path / "a.tflite", metadata([], []))
    found = seen(path)
    assert (found["mean"], found["scale"], found["classes"]) == (None, None, None)


@pytest.mark.parametrize("keep", [0, 3, 11, 40, 75])
def test_damaged_metadata_is_one_line(tmp_path: Path, keep: int) -> None:
    whole = metadata([1.0], [2.0])
    path = described(tmp_path / "a.tflite", whole[:keep] + b"\xff" * (len(whole) - keep))
    with pytest.raises(ModelError, match=r"a\.tflite: cut off or damaged TFLite file"):
        seen(path)


def test_several_inputs_are_refused(tmp_path: Path) -> None:
    path = described(tmp_path / "a.tflite", metadata([1.0], [2.0]))
    model = flatbuffer.load(path)
    model.subgraphs[0].inputs = [0, 0]
    flatbuffer.save(model, path)
    with pytest.raises(ModelError, match="has 2 inputs"):
        seen(path)
