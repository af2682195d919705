"""Class maps of the float network and of candidates, at each image's size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mosaic_deploy.accuracy import ties
from mosaic_deploy.backends import reference
from mosaic_deploy.backends.protocol import Step
from mosaic_deploy.build.float_graph import FloatGraph, GraphFile
from mosaic_deploy.build.inputs import Inputs, ValidationImage
from mosaic_deploy.graph.ends.output import Back
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.specs.fields import OutputKind
from mosaic_deploy.specs.labels import Pixels
from mosaic_deploy.specs.toolchain import toolchain_python
from mosaic_deploy.workers.call import GIB, Call, call
from mosaic_deploy.workers.progress import OnProgress

_REFERENCE_TIMEOUT_S = 3600
_REFERENCE_MEMORY = 4 * GIB


@dataclass(frozen=True, slots=True)
class Maps:
    """Class maps of a network, one ``.npy`` (H, W) uint8 per image at the image's own size."""

    paths: tuple[Path, ...]

    def __getitem__(self, index: int) -> Pixels:
        ids: Pixels = np.load(self.paths[index], allow_pickle=False)
        return ids

    def only(self, indices: Sequence[int]) -> Maps:
        """Those of some images."""
        return Maps(tuple(self.paths[index] for index in indices))


@dataclass(frozen=True, slots=True)
class Reference:
    """The float network on ONNX Runtime."""

    maps: Maps
    step: Step
    ties: tuple[float, ...]
    """Of each image the share of the pixels on which its best scores tie."""

    @property
    def tied(self) -> float:
        """The mean of ``ties``."""
        return sum(self.ties) / max(len(self.ties), 1)

    def only(self, indices: Sequence[int]) -> Reference:
        """What it gives on some images."""
        kept = tuple(self.ties[index] for index in indices)
        return replace(self, maps=self.maps.only(indices), ties=kept)


def predict(
    onnx_path: Path, inputs: Sequence[Path], folder: Path, logs: Path, *, on_progress: OnProgress
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
            reference.predict,
            request,
            timeout_s=_REFERENCE_TIMEOUT_S,
            memory_bytes=_REFERENCE_MEMORY,
            log=logs / "reference.log",
            cwd=folder / "work",
            interpreter=toolchain_python(reference.TOOLCHAIN),
        ),
        on_progress=on_progress,
    )
    version = str(outcome.result["version"])
    return outputs, Step("reference", "onnxruntime", version, outcome.seconds, outcome.peak_bytes)


def class_maps(
    contract: Contract, outputs: Sequence[Path], images: Sequence[ValidationImage], folder: Path
) -> Maps:
    """Turn a network's outputs into class maps at each image's size, and remove the outputs.

    Scores of a hundred images take gigabytes, their class maps megabytes.
    """
    folder.mkdir(parents=True)
    paths = []
    for output, image in zip(outputs, images, strict=True):
        path = folder / output.name
        ids = contract.class_map(np.load(output, allow_pickle=False), image.size)
        np.save(path, ids, allow_pickle=False)
        output.unlink()
        paths.append(path)
    return Maps(tuple(paths))


def pairs(
    images: Sequence[ValidationImage], first: Maps, second: Maps
) -> Iterator[tuple[Pixels | None, Pixels, Pixels]]:
    """Labels and both class maps of each image, as ``parity.measure`` takes them."""
    for index, image in enumerate(images):
        yield image.read_label(), first[index], second[index]


def reference_maps(
    graph: FloatGraph, kinds: Mapping[OutputKind, GraphFile], inputs: Inputs, *, on_progress: OnProgress
) -> Mapping[OutputKind, Reference]:
    """Class maps of the float network for each output kind."""
    found: dict[OutputKind, Reference] = {}
    folder = graph.path.parent
    logs = folder / "logs"
    for index, (kind, file) in enumerate(kinds.items()):

        def hear(fraction: float, note: str, done: int = index) -> None:
            on_progress((done + fraction) / len(kinds), note)

        scores = folder / f"scores-{kind}"
        as_it_came = file.original != file.path
        fed = inputs.originals if as_it_came else inputs.validation
        outputs, step = predict(file.original, fed, scores, logs, on_progress=hear)
        if as_it_came:
            _restore(graph.ends.back, outputs)
        contract = graph.contract_of(kind)
        tied = tuple(ties.share(contract, np.load(path, allow_pickle=False)) for path in outputs)
        maps = class_maps(contract, outputs, inputs.images, folder / f"maps-{kind}")
        found[kind] = Reference(maps, step, tied)
    return found


def _restore(back: Back, outputs: Sequence[Path]) -> None:
    """Give outputs of the file as it came the form of the graph's."""
    for path in outputs:
        np.save(path, back.restore(np.load(path, allow_pickle=False)), allow_pickle=False)
