"""Activations and gates by name, as model papers and cards call them."""

from __future__ import annotations

from typing import Literal, final

from torch import Tensor, nn

Activation = Literal["relu", "relu6", "hard_swish", "none"]
Gate = Literal["hard_sigmoid", "hard_sigmoid_fifth", "clip", "sigmoid"]


def activate(kind: Activation) -> nn.Module:
    """Return the activation: ``hard_swish`` is x * relu6(x + 3) / 6, ``none`` passes x on."""
    made: dict[Activation, nn.Module] = {
        "relu": nn.ReLU(inplace=True),
        "relu6": nn.ReLU6(inplace=True),
        "hard_swish": nn.Hardswish(inplace=True),
        "none": nn.Identity(),
    }
    return made[kind]


@final
class HardSigmoid(nn.Module):
    """clip(slope * x + offset, 0, 1), with any slope: PaddlePaddle's is 0.2, GhostNet's 1."""

    def __init__(self, slope: float, offset: float) -> None:
        super().__init__()
        self.slope, self.offset = slope, offset

    def forward(self, x: Tensor) -> Tensor:
        """Map any shape to the same shape, in [0, 1]."""
        scaled = x if self.slope == 1 else x * self.slope
        return (scaled + self.offset if self.offset else scaled).clamp(0, 1)


def gate(kind: Gate) -> nn.Module:
    """Return a map to [0, 1].

    ``hard_sigmoid`` is relu6(x + 3) / 6, ``hard_sigmoid_fifth`` PaddlePaddle's clip(0.2 x + 0.5, 0, 1),
    ``clip`` GhostNet's clip(x, 0, 1).
    """
    made: dict[Gate, nn.Module] = {
        "hard_sigmoid": nn.Hardsigmoid(),
        "hard_sigmoid_fifth": HardSigmoid(0.2, 0.5),
        "clip": HardSigmoid(1.0, 0.0),
        "sigmoid": nn.Sigmoid(),
    }
    return made[kind]
