"""What computes the tensors of one side: parts of an ONNX compiled anew, or parts cut out of a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, final

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.backends.file_parts import Cut, FileParts, FileTensor, fed
from mosaic_deploy.backends.parts import PartRunner
from mosaic_deploy.backends.protocol import WorkDir
from mosaic_deploy.build.diff.named import NamedGraph
from mosaic_deploy.workers.worker import JsonObject

Arrays = Sequence[NDArray[Any]]


class Prober(Protocol):
    """Computes tensors on one runtime."""

    @property
    def ran_on(self) -> str:
        """The runtime in words, once it ran."""

    @property
    def toolchain(self) -> str:
        """Name of the toolchain of its child processes."""

    def run(self, name: str, given: Mapping[str, Arrays]) -> Arrays:
        """Compute a tensor for each image.

        Args:
            name: the tensor.
            given: tensors that are not computed but fed, as the graph stores them. The image is not among
                them: it is fed wherever a way leads to it past these.

        Returns the tensor as the graph stores it, its axes in the ONNX's order.

        Raises ``ModelError``, ``RefusedError`` or ``ToolError`` as the runtime does.
        """

    def shipped(self, image: int) -> Mapping[str, bytes]:
        """The last part as files of the runtime's own format, and what it was fed and gave for an image.

        Name -> content; empty where parts are ONNX.
        """


@dataclass(slots=True)
class _Place:
    """Where parts are run, each in a folder of its own."""

    space: WorkDir
    count: int = 0

    def next(self) -> tuple[Path, Path]:
        """A folder for a part, and where its log goes."""
        self.count += 1
        folder = self.space.scratch / f"probe-{self.count:03d}"
        folder.mkdir(parents=True)
        return folder, self.space.logs / f"probe-{self.count:03d}.log"


@final
@dataclass(slots=True)
class OnnxProber:
    """Compiles a part of a graph that is ONNX for a runtime that takes ONNX."""

    graph: NamedGraph
    runner: PartRunner
    variant: str | None
    images: tuple[NDArray[Any], ...]
    """The network's inputs as the graph takes them."""
    space: WorkDir
    ran_on: str = ""
    _place: _Place = field(init=False)

    def __post_init__(self) -> None:
        self._place = _Place(self.space)

    @property
    def toolchain(self) -> str:
        """That of the runner."""
        return self.runner.toolchain

    def run(self, name: str, given: Mapping[str, Arrays]) -> Arrays:
        """Do as ``Prober.run`` says."""
        model = self.graph.part(name, {maker: values[0].shape for maker, values in given.items()})
        fed = {self.graph.at(maker).stored: values for maker, values in given.items()}
        wanted = [value.name for value in model.graph.input]
        folder, log = self._place.next()
        part = folder / "part.onnx"
        part.write_bytes(model.SerializeToString())
        placed, outputs = [], []
        for index, image in enumerate(self.images):
            paths = {}
            for place, tensor in enumerate(wanted):
                paths[tensor] = folder / f"in-{index}-{place}.npy"
                values = fed[tensor][index] if tensor in fed else image
                np.save(paths[tensor], values, allow_pickle=False)
            placed.append(paths)
            outputs.append(folder / f"out-{index}.npy")
        self.ran_on = self.runner.run(
            part, placed, outputs, variant=self.variant, folder=folder / "work", log=log
        )
        return [np.load(path, allow_pickle=False) for path in outputs]

    def shipped(self, image: int) -> Mapping[str, bytes]:  # noqa: ARG002  # the protocol's
        """Nothing: the part is ONNX."""
        return {}


@final
@dataclass(slots=True)
class FileProber:
    """Cuts a part out of a compiled file: the operators that it ships, on its own runtime."""

    graph: NamedGraph
    """The same network as ONNX, for names and grids."""
    parts: FileParts
    file: Path
    tensors: Mapping[str, FileTensor]
    prepared: Sequence[Path]
    """The images, as the artifact's contract prepares them."""
    image: JsonObject
    """Facts of the file's input."""
    space: WorkDir
    ran_on: str = ""
    _place: _Place = field(init=False)
    _last: Path | None = None
    """The folder of the last part."""

    def __post_init__(self) -> None:
        self._place = _Place(self.space)

    @property
    def toolchain(self) -> str:
        """That of the backend."""
        return self.parts.toolchain

    def run(self, name: str, given: Mapping[str, Arrays]) -> Arrays:
        """Do as ``Prober.run`` says."""
        folder, log = self._place.next()
        feeds: list[Mapping[str, Path]] = []
        for index in range(len(self.prepared) if given else 0):
            paths = {}
            for place, (maker, values) in enumerate(given.items()):
                path = folder / f"in-{index}-{place}.npy"
                np.save(path, self._turned(maker, values[index]), allow_pickle=False)
                paths[self.tensors[maker].stored] = path
            feeds.append(paths)
        outputs = [folder / f"out-{index}.npy" for index in range(len(self.prepared))]
        part, self._last = Cut(self.tensors[name], feeds, self.prepared), folder
        self.ran_on = self.parts.run(self.file, part, outputs, image=self.image, folder=folder, log=log)
        return [self._read(name, np.load(path, allow_pickle=False)) for path in outputs]

    def shipped(self, image: int) -> Mapping[str, bytes]:
        """Do as ``Prober.shipped`` says."""
        if self._last is None:
            return {}
        cut = self._last / f"part{self.parts.suffix}"
        files = {f"minimal{path.suffix}": path for path in self._last.glob("part.*")}
        inputs: list[Path] = []
        while (path := fed(cut, image, len(inputs))).is_file():
            inputs.append(path)
        numbers = [""] if len(inputs) == 1 else [f"-{number}" for number in range(len(inputs))]
        files |= {f"input{number}.npy": path for number, path in zip(numbers, inputs, strict=True)}
        files["output.npy"] = self._last / f"out-{image}.npy"
        return {name: path.read_bytes() for name, path in sorted(files.items())}

    def _turned(self, name: str, values: NDArray[Any]) -> NDArray[Any]:
        """As the file takes it."""
        tensor, grid = self.tensors[name], self.graph.tensors[name].grid
        if grid is not None and not tensor.integers:
            values = grid.floats(values).astype(np.float32)
        if tensor.axes is None:
            return values
        return np.ascontiguousarray(values.transpose(np.argsort(tensor.axes)))

    def _read(self, name: str, values: NDArray[Any]) -> NDArray[Any]:
        tensor, grid = self.tensors[name], self.graph.tensors[name].grid
        if tensor.axes is not None:
            values = np.ascontiguousarray(values.transpose(tensor.axes))
        return values if grid is None or tensor.integers else grid.integers(values)
