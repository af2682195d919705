"""A card's network as PyTorch runs it, which is what was trained; runs in a child process."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mosaic_deploy.specs.model_card import ModelCard
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.zoo import build_network


def run_card(request: dict[str, object], on_progress: OnProgress) -> dict[str, object]:
    """Run a card's network with its weights, in float32 on the CPU, on some prepared images.

    Args:
        request: ``card`` (as JSON), ``root`` (folder of the card's relative paths), ``inputs`` and
            ``outputs`` (lists of ``.npy``): (1, 3, height, width) float32, and what the contract calls
            output.
        on_progress: told of each image.

    Returns:
        ``version`` of PyTorch.

    Raises:
        ModelError: the weights are of another network, or the card names none.
    """
    import torch

    from mosaic_deploy.zoo.weights import load_weights

    card = ModelCard.model_validate(request["card"])
    inputs, outputs = request["inputs"], request["outputs"]
    if not isinstance(inputs, list) or not isinstance(outputs, list):
        raise TypeError("inputs and outputs are lists of paths")
    net = build_network(str(card.source.factory), **card.source.switches, head=card.contract.output)
    load_weights(net, Path(str(request["root"])) / str(card.source.weights))
    net.eval()
    with torch.inference_mode():
        for index, (source, place) in enumerate(zip(inputs, outputs, strict=True)):
            image = torch.from_numpy(np.load(source, allow_pickle=False))
            np.save(place, net(image).numpy(), allow_pickle=False)
            on_progress((index + 1) / len(inputs), f"image {index + 1} of {len(inputs)}")
    return {"version": str(torch.__version__)}
