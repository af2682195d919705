"""An artifact's network on some images, and the sides that can be made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.artifact.open import Artifact
from mosaic_deploy.backends.file_parts import FileFacts, FileParts, load_file_parts
from mosaic_deploy.backends.parts import PLAIN, REFERENCE, load_parts
from mosaic_deploy.backends.protocol import Layout, WorkDir
from mosaic_deploy.build.diff.named import NamedGraph, read_named
from mosaic_deploy.build.diff.prober import FileProber, OnnxProber
from mosaic_deploy.build.diff.side import FLOAT, QDQ, Asked, Side
from mosaic_deploy.build.diff.stored_network import StoredNetwork, stored_network
from mosaic_deploy.build.inputs import reorder_axes
from mosaic_deploy.errors import ModelError, UsageError
from mosaic_deploy.quantize.boundary import to_integers
from mosaic_deploy.specs.registry import nearest
from mosaic_deploy.workers.worker import JsonObject

_QDQ_KIND = "qdq-onnx"


@dataclass(slots=True)
class Network:
    """What the sides of one artifact share."""

    artifact: Artifact
    prepared: Sequence[Path]
    """The images, as the artifact's contract prepares them."""
    space: WorkDir
    _found: tuple[FileFacts, StoredNetwork] | None = None

    def side(self, asked: Asked, space: WorkDir) -> Side:
        """Make a side of what was asked.

        Args:
            asked: this artifact, or a word that stands for one of its graphs.
            space: of this side alone.

        Raises:
            UsageError: its backend compiles no parts, or not for that device.
            ModelError: the artifact lacks the graph, or it cannot be used.
            ToolError: a tool is missing or failed.
        """
        artifact = self.artifact
        parts = load_file_parts(artifact.backend, artifact.built.facts)
        if asked.text in FLOAT:
            return self._onnx(asked, read_named(self._float_file()), REFERENCE, space)
        if parts is not None:
            if asked.artifact is not None:
                _variant(asked, artifact)
                return self._file(asked, parts, space)
            if not self._facts(parts)[1].quantised:
                raise ModelError(f"{artifact.built.folder}: is not quantised: name 'float', not 'qdq'")
            return self._rounded(asked, parts, space)
        backend = REFERENCE if asked.artifact is None else artifact.backend
        load_parts(backend)  # refuses before anything is read
        return self._onnx(asked, read_named(self._own_file(asked)), backend, space)

    def _onnx(self, asked: Asked, graph: NamedGraph, backend: str, space: WorkDir) -> Side:
        quantised = any(tensor.grid for tensor in graph.tensors.values())
        images = self._integers() if quantised else self._floats(graph, space)
        variant = None if asked.artifact is None else _variant(asked, self.artifact)
        prober = OnnxProber(graph, load_parts(backend), variant, images, space)
        return Side(asked.text, graph, prober, graph.tensors.keys(), None, images, space)

    def _rounded(self, asked: Asked, parts: FileParts, space: WorkDir) -> Side:
        """The file's network as ONNX, on ONNX Runtime."""
        facts, stored = self._facts(parts)
        images = self._floats(stored.graph, space)
        prober = OnnxProber(stored.graph, load_parts(PLAIN), None, images, space)
        known = facts.tensors.keys() & stored.graph.tensors.keys()
        return Side(asked.text, stored.graph, prober, known, stored.plain, images, space)

    def _file(self, asked: Asked, parts: FileParts, space: WorkDir) -> Side:
        facts, stored = self._facts(parts)
        image = self._image()
        prober = FileProber(
            stored.graph, parts, self._network_file(parts), facts.tensors, self.prepared, image, space
        )
        images = self._floats(stored.graph, space)
        known = facts.tensors.keys() & stored.graph.tensors.keys()
        return Side(asked.text, stored.graph, prober, known, stored.plain, images, space)

    def _facts(self, parts: FileParts) -> tuple[FileFacts, StoredNetwork]:
        """What the file knows of the float graph; found once."""
        if self._found is None:
            file = self._float_file()
            graph = read_named(file)
            request: JsonObject = {
                "file": str(self._network_file(parts).resolve()),
                "onnx": str(file.resolve()),
                "layout": _layout(graph),
                "shape": list(self.artifact.contract.shape),
                "image": str(self.prepared[0].resolve()),
                "integers": self.artifact.built.facts.get("arithmetic") == "int8",
            }
            facts = parts.facts(
                request, folder=self.space.scratch / "tensors", log=self.space.logs / "tensors.log"
            )
            self._found = facts, stored_network(graph, facts)
        return self._found

    def _network_file(self, parts: FileParts) -> Path:
        entries = (e for e in self.artifact.entries if e.ships and e.path.endswith(parts.suffix))
        return self.artifact.path(next(entries))

    def _float_file(self) -> Path:
        entry = self.artifact.float_onnx
        if entry is None:
            raise ModelError(
                f"{self.artifact.built.folder}: has no model.onnx, the float network: build it again"
            )
        return self.artifact.path(entry)

    def _own_file(self, asked: Asked) -> Path:
        artifact = self.artifact
        found = next((artifact.path(e) for e in artifact.entries if e.kind == _QDQ_KIND), None)
        if found is not None:
            return found
        if asked.text == QDQ:
            raise ModelError(f"{artifact.built.folder}: holds no quantised ONNX graph, to run as 'qdq'")
        return self._float_file()

    def _image(self) -> JsonObject:
        facts = self.artifact.built.facts["input"]
        if not isinstance(facts, dict):
            raise TypeError(f"facts of an input expected, not {facts!r}")
        return facts

    def _integers(self) -> tuple[NDArray[Any], ...]:
        arrays = (np.load(path, allow_pickle=False) for path in self.prepared)
        return tuple(to_integers(values, self._image()) for values in arrays)

    def _floats(self, graph: NamedGraph, space: WorkDir) -> tuple[NDArray[Any], ...]:
        have, want = self.artifact.contract.layout, _layout(graph)
        turned = reorder_axes(self.prepared, space.scratch / "turned", have=have, want=want)
        return tuple(np.load(path, allow_pickle=False) for path in turned)


def _layout(graph: NamedGraph) -> Layout:
    """Order of the axes of its image."""
    value = next(v for v in graph.model.graph.input if v.name == graph.image.stored)
    shape = [int(dim.dim_value) for dim in value.type.tensor_type.shape.dim]
    return "NCHW" if len(shape) == 4 and shape[1] == 3 else "NHWC"


def _variant(asked: Asked, artifact: Artifact) -> str | None:
    """The device to compile for: the one asked for, else the newest."""
    stated = artifact.built.facts.get("archs")
    known = sorted((str(a) for a in stated), key=int) if isinstance(stated, list) else []
    if asked.variant is None:
        return known[-1] if known else None
    wanted = asked.variant.removeprefix("v")
    if wanted not in known:
        said = f"known: {', '.join(known)}" if known else "it was compiled for none in particular"
        raise UsageError(f"{asked.text}: no device '{asked.variant}'{nearest(wanted, known)}; {said}")
    return wanted
