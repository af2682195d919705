"""Peak memory of calibrating a network on few and on many images.

    uv run python benchmarks/calibration_memory.py [MODEL] [--data NAME[:DIR]] [--images 10 1000]

Images are taken over and over where the data set has fewer. One process, both passes, on ONNX Runtime.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from mosaic_deploy.build.float_graph import write_float_graph
from mosaic_deploy.build.model_source import InputOptions, find_model
from mosaic_deploy.datasets import located, open_data
from mosaic_deploy.quantize.audit import growing_parts
from mosaic_deploy.quantize.measure import measure
from mosaic_deploy.workers.call import GIB, Call, call

MIB = 1 << 20


def peaks(model: str, data: str, images: int, folder: Path) -> tuple[int, int]:
    """Bytes at the height of the first and of the second pass."""
    (folder / "logs").mkdir(parents=True)
    found = find_model(model, options=InputOptions(), labels=None)
    graph = write_float_graph(found, folder, folder / "logs", on_progress=lambda *_: None)
    held = len(open_data(data, split="calib"))
    sizes = growing_parts(images)
    parts = np.repeat(np.arange(len(sizes)), sizes).tolist()
    request = {
        "onnx": str(graph.path.resolve()),
        "contract": graph.contract.model_dump(mode="json"),
        "data": located(data),
        "images": [(index % held, part) for index, part in enumerate(parts)],
        "parts": len(sizes),
    }
    reached = []
    for name, spans in (("ranges", None), ("histograms", str(folder / "ranges.npz"))):
        sent = {**request, "spans": spans, "out": str(folder / f"{name}.npz")}
        log, cwd = folder / "logs" / f"{name}.log", folder / name
        reached.append(call(Call(measure, sent, 7200, 8 * GIB, log, cwd, {}, name)).peak_bytes)
    return reached[0], reached[1]


def main() -> None:
    """Print a line for each number of images."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="mosaic")
    parser.add_argument("--data", default="streets")
    parser.add_argument("--images", nargs="+", type=int, default=[10, 1000])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        for count in given.images:
            first, second = peaks(given.model, given.data, count, Path(scratch) / str(count))
            print(f"{count:>6} images: {first / MIB:.0f} MiB, {second / MIB:.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
