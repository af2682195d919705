"""What a network holds and costs, counted without running it."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def parameters(net: nn.Module) -> int:
    """Count trainable numbers; a batch norm has its scale and shift, not its running statistics."""
    return sum(p.numel() for p in net.parameters())


def module_macs(net: nn.Module, *, height: int, width: int) -> dict[str, int]:
    """Count each module's multiply-accumulates for one image, by its name; the whole network's is "".

    Give a network on the meta device: torch counts two operations for each and does none.
    """
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        net.eval()(torch.empty(1, 3, height, width, device="meta"))
    return {
        name.partition(".")[2]: sum(flops.values()) // 2
        for name, flops in counter.get_flop_counts().items()
        if name != "Global"
    }


def conv_macs(net: nn.Module, *, height: int, width: int) -> int:
    """Count those of convolutions and linear layers alone: products of attention are left out."""
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        net.eval()(torch.empty(1, 3, height, width, device="meta"))
    counts = counter.get_flop_counts()["Global"]
    wanted = ("aten.convolution", "aten.addmm")
    return sum(flops for name, flops in counts.items() if str(name).startswith(wanted)) // 2
