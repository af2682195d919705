"""Time the class map of scores, beside the plain way: resize all scores, then compare.

    uv run python benchmarks/class_maps.py

Scores are the reference network's for street scenes, at a quarter of 384x512 and of 11 classes; and the same
spread over 150 classes. The best of several runs counts, on one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import onnxruntime

from mosaic_deploy.datasets import open_data
from mosaic_deploy.specs.model_card import ModelCard
from mosaic_deploy.specs.registry import load_spec
from mosaic_deploy.specs.resample import Floats, Size, resize_scores
from mosaic_deploy.specs.resized_classes import best_classes
from mosaic_deploy.specs.root import spec_root

IMAGES, RUNS = 6, 20


def scores() -> list[Floats]:
    """Scores of some scenes, (11, 96, 128) each."""
    contract = load_spec(ModelCard, "mosaic").contract
    session = onnxruntime.InferenceSession(str(spec_root() / "models" / "exports" / "mosaic.onnx"))
    data = open_data("streets", split="val")
    found = []
    for index in range(IMAGES):
        logits = session.run(None, {"image": contract.prepare(data[index].image)})[0][0]
        found.append(np.ascontiguousarray(logits[:, 2::4, 2::4]))
    return found


def milliseconds(task: Callable[[], object]) -> float:
    """The quickest of some runs."""
    times = []
    for _ in range(RUNS):
        begun = time.perf_counter()
        task()
        times.append(time.perf_counter() - begun)
    return 1e3 * min(times)


def _mean(way: Callable[[Floats, Size], object], group: list[Floats], size: Size) -> float:
    return float(np.mean([milliseconds(partial(way, scores, size)) for scores in group]))


def main() -> None:
    """Print both ways' times and whether a pixel differs."""
    few = scores()
    rng = np.random.default_rng(0)
    many = [np.concatenate([s, s.min() + rng.random((139, *s.shape[1:]), np.float32)]) for s in few[:2]]
    for name, group, size in (
        ("11 classes to 384x512", few, (384, 512)),
        ("11 classes to 1080x1920", few[:2], (1080, 1920)),
        ("150 classes to 384x512", many, (384, 512)),
    ):
        plain = _mean(lambda scores, size: resize_scores(scores, size).argmax(axis=0), group, size)
        ours = _mean(best_classes, group, size)
        differ = sum(
            int((resize_scores(s, size).argmax(axis=0) != best_classes(s, size)).sum()) for s in group
        )
        print(f"{name}: {plain:.1f} ms plainly, {ours:.1f} ms, {differ} pixels differ")


if __name__ == "__main__":
    main()
