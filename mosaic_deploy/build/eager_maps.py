"""What the trained network sees in PyTorch, on a few of the images: where an export would lose something.

To start PyTorch takes longer than to run the network on some images. So there are few, what came of it is
kept, and nothing is installed for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mosaic_deploy._version import __version__
from mosaic_deploy.build.float_graph import FloatGraph
from mosaic_deploy.build.inputs import Inputs
from mosaic_deploy.build.kept_maps import KeptMaps
from mosaic_deploy.build.model_source import Model
from mosaic_deploy.build.reference_maps import Maps, class_maps
from mosaic_deploy.errors import MosaicError
from mosaic_deploy.specs.toolchain import is_here, made_python
from mosaic_deploy.workers.call import GIB, Call, call
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.zoo.eager import run_card
from mosaic_deploy.zoo.export_cache import ingredients

FEW = 8
"""Images."""
_TOOLCHAIN = "torch"
_TIMEOUT_S = 600
_MEMORY = 8 * GIB


@dataclass(frozen=True, slots=True)
class Eager:
    """Class maps of the network in PyTorch, or why there are none."""

    maps: Maps | None = None
    indices: tuple[int, ...] = ()
    """Of the images, in ascending order."""
    why: str = ""


def eager_maps(
    model: Model, graph: FloatGraph, inputs: Inputs, folder: Path, *, on_progress: OnProgress
) -> Eager:
    """Run a card's network on PyTorch, on images that are spread over all.

    Args:
        model: what is built.
        graph: its float graph, which says what the images' inputs are of.
        inputs: the images.
        folder: where the maps go; it has ``logs``.
        on_progress: progress.
    """
    why = _reason(model)
    if why:
        return Eager(why=why)
    count = min(FEW, len(inputs.images))
    indices = tuple(int(i) for i in np.linspace(0, len(inputs.images) - 1, count).round())
    fed = [inputs.originals[index] for index in indices]
    images = [inputs.images[index] for index in indices]
    network = ingredients(model.card, model.root)
    kept = KeptMaps.of({"of": network, "read": graph.own.digest(), "by": __version__}, fed)
    known = kept.read([image.size for image in images], folder / "kept-torch")
    if known is not None:
        return Eager(known, indices)
    scores = folder / "scores-torch"
    scores.mkdir()
    outputs = [scores / path.name for path in fed]
    request = {
        "card": model.card.model_dump(mode="json", by_alias=True),
        "root": str(model.root.resolve()),
        "inputs": [str(path.resolve()) for path in fed],
        "outputs": [str(path.resolve()) for path in outputs],
    }
    interpreter = None if is_here(_TOOLCHAIN) else made_python(_TOOLCHAIN)
    log = folder / "logs" / "torch.log"
    try:
        call(
            Call(
                run_card,
                request,
                _TIMEOUT_S,
                _MEMORY,
                log,
                scores / "work",
                interpreter=interpreter,
                keep_log=False,
            ),
            on_progress=on_progress,
        )
    except (
        MosaicError
    ):  # a stage that does not run stops no build, and its words name folders of this machine
        return Eager(why="PyTorch did not run it on this machine")
    maps = class_maps(graph.own, outputs, images, folder / "maps-torch")
    kept.write(maps)
    return Eager(maps, indices)


def _reason(model: Model) -> str:
    """Why PyTorch does not run it; empty where it does."""
    if model.card.source.factory is None:
        return "the network came as ONNX"
    if model.card.untrained:
        return "its weights are random"
    return "" if is_here(_TOOLCHAIN) or made_python(_TOOLCHAIN) else "not run: PyTorch is not installed here"
