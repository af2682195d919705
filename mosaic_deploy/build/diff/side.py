"""One of the two that are compared: a graph, the runtime that compiles parts of it, and the images it gets.

    DIR          an artifact, on its target's runtime    DIR:68    one of the devices that it was compiled for
    float, onnx  the float graph of the other side's artifact, on ONNX Runtime
    qdq          its quantised graph, on ONNX Runtime

The first two are what people have; the others say whether the graph or the runtime is to blame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.artifact.open import Artifact, open_artifact
from mosaic_deploy.backends.parts import REFERENCE, PartRunner, load_parts
from mosaic_deploy.backends.protocol import WorkDir
from mosaic_deploy.build.diff.named import NamedGraph, read_named
from mosaic_deploy.build.inputs import reorder_axes
from mosaic_deploy.errors import ModelError, UsageError
from mosaic_deploy.quantize.boundary import to_integers
from mosaic_deploy.specs.registry import nearest

FLOAT, QDQ = ("float", "onnx"), "qdq"
_QDQ_KIND = "qdq-onnx"
Arrays = Sequence[NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person wrote for one side."""

    text: str
    artifact: Artifact | None
    """None for a word that stands for a graph of the other side's."""
    variant: str | None = None


@dataclass(slots=True)
class Side:
    """One side, ready to be probed."""

    title: str
    file: Path
    """The graph that parts are cut of."""
    graph: NamedGraph
    runner: PartRunner
    variant: str | None
    images: tuple[NDArray[Any], ...]
    """The network's inputs as the graph takes them."""
    space: WorkDir
    ran_on: str = ""
    """The runtime in words, once it ran."""
    count: int = 0
    """Parts that were run."""
    _known: dict[str, tuple[NDArray[Any], ...]] = field(default_factory=dict)

    @property
    def quantised(self) -> bool:
        """Whether the graph has grids."""
        return any(tensor.grid is not None for tensor in self.graph.tensors.values())

    def values(self, name: str) -> tuple[NDArray[Any], ...]:
        """A tensor for each image, in floats; computed once.

        Raises ``ModelError``, ``RefusedError`` or ``ToolError`` as the runtime does.
        """
        if name not in self._known:
            stored = self._run(name, {}, [{self.graph.image.stored: image} for image in self.images])
            self._known[name] = self._floats(name, stored)
        return self._known[name]

    def alone(self, name: str, given: Mapping[str, Arrays]) -> tuple[NDArray[Any], ...]:
        """A tensor in floats, computed from floats of the tensors that it is made of, for each image."""
        shapes = {maker: values[0].shape for maker, values in given.items()}
        count = len(next(iter(given.values())))
        feeds = [{self.graph.at(m).stored: self.store(m, given[m][i]) for m in given} for i in range(count)]
        return self._floats(name, self._run(name, shapes, feeds))

    def store(self, name: str, values: NDArray[Any]) -> NDArray[Any]:
        """Floats as the graph stores that tensor; the image is as the graph takes it already."""
        grid = self.graph.at(name).grid
        if name == self.graph.image.name:
            return values
        return values.astype(np.float32) if grid is None else grid.integers(values)

    def _floats(self, name: str, stored: Arrays) -> tuple[NDArray[Any], ...]:
        grid = self.graph.tensors[name].grid
        return tuple(values if grid is None else grid.floats(values) for values in stored)

    def _run(
        self, name: str, shapes: Mapping[str, tuple[int, ...]], feeds: Sequence[Mapping[str, NDArray[Any]]]
    ) -> Arrays:
        """Run a part; the image is fed too where a way leads to it past what is given."""
        self.count += 1
        model = self.graph.part(name, shapes)
        wanted = [value.name for value in model.graph.input]
        folder = self.space.scratch / f"probe-{self.count:03d}"
        folder.mkdir(parents=True)
        part = folder / "part.onnx"
        part.write_bytes(model.SerializeToString())
        placed, outputs = [], []
        for index, feed in enumerate(feeds):
            paths = {}
            for place, tensor in enumerate(wanted):
                paths[tensor] = folder / f"in-{index}-{place}.npy"
                values = feed[tensor] if tensor in feed else self.images[index]
                np.save(paths[tensor], values, allow_pickle=False)
            placed.append(paths)
            outputs.append(folder / f"out-{index}.npy")
        self.ran_on = self.runner.run(
            part,
            placed,
            outputs,
            variant=self.variant,
            folder=folder / "work",
            log=self.space.logs / f"probe-{self.count:03d}.log",
        )
        return [np.load(path, allow_pickle=False) for path in outputs]


