"""TFLite files that others made: what they take and give, and what their metadata says; in child processes.

Metadata is a flatbuffer inside the file, and files beside it in a ZIP archive at its end. What is read of it:
the normalisation of the image, and the names of the classes. Its tables are those of ``metadata_schema.fbs``
in TensorFlow Lite Support; only the few fields that are needed are read here, by their numbers.
"""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from mosaic_deploy.backends.litert import flatbuffer
from mosaic_deploy.backends.litert.child_calls import MODEL
from mosaic_deploy.backends.protocol import CompiledModel, File
from mosaic_deploy.errors import ModelError
from mosaic_deploy.specs.metadata import METADATA_KEY
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject

_METADATA = "TFLITE_METADATA"
_FILE_BYTES = 384 << 20
_LABELS_BYTES = 1 << 16
_SUBGRAPHS, _INPUTS, _OUTPUTS, _UNITS, _FILES = 3, 2, 3, 4, 6  # numbers of fields
_OPTIONS_TYPE, _OPTIONS, _NORMALISATION = 0, 1, 1
_DAMAGED = (
    AttributeError, EOFError, IndexError, KeyError, OverflowError, RuntimeError, TypeError, ValueError,
    struct.error, zipfile.BadZipFile,
)  # fmt: skip


def look(request: JsonObject, _on_progress: OnProgress) -> JsonObject:
    """Read ``request["path"]`` without running it.

    Returns:
        ``input`` and ``output`` as a manifest has them; ``description``, what mosaic-deploy wrote into it, or
        None; ``mean``, ``scale`` and ``classes`` of its metadata, or None.

    Raises ``ModelError`` for what is no sound file of one input and one output.
    """
    path = Path(request["path"])
    if path.stat().st_size > _FILE_BYTES:
        raise ModelError(f"{path.name}: larger than {_FILE_BYTES >> 20} MiB, the largest that is supported")
    try:
        model = flatbuffer.load(path)
        graph = model.subgraphs[0]
        ends = {"input": list(graph.inputs), "output": list(graph.outputs)}
        for role, tensors in ends.items():
            if len(tensors) != 1:
                raise ModelError(f"{path.name}: has {len(tensors)} {role}s, one is expected")
        found: JsonObject = {
            role: flatbuffer.describe(model, int(tensors[0])) for role, tensors in ends.items()
        }
        description = flatbuffer.read_metadata(path, METADATA_KEY)
        stated = _metadata(model)
        labels = _labels(path)
    except _DAMAGED as err:
        raise ModelError(f"{path.name}: cut off or damaged TFLite file") from err
    return {**found, "description": description, **stated, "classes": labels}


def as_built(path: Path, facts: JsonObject, folder: Path) -> CompiledModel:
    """The file as the backend runs its own, copied into ``folder``."""
    (folder / MODEL).write_bytes(path.read_bytes())
    known: dict[str, object] = {
        "input": {"pixel_offset": None, "pixels": None, "pixel_shift": 0.0, **facts["input"]},
        "output": facts["output"],
        "accelerator": "xnnpack",
    }
    return CompiledModel(folder, (File(MODEL, "tflite", ships=True),), (), known)


def _metadata(model: Any) -> JsonObject:
    """``mean`` and ``scale`` of the image as the file's metadata states them."""
    nothing: JsonObject = {"mean": None, "scale": None}
    entries = [entry for entry in model.metadata or [] if bytes(entry.name or b"") == _METADATA.encode()]
    if not entries:
        return nothing
    data = bytes(np.asarray(model.buffers[entries[0].buffer].data, np.uint8))
    root = _Table(data, struct.unpack_from("<I", data, 0)[0])
    subgraph = next(iter(root.tables(_SUBGRAPHS)), None)
    image = None if subgraph is None else next(iter(subgraph.tables(_INPUTS)), None)
    for unit in () if image is None else image.tables(_UNITS):
        options = unit.table(_OPTIONS)
        if unit.byte(_OPTIONS_TYPE) == _NORMALISATION and options is not None:
            return {"mean": options.floats(0), "scale": options.floats(1)}
    return nothing


def _labels(path: Path) -> list[str] | None:
    """Lines of the only text file that is packed behind the model."""
    data = path.read_bytes()
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return None
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        texts = [info for info in archive.infolist() if info.filename.endswith(".txt")]
        if len(texts) != 1 or texts[0].file_size > _LABELS_BYTES:
            return None
        lines = archive.read(texts[0]).decode(errors="replace").splitlines()
    return [line.strip() for line in lines if line.strip()] or None


class _Table:
    """A table of a flatbuffer, whose fields are read by number; raises ``struct.error`` beyond its end."""

    def __init__(self, data: bytes, place: int) -> None:
        self._data, self._place = data, place
        self._fields = place - struct.unpack_from("<i", data, place)[0]
        if self._fields < 0:
            raise ValueError("a table before the beginning")

    def _at(self, number: int) -> int | None:
        (size,) = struct.unpack_from("<H", self._data, self._fields)
        if 4 + 2 * number >= size:
            return None
        (offset,) = struct.unpack_from("<H", self._data, self._fields + 4 + 2 * number)
        return self._place + offset if offset else None

    def _follow(self, place: int) -> int:
        return int(place + struct.unpack_from("<I", self._data, place)[0])

    def byte(self, number: int) -> int:
        """An unsigned byte; 0 where it is not stated."""
        place = self._at(number)
        return 0 if place is None else self._data[place]

    def table(self, number: int) -> _Table | None:
        """A table within it."""
        place = self._at(number)
        return None if place is None else _Table(self._data, self._follow(place))

    def _vector(self, number: int) -> tuple[int, int]:
        place = self._at(number)
        if place is None:
            return 0, 0
        start = self._follow(place)
        (count,) = struct.unpack_from("<I", self._data, start)
        return start + 4, min(count, len(self._data) // 4)

    def tables(self, number: int) -> list[_Table]:
        """A list of tables."""
        start, count = self._vector(number)
        return [_Table(self._data, self._follow(start + 4 * index)) for index in range(count)]

    def floats(self, number: int) -> list[float] | None:
        """A list of numbers; None where there are none."""
        start, count = self._vector(number)
        return [float(value) for value in struct.unpack_from(f"<{count}f", self._data, start)] or None
