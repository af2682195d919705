"""From a card to its float ONNX, normalised. In a child process: PyTorch is heavy, and files are hostile."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from mosaic_deploy.files import moved_in
from mosaic_deploy.specs.model_card import ModelCard
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.zoo.card_export import export_card

ORIGINAL = "original.onnx"


def write(request: dict[str, object], on_progress: OnProgress) -> dict[str, object]:
    """Export a zoo network with its weights, or normalise a checked ONNX file.

    Where normalising changes a file, its graph as it was goes to ``ORIGINAL`` beside ``out``.

    Args:
        request: ``card`` (as JSON), ``root`` (folder of the card's relative paths), ``out`` (ONNX to write).
        on_progress: told what is being done.

    Returns:
        ``tool`` and ``version`` of what made the graph, after an export ``versions`` of all that did, and
        after normalising ``nodes``: how many there were and are.

    Raises:
        MosaicError: the weights or the graph cannot be used, or what exports is not installed.
    """
    card = ModelCard.model_validate(request["card"])
    root, out = Path(str(request["root"])), Path(str(request["out"]))
    if card.source.onnx is not None:
        return _normalise(root / card.source.onnx, out)
    versions = export_card(card, root, out, on_progress)
    return {"tool": "torch", "version": versions["torch"], "versions": versions}


def _normalise(path: Path, out: Path) -> dict[str, object]:
    import onnx

    from mosaic_deploy.graph.normal.normalise import normalise
    from mosaic_deploy.graph.reader.read import read_model

    model = read_model(path)
    plain = normalise(model)
    with moved_in(out) as (part,):
        onnx.save_model(plain, part)
    if plain is not model:
        onnx.save_model(model, out.with_name(ORIGINAL))
    nodes = [len(model.graph.node), len(plain.graph.node)]
    return {"tool": "onnx", "version": importlib.metadata.version("onnx"), "nodes": nodes}