def ask(text: str) -> Asked:
    """Read one side's words.

    Raises:
        UsageError: it names no folder.
        ModelError: the folder is no sound artifact.
    """
    if text in (*FLOAT, QDQ):
        return Asked(text, None)
    folder, variant = Path(text), None
    if not folder.is_dir() and ":" in text:
        before, _, variant = text.rpartition(":")
        folder = Path(before)
    if not folder.is_dir():
        raise UsageError(
            f"{text}: no such folder: name an artifact's folder, FOLDER:DEVICE, or one of "
            f"{', '.join((*FLOAT, QDQ))}"
        )
    return Asked(text, open_artifact(folder), variant)


def side(asked: Asked, artifact: Artifact, prepared: Sequence[Path], space: WorkDir) -> Side:
    """Make a side of what was asked.

    Args:
        asked: one side.
        artifact: its own, or for ``float`` and ``qdq`` the other side's.
        prepared: the images, as the artifact's contract prepares them.
        space: of this side alone.

    Raises:
        UsageError: its backend compiles no parts, or not for that device.
        ModelError: the artifact lacks the graph, or it cannot be used.
    """
    wants_float = asked.text in FLOAT
    file = _float_file(artifact) if wants_float else _own_file(artifact, asked)
    graph = read_named(file)
    if asked.artifact is None:
        runner, variant = load_parts(REFERENCE), None
    else:
        runner, variant = load_parts(artifact.backend), _variant(asked, artifact)
    quantised = any(tensor.grid for tensor in graph.tensors.values())
    images = _images(graph, artifact, prepared, space, quantised=quantised)
    return Side(asked.text, file, graph, runner, variant, images, space)


def _float_file(artifact: Artifact) -> Path:
    entry = artifact.float_onnx
    if entry is None:
        raise ModelError(f"{artifact.built.folder}: has no model.onnx, the float network: build it again")
    return artifact.path(entry)


def _own_file(artifact: Artifact, asked: Asked) -> Path:
    found = next((artifact.path(e) for e in artifact.entries if e.kind == _QDQ_KIND), None)
    if found is not None:
        return found
    if asked.text == QDQ:
        raise ModelError(f"{artifact.built.folder}: holds no quantised ONNX graph, to run as 'qdq'")
    return _float_file(artifact)


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


def _images(
    graph: NamedGraph, artifact: Artifact, prepared: Sequence[Path], space: WorkDir, *, quantised: bool
) -> tuple[NDArray[Any], ...]:
    if quantised:
        facts = artifact.built.facts["input"]
        if not isinstance(facts, dict):
            raise TypeError(f"facts of an input expected, not {facts!r}")
        arrays = (np.load(path, allow_pickle=False) for path in prepared)
        return tuple(to_integers(values, facts) for values in arrays)
    value = next(v for v in graph.model.graph.input if v.name == graph.image.stored)
    shape = [int(dim.dim_value) for dim in value.type.tensor_type.shape.dim]
    have = artifact.contract.layout
    want = "NCHW" if len(shape) == 4 and shape[1] == 3 else "NHWC"
    turned = reorder_axes(prepared, space.scratch / "turned", have=have, want=want)  # type: ignore[arg-type]
    return tuple(np.load(path, allow_pickle=False) for path in turned)
