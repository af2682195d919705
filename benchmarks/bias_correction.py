"""What corrected biases change, of a network as it is and equalised: 8 bits throughout, on ONNX Runtime.

    uv run python benchmarks/bias_correction.py [MODEL] [--data NAME[:DIR]] [--elsewhere NAME[:DIR]]

Of 32 calibration images 8 are held out; 8 of the other data set are the other domain. Each line: pixels with
another class than the float network's, on the images held out and on those of the other domain.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mosaic_deploy.build.auto import held_out
from mosaic_deploy.build.float_graph import write_float_graph
from mosaic_deploy.build.model_source import InputOptions, find_model
from mosaic_deploy.datasets import open_data
from mosaic_deploy.quantize.boundary import raw_pixels
from mosaic_deploy.quantize.cpu_style import biases
from mosaic_deploy.specs.recipe import QuantRecipe
from mosaic_deploy.specs.registry import load_spec
from mosaic_deploy.workers.call import GIB, Call, call

_IMAGES, _HELD_OUT = 32, 8


def tried(model: str, data: str, elsewhere: str, method: str, folder: Path) -> Sequence[tuple[str, str]]:
    """What is tried, and what it changes."""
    (folder / "logs").mkdir(parents=True)
    found = find_model(model, options=InputOptions(), labels=None)
    graph = write_float_graph(found, folder, folder / "logs", on_progress=lambda *_: None)
    sets = {"own": open_data(data, split="calib").take(_IMAGES)}
    sets["other"] = open_data(elsewhere, split="val").take(_HELD_OUT)
    paths: dict[str, list[str]] = {name: [] for name in sets}
    for name, dataset in sets.items():
        for index, sample in enumerate(dataset):
            paths[name].append(str(folder / f"{name}{index}.npy"))
            np.save(paths[name][-1], graph.contract.prepare(sample.image))
    held = held_out(len(paths["own"]), _HELD_OUT)
    recipe = load_spec(QuantRecipe, "w8a8").model_dump(mode="json", by_alias=True)
    recipe["calibration"]["method"] = method
    request = {
        "onnx": str(graph.path.resolve()),
        "calibration": [path for index, path in enumerate(paths["own"]) if index not in held],
        "held_out": [paths["own"][index] for index in held],
        "elsewhere": paths["other"],
        "recipe": recipe,
        "pixels": raw_pixels(graph.contract),
        "threads": len(os.sched_getaffinity(0)),
    }
    log, cwd = folder / "logs" / "biases.log", folder / "biases"
    gave = call(Call(biases, request, 7200, 8 * GIB, log, cwd, {}, "biases")).result

    def words(losses: dict[str, dict[str, float]]) -> str:
        return "  ".join(f"{losses[fold]['flips']:.2%}" for fold in ("held_out", "elsewhere"))

    rows = [("as it is", words(gave))]
    for variant in gave["variants"]:
        name = f"biases corrected, {variant['pairs']} pairs equalised"
        rows.append((name, words(variant) + ("  helps" if variant["helps"] else "")))
    return rows


def main() -> None:
    """Print a line for the network as it is, and one for each correction."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="mosaic")
    parser.add_argument("--data", default="camvid")
    parser.add_argument("--elsewhere", default="streets")
    parser.add_argument("--method", default="percentile")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        rows = tried(given.model, given.data, given.elsewhere, given.method, Path(scratch))
    for name, text in rows:
        print(f"{name:<45}{text}")


if __name__ == "__main__":
    main()
