"""From a card that names a network of the zoo to its float ONNX, with PyTorch."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from mosaic_deploy.errors import ModelError, ToolError
from mosaic_deploy.specs.metadata import UNTRAINED
from mosaic_deploy.specs.model_card import ModelCard
from mosaic_deploy.workers.progress import OnProgress

EXPORTER: Mapping[str, str] = MappingProxyType(
    {"onnx": "1.20.1", "onnxscript": "0.6.2", "onnxsim": "0.6.5", "torch": "2.15.0"}
)
"""Distribution -> the version whose exports are cached: what the extra ``zoo`` pins."""


def export_card(card: ModelCard, root: Path, out: Path, on_progress: OnProgress) -> dict[str, str]:
    """Export the card's network with its weights, its output as the contract says.

    A card without weights gets untrained ones, the same each time, and the file says so in its metadata.
    Graph and network are compared on a street scene: untrained ones blow up what is unlike any image, and
    the rounding of float32 with it, until no two runtimes agree.

    Args:
        card: names a factory.
        root: folder that the card's relative paths start from.
        out: ONNX file to write.
        on_progress: told what is being done.

    Returns:
        The versions of what made the graph, by the names in ``EXPORTER``.

    Raises:
        ModelError: the card asks for what the zoo does not make, or the weights are of another network.
        ToolError: PyTorch, or what exports with it, is not installed.
    """
    on_progress(0.05, "loading PyTorch")
    try:
        import onnxruntime  # noqa: F401  # compares
        import onnxscript  # noqa: F401  # the exporter's
        import onnxsim  # noqa: F401  # simplifies
        import torch
    except ModuleNotFoundError as err:
        raise ToolError(
            f"{card.name}: no export of these weights is at hand, and to make one {err.name} is missing: "
            "pip install 'mosaic-deploy[zoo]' (in a clone: uv sync --inexact --extra zoo)"
        ) from err
    from mosaic_deploy.zoo import build_network
    from mosaic_deploy.zoo.export import export
    from mosaic_deploy.zoo.untrained import another_scene, fed, seeded, settle
    from mosaic_deploy.zoo.weights import load_weights

    contract, source = card.contract, card.source
    if contract.layout != "NCHW" or contract.dtype != "float32":
        raise ModelError(f"{card.name}: networks of the zoo take NCHW float32; its card says otherwise")
    if "head" in source.switches:
        raise ModelError(f"{card.name}: its contract's output says what the head is: leave head out")
    with seeded():
        net = build_network(str(source.factory), **source.switches, head=contract.output)
        if source.weights is None:
            on_progress(0.1, "untrained: settling random weights on street scenes")
            settle(net, contract)
    if source.weights is not None:
        load_weights(net, root / source.weights)
    on_progress(0.3, "exporting and comparing with PyTorch")
    notes = dict([UNTRAINED]) if card.untrained else {}
    scene = fed(another_scene(), contract)
    export(net, out, height=contract.height, width=contract.width, notes=notes, image=scene)
    return {name: importlib.metadata.version(name) for name in EXPORTER} | {"torch": str(torch.__version__)}
