"""Counting a network's parameters and multiply-accumulates, as the literature's tables do."""

from __future__ import annotations

from copy import deepcopy
from functools import partial

import torch
from torch import Tensor, nn


def parameters(net: nn.Module) -> int:
    """Count trainable numbers; a batch norm counts its scale and shift, not its running statistics."""
    return sum(p.numel() for p in net.parameters())


def folded_parameters(net: nn.Module) -> int:
    """Count the numbers that are left once every batch norm is folded: weights, one bias per channel."""
    convolutions = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    return sum(c.weight.numel() + c.out_channels for c in convolutions)


def layer_macs(net: nn.Module, *, height: int, width: int) -> dict[str, int]:
    """Count each convolution's multiply-accumulates for one (1, 3, height, width) image.

    Only convolutions count: no bias, normalisation, activation, pooling or resizing. The network runs
    once on torch's meta device, where no arithmetic is done.

    Returns:
        Dotted module name -> multiply-accumulates, in order of execution; a convolution that runs
        several times counts as often.
    """
    shadow = deepcopy(net).to("meta").eval()
    counts: dict[str, int] = {}
    for name, module in shadow.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(partial(_add, counts, name))
    with torch.no_grad():
        shadow(torch.empty(1, 3, height, width, device="meta"))
    return counts


def conv_macs(net: nn.Module, *, height: int, width: int) -> int:
    """Sum :func:`layer_macs` over the network."""
    return sum(layer_macs(net, height=height, width=width).values())


def _add(counts: dict[str, int], name: str, conv: nn.Conv2d, _: tuple[Tensor, ...], out: Tensor) -> None:
    per_output = conv.weight.numel() // conv.out_channels
    counts[name] = counts.get(name, 0) + out.numel() * per_output
