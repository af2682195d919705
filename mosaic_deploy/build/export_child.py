"""From a card to its float ONNX; runs in a child process, because PyTorch is heavy and files are hostile."""

from __future__ import annotations

import importlib.metadata
import os
from pathlib import Path

from mosaic_deploy.errors import ModelError
from mosaic_deploy.specs.model_card import ModelCard
from mosaic_deploy.workers.progress import OnProgress


def write(request: dict[str, object], on_progress: OnProgress) -> dict[str, object]:
    """Export a zoo network with its weights, or copy a checked ONNX file.

    Args:
        request: ``card`` (as JSON), ``root`` (folder of the card's relative paths), ``out`` (ONNX to write).
        on_progress: told what is being done.

    Returns:
        ``tool`` and ``version`` of what made the graph.

    Raises:
        MosaicError: the weights or the graph cannot be used.
    """
    card = ModelCard.model_validate(request["card"])
    root, out = Path(str(request["root"])), Path(str(request["out"]))
    if card.source.onnx is not None:
        return _copy(root / card.source.onnx, out)
    return _export(card, root, out, on_progress)


def _copy(path: Path, out: Path) -> dict[str, object]:
    import onnx

    from mosaic_deploy.graph.reader.read import read_model

    model = read_model(path)
    beside = out.with_name(f".{out.name}")
    onnx.save_model(model, beside)
    os.replace(beside, out)
    return {"tool": "onnx", "version": importlib.metadata.version("onnx")}


def _export(card: ModelCard, root: Path, out: Path, on_progress: OnProgress) -> dict[str, object]:
    on_progress(0.05, "loading PyTorch")
    from mosaic_deploy.zoo import build_network
    from mosaic_deploy.zoo import export as exporting
    from mosaic_deploy.zoo.weights import load_weights

    contract, source = card.contract, card.source
    if contract.layout != "NCHW" or contract.dtype != "float32":
        raise ModelError(f"{card.name}: networks of the zoo take NCHW float32; its card says otherwise")
    if "head" in source.switches:
        raise ModelError(f"{card.name}: its contract's output says what the head is: leave head out")
    net = build_network(str(source.factory), **source.switches, head=contract.output)
    if source.weights is not None:
        load_weights(net, root / source.weights)
    on_progress(0.3, "exporting and comparing with PyTorch")
    exporting.export(net, out, height=contract.height, width=contract.width)
    return {"tool": "torch", "version": importlib.metadata.version("torch")}
