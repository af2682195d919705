"""calibrate(): ranges of a network's activations on some images, with an audit of these images.

images -> do they show scenes? -> parts -> extremes -> histograms -> a range per tensor, and how firm it is
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mosaic_deploy.backends.reference import TOOLCHAIN
from mosaic_deploy.build.float_graph import FloatGraph, write_float_graph
from mosaic_deploy.build.model_source import InputOptions, find_model
from mosaic_deploy.datasets import located, open_data
from mosaic_deploy.datasets.leak import fingerprint
from mosaic_deploy.datasets.likeness import NEAR, Look, distance, look_of, require_scenes
from mosaic_deploy.datasets.samples import FileDataset
from mosaic_deploy.errors import DataError, UsageError
from mosaic_deploy.files import sha256_of
from mosaic_deploy.graph.quantised import require_readable
from mosaic_deploy.quantize.audit import audit, growing_parts
from mosaic_deploy.quantize.calibrate import Calibrator
from mosaic_deploy.quantize.histogram import Extents, Histograms, merged, spreads
from mosaic_deploy.quantize.measure import add_counts, measure, read_extents, write_extents
from mosaic_deploy.specs.labels import LabelSpace
from mosaic_deploy.specs.ranges import ClassShare, RangesFile
from mosaic_deploy.specs.recipe import QuantRecipe
from mosaic_deploy.specs.registry import load_spec
from mosaic_deploy.specs.toolchain import require_toolchain, toolchain_python
from mosaic_deploy.workers.call import GIB, Call, call_all
from mosaic_deploy.workers.progress import StageProgress, silent
from mosaic_deploy.workers.worker import JsonObject

_TIMEOUT_S = 6 * 3600
_MEMORY = 6 * GIB
_MOST_PROCESSES = 64


@dataclass(frozen=True, slots=True)
class CalibrationRequest:
    """What is to be calibrated, on what."""

    model: str
    data: str
    """``NAME[:DIR]``; its split for calibration is taken, and its split for validation held against it."""
    samples: int = 32
    recipe: str = "w8a8"
    """Of it the activations' grid and the method count."""
    processes: int | None = None
    """None takes one per core. Ranges are the same to the bit whatever the number."""
    input: InputOptions = field(default_factory=InputOptions)


@dataclass(frozen=True, slots=True)
class _Work:
    """What the child processes are asked for."""

    request: JsonObject
    images: Sequence[tuple[int, int]]
    """Index in the split, and part."""
    processes: int
    folder: Path

    def share_out(
        self, stage: str, spans: Path | None, progress: StageProgress
    ) -> list[tuple[Path, JsonObject]]:
        """Let each child take some of the images; what each wrote, and returned."""
        outs = [self.folder / f"{stage}-{index}.npz" for index in range(self.processes)]
        jobs = [
            Call(
                measure,
                {
                    **self.request,
                    "images": list(self.images[index :: self.processes]),
                    "spans": None if spans is None else str(spans),
                    "out": str(out),
                },
                timeout_s=_TIMEOUT_S,
                memory_bytes=_MEMORY,
                log=self.folder / "logs" / f"{stage}-{index}.log",
                cwd=self.folder / f"{stage}-{index}",
                name="calibrate",
                interpreter=toolchain_python(TOOLCHAIN),
            )
            for index, out in enumerate(outs)
        ]
        done = call_all(
            jobs, parallel=self.processes, on_progress=lambda share, note: progress(stage, share, note)
        )
        progress(stage, 1.0, "")
        return [(out, outcome.result) for out, outcome in zip(outs, done, strict=True)]


