"""From a card to its float ONNX, normalised. In a child process: PyTorch is heavy, and files are hostile."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

from mosaic_deploy.files import moved_in
from mosaic_deploy.graph.reader.read import Reading
from mosaic_deploy.specs.model_card import ModelCard
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.zoo.card_export import export_card

ORIGINAL, ENDS = "original.onnx", "ends.json"


def write(request: dict[str, object], on_progress: OnProgress) -> dict[str, object]:
    """Export a zoo network with its weights, or normalise a checked ONNX file.

    Where normalising changes a file, its graph as it was goes to ``ORIGINAL`` beside ``out``, and how its
    ends differ (``Ends``) to ``ENDS``.

    Args:
        request: ``card`` (as JSON), ``root`` (folder of the card's relative paths), ``out`` (ONNX to write),
            ``keep_quantization`` (whether ranges that a quantised file states go with the graph).
        on_progress: told what is being done.

    Returns:
        ``tool`` and ``version`` of what made the graph, after an export ``versions`` of all that did, and
        after normalising ``nodes``: how many there were and are.

    Raises:
        MosaicError: the weights or the graph cannot be used, or what exports is not installed.
    """
    card = ModelCard.model_validate(request["card"])
    root, out = Path(str(request["root"])), Path(str(request["out"]))
    source = card.source
    if source.onnx is not None:
        reading = Reading(source.input_shape, source.output)
        return _normalise(root / source.onnx, reading, out, ranges=bool(request["keep_quantization"]))
    versions = export_card(card, root, out, on_progress)
    return {"tool": "torch", "version": versions["torch"], "versions": versions}


def _normalise(path: Path, reading: Reading, out: Path, *, ranges: bool) -> dict[str, object]:
    import onnx

    from mosaic_deploy.graph.ends.ends import settle
    from mosaic_deploy.graph.normal.dequantize import forget_ranges
    from mosaic_deploy.graph.normal.normalise import normalise
    from mosaic_deploy.graph.quantised import require_float
    from mosaic_deploy.graph.reader.read import read_model

    model = read_model(path, reading)
    plain = normalise(model)
    require_float(plain, path)
    if not ranges:
        forget_ranges(plain)
    network = settle(plain)
    with moved_in(out) as (part,):
        onnx.save_model(network.model, part)
    if network.model != model:
        onnx.save_model(model, out.with_name(ORIGINAL))
    nodes = [len(model.graph.node), len(network.model.graph.node)]
    out.with_name(ENDS).write_text(json.dumps(network.ends.to_json()), encoding="utf-8")
    return {"tool": "onnx", "version": importlib.metadata.version("onnx"), "nodes": nodes}
