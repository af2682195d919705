"""Time the gradients of MOSAIC's depthwise convolutions: PyTorch's own against ``zoo.depthwise``.

    uv run python benchmarks/depthwise_gradient.py

Measured in bfloat16, channels last, 2 threads, for the shapes of a batch of 8 images of 384x384.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from mosaic_deploy.zoo.layers.depthwise import depthwise
from mosaic_deploy.zoo.train.loop import keep_memory

SHAPES = (
    # channels, side, kernel, stride, dilation
    (96, 192, 3, 2, 1),
    (160, 96, 5, 2, 1),
    (384, 48, 5, 2, 1),
    (384, 24, 5, 1, 2),
)
REPEATS = 5


def forward_and_backward(convolve: Callable[[Tensor, Tensor], Tensor], x: Tensor, weight: Tensor) -> float:
    """Best of some runs, in milliseconds."""
    best = float("inf")
    for _ in range(REPEATS):
        x.grad = weight.grad = None
        begun = time.perf_counter()
        y = convolve(x, weight)
        y.backward(torch.ones_like(y))  # type: ignore[no-untyped-call]
        best = min(best, time.perf_counter() - begun)
    return 1e3 * best


def main() -> None:
    """Print one line per shape."""
    keep_memory()
    torch.set_num_threads(2)
    print(f"{'shape':<28}{'PyTorch ms':>12}{'here ms':>10}{'speed-up':>10}")
    for channels, side, kernel, stride, dilation in SHAPES:
        padded = side + dilation * (kernel - 1)
        x = torch.randn(8, channels, padded, padded, dtype=torch.bfloat16)
        x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
        weight = torch.randn(channels, 1, kernel, kernel, dtype=torch.bfloat16).requires_grad_()
        theirs = partial(conv2d, bias=None, stride=stride, dilation=dilation, groups=channels)
        own = forward_and_backward(theirs, x, weight)
        ours = forward_and_backward(partial(depthwise, stride=stride, dilation=dilation), x, weight)
        name = f"{channels}x{side}x{side} k{kernel} s{stride} d{dilation}"
        print(f"{name:<28}{own:>12.1f}{ours:>10.1f}{own / ours:>9.1f}x")


if __name__ == "__main__":
    main()