def calibrate(request: CalibrationRequest, *, progress: StageProgress = silent) -> RangesFile:
    """Find the range of each activation of a float network, and say what the images are worth.

    Raises:
        UsageError: a name or number that makes no sense, or a recipe without integers.
        DataError: images that cannot be read, fewer than two, noise, plain colours, or one image many times.
        ModelError, ToolError: the network cannot be used or run.
    """
    recipe = load_spec(QuantRecipe, request.recipe)
    if recipe.precision == "float":
        raise UsageError(f"recipe {recipe.name}: nothing becomes an integer, so nothing is calibrated")
    cores = len(os.sched_getaffinity(0))
    processes = cores if request.processes is None else request.processes
    if not 1 <= processes <= _MOST_PROCESSES:
        raise UsageError(f"{processes} processes: 1 to {_MOST_PROCESSES} are possible")
    asked = open_data(request.data, split="calib")
    model = find_model(request.model, options=request.input, labels=asked.labels)
    if model.card.source.onnx is not None:
        require_readable(model.root / model.card.source.onnx)
    data = asked.read_as(model.card.contract.labels)
    everything = {item: index for index, item in enumerate(data.items)}
    taken = data.take(request.samples)
    if len(taken) < 2:
        raise DataError(f"{taken.name}: {len(taken)} images: at least 2 are needed to hold one out")
    prints, looks = _look_at(taken, progress)
    require_scenes(looks, taken.name)
    require_toolchain(TOOLCHAIN, progress)
    how = Calibrator.of(recipe.model_dump(mode="json", by_alias=True), 1)
    order = sorted(range(len(taken)), key=lambda index: prints[index])
    sizes = growing_parts(len(taken))
    part_of = np.repeat(np.arange(len(sizes)), sizes).tolist()
    with tempfile.TemporaryDirectory(prefix="mosaic-calibrate-") as scratch:
        folder = Path(scratch)
        (folder / "logs").mkdir()
        graph = write_float_graph(
            model, folder, folder / "logs", on_progress=lambda share, note: progress("export", share, note)
        )
        images = [(everything[taken.items[i]], part) for i, part in zip(order, part_of, strict=True)]
        sent = _request(request, graph, len(sizes))
        work = _Work(sent, images, min(processes, len(images)), folder)
        extents, counted, labels, predicted = _gather(work, len(sizes), progress)
        digest = sha256_of(graph.path)
    return RangesFile(
        model=model.card.name,
        graph=digest,
        data=taken.name,
        images=len(taken),
        digest=hashlib.sha256(b"".join(sorted(prints))).hexdigest(),
        recipe=recipe.name,
        method=how.method,
        bits=8 if how.levels.bits == 8 else 16,
        tensors=audit(spreads(extents, counted), sizes, how),
        classes=_classes(graph.contract.labels, labels, predicted),
        overlap=_overlap(request.data, taken, looks, progress),
    )


def _look_at(data: FileDataset, progress: StageProgress) -> tuple[list[bytes], list[Look]]:
    prints, looks = [], []
    for index, item in enumerate(data.items):
        pixels = data.pixels(index)
        prints.append(fingerprint(pixels))
        looks.append(look_of(pixels))
        progress("images", (index + 1) / len(data), item.name)
    return prints, looks


def _request(request: CalibrationRequest, graph: FloatGraph, parts: int) -> JsonObject:
    return {
        "onnx": str(graph.path.resolve()),
        "contract": graph.contract.model_dump(mode="json"),
        "data": located(request.data),
        "parts": parts,
    }


def _gather(
    work: _Work, parts: int, progress: StageProgress
) -> tuple[list[Extents], list[Histograms], list[int], list[int]]:
    """Both passes, and the pixels of each class by the labels and by the network."""
    extents = [Extents() for _ in range(parts)]
    labels, predicted = np.zeros(256, np.int64), np.zeros(256, np.int64)
    for path, result in work.share_out("ranges", None, progress):
        for mine, theirs in zip(extents, read_extents(path), strict=True):
            mine.merge(theirs)
        labels += result["labels"]
        predicted += result["predicted"]
    whole = merged(extents)
    spans = work.folder / "spans.npz"
    write_extents(spans, [whole])
    counted = [Histograms(whole.ranges) for _ in range(parts)]
    for path, _ in work.share_out("histograms", spans, progress):
        add_counts(path, counted)
        path.unlink()
    return extents, counted, labels.tolist(), predicted.tolist()


def _classes(space: LabelSpace, labels: list[int], predicted: list[int]) -> tuple[ClassShare, ...]:
    ids = range(len(space.classes))
    labelled, seen = sum(labels[i] for i in ids), sum(predicted[i] for i in ids)
    return tuple(
        ClassShare(
            name=space.classes[i],
            labels=labels[i] / labelled if labelled else None,
            predicted=predicted[i] / seen if seen else 0.0,
        )
        for i in ids
    )


def _overlap(
    text: str, taken: FileDataset, looks: Sequence[Look], progress: StageProgress
) -> tuple[tuple[str, str], ...]:
    """Images that look like one of the split for validation; none where there is no such split."""
    try:
        validation = open_data(text, split="val")
    except DataError:
        return ()
    found = []
    for index, item in enumerate(validation.items):
        look = look_of(validation.pixels(index))
        near = (
            (a.name, item.name) for a, b in zip(taken.items, looks, strict=True) if distance(look, b) <= NEAR
        )
        found += list(near)
        progress("overlap", (index + 1) / len(validation), item.name)
    return tuple(found)
