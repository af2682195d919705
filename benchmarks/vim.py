"""What each way to a class map costs in accuracy and takes in time: full, valid, and no interpolation.

    uv run python benchmarks/vim.py [--data NAME[:DIR]] [--images N] [--classes 150] [--times-only]

Accuracy: the trained reference network in float on ONNX Runtime, its class maps at the images' own size.
Time: the same network, then scores of ``--classes`` classes at stride 16 of 512x512 pixels, of which a few
win; ONNX Runtime and NumPy on one thread, in turns. Each figure is the least processor time of some runs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from mosaic_deploy.accuracy.metrics import confusion, overlaps
from mosaic_deploy.build.model_source import InputOptions, find_model
from mosaic_deploy.datasets import open_data
from mosaic_deploy.graph.execute import Session
from mosaic_deploy.graph.output_kind import contract_with, with_output
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.specs.fields import OutputKind
from mosaic_deploy.specs.resample import resize_scores
from mosaic_deploy.specs.root import spec_root

KINDS: tuple[OutputKind, ...] = ("lowres", "classmap", "vim", "lowmap")
RUNS, STRIDE, SIDE = 5, 16, 512


def open_session(model: onnx.ModelProto) -> Session:
    """Run it on one thread of this machine's CPU, whose time is then the processor's, whatever else runs."""
    return Session(model, threads=1, optimize=True, quiet=True)


def answer(session: Session, x: NDArray[np.float32]) -> NDArray[Any]:
    """The only output for the only input."""
    return session.run({session.inputs[0].name: x})[0]


def best_ms(calls: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """The least processor time of each, run in turns so that what else the machine does hits all."""
    found = dict.fromkeys(calls, float("inf"))
    for _ in range(RUNS):
        for name, call in calls.items():
            begun = time.process_time()
            call()
            found[name] = min(found[name], 1e3 * (time.process_time() - begun))
    return found


def reference() -> tuple[onnx.ModelProto, Contract]:
    """The trained network that comes with the project."""
    model = find_model("mosaic", options=InputOptions(), labels=None)
    return onnx.load_model(spec_root() / "models" / "exports" / "mosaic.onnx"), model.card.contract


def accuracy(data: str, images: int | None) -> Iterator[str]:
    """A line for each form: mean IoU, and the share of pixels that differ from full interpolation."""
    start, contract = reference()
    own = {kind: contract_with(start, contract, want=kind) for kind in KINDS}
    runs = {kind: open_session(with_output(start, contract, want=kind)) for kind in KINDS}
    samples = open_data(data, split="val").read_as(contract.labels).take(images)
    classes = len(contract.classes)
    counts = {kind: np.zeros((classes, classes), np.int64) for kind in KINDS}
    differing, pixels, winners = dict.fromkeys(KINDS, 0), 0, []
    for index in range(len(samples)):
        sample = samples[index]
        truth = sample.label
        assert truth is not None
        x = contract.prepare(sample.image)
        maps = {
            kind: own[kind].class_map(answer(run, x), (truth.shape[0], truth.shape[1]))
            for kind, run in runs.items()
        }
        winners.append(len(np.unique(answer(runs["lowmap"], x))))
        pixels += truth.size
        for kind, ids in maps.items():
            counts[kind] += confusion(truth, ids, classes=classes)
            differing[kind] += int((ids != maps["classmap"]).sum())
    scored = [i for i in range(classes) if i not in contract.unscored]
    yield f"{data} val, {len(samples)} images, {np.mean(winners):.1f} of {classes} classes win in one"
    for kind in KINDS:
        hits, union = overlaps(counts[kind], scored)
        present = union > 0
        miou = float((hits[present] / union[present]).mean())
        yield f"  {kind:<10}mIoU {miou:.4f}   differs {differing[kind] / pixels:.3%}"


def network_times() -> Iterator[str]:
    """The reference network with each end."""
    start, contract = reference()
    x = np.random.default_rng(0).normal(size=contract.shape).astype(np.float32)
    runs = {kind: open_session(with_output(start, contract, want=kind)) for kind in KINDS}
    found = best_ms({kind: partial(answer, run, x) for kind, run in runs.items()})
    yield f"the reference network, {contract.height}x{contract.width}, {len(contract.classes)} classes"
    for kind, ms in found.items():
        yield f"  {kind:<10}{ms:8.2f} ms"


def scores_of(classes: int, winning: int, side: int) -> NDArray[np.float32]:
    """Smooth scores, of which the first ``winning`` win somewhere."""
    rng = np.random.default_rng(0)
    coarse = rng.normal(size=(classes, 6, 6)).astype(np.float32)
    coarse[:winning] += 20
    scores: NDArray[np.float32] = resize_scores(coarse, (side, side))[None]
    return scores


def host(scores: NDArray[np.float32], side: int, *, valid: bool) -> NDArray[np.intp]:
    """The same on the host: (1, C, h, w) to (H, W) ids."""
    ids = np.unique(scores[0].argmax(axis=0)) if valid else np.arange(scores.shape[1])
    found: NDArray[np.intp] = ids[resize_scores(scores[0, ids], (side, side)).argmax(axis=0)]
    return found


def ending(classes: int) -> tuple[onnx.ModelProto, Contract]:
    """Nothing but the end of a network of so many classes."""
    low = SIDE // STRIDE
    small, large = (f"1, {classes}, {side}, {side}" for side in (low, SIDE))
    parsed = onnx.parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 18]>
        net (float[{small}] low) => (float[{large}] logits) <int64[4] size = {{{large}}}> {{
          scores = Identity(low)
          logits = Resize<mode = "linear">(scores, , , size)
        }}
    """)
    model = onnx.shape_inference.infer_shapes(parsed)
    labels = {"classes": [str(i) for i in range(classes)], "palette": [(i, 0, 0) for i in range(classes)]}
    return model, Contract.model_validate({"height": SIDE, "width": SIDE, **labels})


def ending_times(classes: int) -> Iterator[str]:
    """The end alone, by how many classes win."""
    model, contract = ending(classes)
    kinds: tuple[OutputKind, ...] = ("classmap", "vim", "lowmap")
    runs = {kind: open_session(with_output(model, contract, want=kind)) for kind in kinds}
    yield f"the end alone, {classes} classes from {SIDE // STRIDE} to {SIDE} pixels a side, ms"
    names = [*kinds, "host full", "host valid"]
    yield "  winners" + "".join(f"{name:>12}" for name in names)
    for winning in (4, 8, 16, 32):
        x = scores_of(classes, winning, SIDE // STRIDE)
        calls: dict[str, Callable[[], object]] = {kind: partial(answer, run, x) for kind, run in runs.items()}
        calls["host full"] = partial(host, x, SIDE, valid=False)
        calls["host valid"] = partial(host, x, SIDE, valid=True)
        found = best_ms(calls)
        count = len(np.unique(x[0].argmax(axis=0)))
        yield f"  {count:>7}" + "".join(f"{found[name]:>12.2f}" for name in names)


def main() -> None:
    """Print all of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", action="append", metavar="NAME[:DIR]")
    parser.add_argument("--images", type=int)
    parser.add_argument("--classes", type=int, default=150)
    parser.add_argument("--times-only", action="store_true")
    given = parser.parse_args()
    wanted = [] if given.times_only else given.data or ["streets"]
    parts = [*(accuracy(data, given.images) for data in wanted), network_times(), ending_times(given.classes)]
    for line in chain.from_iterable(parts):
        print(line, flush=True)


if __name__ == "__main__":
    main()
