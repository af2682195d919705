"""A share of the calibration images through the float network; what is kept of its values goes to a file.

For child processes: several may each take some of the images, and what they write is merged. Images are read,
run and forgotten one at a time, so memory does not grow with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mosaic_deploy.datasets import open_data
from mosaic_deploy.errors import ModelError
from mosaic_deploy.quantize.boundary import drop_cast, takes_bytes
from mosaic_deploy.quantize.histogram import Extents, Histograms, Ranges
from mosaic_deploy.quantize.onnx_activations import Runner
from mosaic_deploy.quantize.qdq import prepared
from mosaic_deploy.quantize.sentinels import without_infinities
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject

_IDS = 256


def measure(request: JsonObject, on_progress: OnProgress) -> JsonObject:
    """Gather extremes, or histograms where ``spans`` (a file of extremes) is given, into ``out``.

    The request holds ``onnx``, its ``contract`` (as JSON), ``data`` (``NAME[:DIR]``), ``images``, pairs of an
    index in its split ``calib`` and the part that it belongs to, and ``parts``, how many of these there are.

    Returns:
        ``labels`` and ``predicted``: pixels of each of 256 ids, 255 where there is none.

    Raises ``ModelError`` for a graph that does not run, ``DataError`` for a file that cannot be read.
    """
    contract = Contract.model_validate(request["contract"])
    data = open_data(request["data"], split="calib").read_as(contract.labels)
    model = prepared(Path(request["onnx"]), lambda plain: plain)
    if takes_bytes(model):
        drop_cast(model)
    without_infinities(model)
    output = model.graph.output[0].name
    runner = Runner(model, 1)
    extents = [Extents() for _ in range(request["parts"])]
    spans = None if request["spans"] is None else read_extents(Path(request["spans"]))[0].ranges
    counted = [Histograms(spans or {}) for _ in extents]
    labels, predicted = np.zeros(_IDS, np.int64), np.zeros(_IDS, np.int64)
    for done, (index, part) in enumerate(request["images"]):
        sample = data[index]
        if sample.label is not None:
            labels += np.bincount(sample.label.ravel(), minlength=_IDS)
        for name, values in runner.activations(contract.prepare(sample.image).astype(np.float32)):
            if spans is not None:
                counted[part].add(name, values)
                continue
            try:
                extents[part].add(name, values)
            except ValueError as err:
                raise ModelError(f"{Path(request['onnx']).name}: {err} on image {sample.name}") from err
            if name == output:
                ids = contract.class_map(values, (contract.height, contract.width))
                predicted += np.bincount(ids.ravel(), minlength=_IDS)
        on_progress((done + 1) / len(request["images"]), sample.name)
    if spans is None:
        write_extents(Path(request["out"]), extents)
    else:
        stacked = np.stack([np.stack([part.counts[name] for name in spans]) for part in counted])
        np.savez(request["out"], names=np.array(list(spans)), counts=stacked)
    return {"labels": labels.tolist(), "predicted": predicted.tolist()}


def write_extents(path: Path, parts: Sequence[Extents]) -> None:
    """Keep extremes in a file (.npz); NaN stands for a part that has not met a tensor."""
    names = list(dict.fromkeys(name for part in parts for name in part.ranges))
    absent = (np.float32(np.nan), np.float32(np.nan))
    ends = [[part.ranges.get(name, absent) for name in names] for part in parts]
    np.savez(path, names=np.array(names), ends=np.array(ends, np.float32).reshape(len(parts), len(names), 2))


def read_extents(path: Path) -> list[Extents]:
    """What ``write_extents`` wrote."""
    with np.load(path, allow_pickle=False) as held:
        names, ends = [str(name) for name in held["names"]], held["ends"]
    found = []
    for part in ends:
        ranges: Ranges = {n: (e[0], e[1]) for n, e in zip(names, part, strict=True) if not np.isnan(e[0])}
        found.append(Extents(ranges))
    return found


def add_counts(path: Path, parts: Sequence[Histograms]) -> None:
    """Add the histograms of a file of ``measure`` to those of the same parts."""
    with np.load(path, allow_pickle=False) as held:
        names, counts = [str(name) for name in held["names"]], held["counts"]
    for part, mine in zip(parts, counts, strict=True):
        for name, each in zip(names, mine, strict=True):
            part.counts[name] += each
