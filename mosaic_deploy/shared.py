"""What the builds of one model have in common, made once: its graph, the prepared images, the reference.

card -> float ONNX -> the same with each output kind -> the float network's class maps
images -> inputs in each layout
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mosaic_deploy.backends import Layout, Step
from mosaic_deploy.contract import Contract
from mosaic_deploy.datasets.samples import FileDataset, Pixels
from mosaic_deploy.errors import ModelError
from mosaic_deploy.model import read_model
from mosaic_deploy.output_kind import with_output
from mosaic_deploy.sources import Model
from mosaic_deploy.specs import OutputKind
from mosaic_deploy.tools import GIB, Call, call
from mosaic_deploy.worker import Tick

if TYPE_CHECKING:
    import onnx

_EXPORT_TIMEOUT_S = 600
_REFERENCE_TIMEOUT_S = 3600
_EXPORT_MEMORY = 8 * GIB
_REFERENCE_MEMORY = 4 * GIB


@dataclass(frozen=True, slots=True)
class Graph:
    """The float network as the card states it."""

    path: Path
    model: onnx.ModelProto
    contract: Contract
    step: Step

    def kind(self, asked: OutputKind | None, default: OutputKind) -> OutputKind:
        """What a build is to give: as asked, else the default where the graph can be changed to that.

        Raises ``ModelError`` where what was asked for cannot be had.
        """
        try:
            with_output(self.model, self.contract, want=asked or default)
        except ModelError:
            if asked is not None:
                raise
            return self.contract.output
        return asked or default

    def write(self, kind: OutputKind, path: Path) -> onnx.ModelProto:
        """Write the network with that output; return it as read back, its shapes inferred."""
        import onnx

        changed = with_output(self.model, self.contract, want=kind)
        if changed is self.model:
            path.write_bytes(self.path.read_bytes())
            return self.model
        onnx.save_model(changed, path)
        return read_model(path)


@dataclass(frozen=True, slots=True)
class Maps:
    """Class maps of a network, one ``.npy`` (H, W) uint8 per image at the image's own size."""

    paths: tuple[Path, ...]

    def __getitem__(self, index: int) -> Pixels:
        ids: Pixels = np.load(self.paths[index], allow_pickle=False)
        return ids


@dataclass(frozen=True, slots=True)
class Reference:
    """The float network on ONNX Runtime."""

    maps: Maps
    step: Step


def export(model: Model, folder: Path, logs: Path, *, tick: Tick) -> Graph:
    """Make ``folder / model.onnx`` in a child process.

    Raises ``MosaicError`` where weights or graph cannot be used.
    """
    out = folder / "model.onnx"
    request = {
        "card": model.card.model_dump(mode="json", by_alias=True),
        "root": str(model.root.resolve()),
        "out": str(out.resolve()),
    }
    outcome = call(
        Call(
            "mosaic_deploy.source_graph:write",
            request,
            timeout_s=_EXPORT_TIMEOUT_S,
            memory_bytes=_EXPORT_MEMORY,
            log=logs / "export.log",
            cwd=folder / "export",
        ),
        tick=tick,
    )
    made = outcome.result
    step = Step("export", str(made["tool"]), str(made["version"]), outcome.seconds, outcome.peak_bytes)
    return Graph(out, read_model(out), model.card.contract, step)


def prepare(contract: Contract, dataset: FileDataset, folder: Path, *, tick: Tick) -> tuple[Path, ...]:
    """Write each image as the network's input, ``.npy``."""
    folder.mkdir()
    paths = []
    for index in range(len(dataset)):
        sample = dataset[index]
        path = folder / f"{index:05d}.npy"
        np.save(path, contract.prepare(sample.image), allow_pickle=False)
        paths.append(path)
        tick((index + 1) / len(dataset), sample.name)
    return tuple(paths)


def turn(paths: Iterable[Path], folder: Path, *, have: Layout, want: Layout) -> tuple[Path, ...]:
    """The same inputs with their axes in another order; the paths themselves where it is the same one."""
    if have == want:
        return tuple(paths)
    folder.mkdir()
    order = (0, 2, 3, 1) if want == "NHWC" else (0, 3, 1, 2)
    turned = []
    for path in paths:
        values = np.load(path, allow_pickle=False)
        turned.append(folder / path.name)
        np.save(turned[-1], np.ascontiguousarray(values.transpose(order)), allow_pickle=False)
    return tuple(turned)


def predict(
    onnx_path: Path, inputs: Sequence[Path], folder: Path, logs: Path, *, tick: Tick
) -> tuple[tuple[Path, ...], Step]:
    """Run a float ONNX on ONNX Runtime's CPU kernels, in float32; one ``.npy`` per input in ``folder``."""
    folder.mkdir()
    outputs = tuple(folder / path.name for path in inputs)
    request = {
        "onnx": str(onnx_path.resolve()),
        "inputs": [str(path.resolve()) for path in inputs],
        "outputs": [str(path.resolve()) for path in outputs],
    }
    outcome = call(
        Call(
            "mosaic_deploy.reference:predict",
            request,
            timeout_s=_REFERENCE_TIMEOUT_S,
            memory_bytes=_REFERENCE_MEMORY,
            log=logs / "reference.log",
            cwd=folder / "work",
        ),
        tick=tick,
    )
    version = str(outcome.result["version"])
    return outputs, Step("reference", "onnxruntime", version, outcome.seconds, outcome.peak_bytes)


def class_maps(contract: Contract, outputs: Sequence[Path], dataset: FileDataset, folder: Path) -> Maps:
    """Turn a network's outputs into class maps at each image's size, and remove the outputs.

    Scores of a hundred images take gigabytes, their class maps megabytes.
    """
    folder.mkdir(parents=True)
    paths = []
    for index, output in enumerate(outputs):
        height, width = dataset[index].image.shape[:2]
        path = folder / output.name
        ids = contract.class_map(np.load(output, allow_pickle=False), (height, width))
        np.save(path, ids, allow_pickle=False)
        output.unlink()
        paths.append(path)
    return Maps(tuple(paths))


def pairs(dataset: FileDataset, first: Maps, second: Maps) -> Iterator[tuple[Pixels | None, Pixels, Pixels]]:
    """Labels and both class maps of each image, as ``parity.measure`` takes them."""
    for index in range(len(dataset)):
        yield dataset[index].label, first[index], second[index]


def references(
    graph: Graph, kinds: Iterable[OutputKind], inputs: Sequence[Path], dataset: FileDataset, *, tick: Tick
) -> Mapping[OutputKind, Reference]:
    """Class maps of the float network for each output kind."""
    found: dict[OutputKind, Reference] = {}
    folder = graph.path.parent
    logs = folder / "logs"
    wanted = list(dict.fromkeys(kinds))
    for index, kind in enumerate(wanted):
        path = folder / f"model-{kind}.onnx"
        graph.write(kind, path)

        def hear(share: float, note: str, done: int = index) -> None:
            tick((done + share) / len(wanted), note)

        outputs, step = predict(path, inputs, folder / f"scores-{kind}", logs, tick=hear)
        contract = graph.contract.model_copy(update={"output": kind})
        found[kind] = Reference(class_maps(contract, outputs, dataset, folder / f"maps-{kind}"), step)
    return found
