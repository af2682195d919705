"""A depthwise convolution whose bfloat16 gradients are quick on CPUs.

oneDNN's own gradients of strided, dilated and 5x5 depthwise convolutions in bfloat16 fall to a reference
loop that takes 10 to 60 times as long as the forward pass (``benchmarks/depthwise_gradient.py``). They
can all be written with what it does quickly, stride-1 forward convolutions and 3x3 weight gradients:

- gradient of the input: spread the output's gradient by the stride, convolve it with the flipped kernel;
- gradient of a 5x5 weight: four 3x3 weight gradients over shifted windows, which overlap in one row and
  one column and there compute the same sums;
- dilation 2: the four interleaved sub-grids, as a batch, with dilation 1.
"""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

_LAST = torch.channels_last


def depthwise(x: Tensor, weight: Tensor, *, stride: int, dilation: int) -> Tensor:
    """Convolve each channel of the already padded ``x`` (N, C, H, W) with ``weight`` (C, 1, k, k).

    k is 3 or 5, dilation 1 or 2; dilation 2 needs stride 1 and even H and W. The result equals
    ``conv2d(x, weight, stride=stride, dilation=dilation, groups=C)``.
    """
    if dilation == 1:
        out: Tensor = _Depthwise.apply(x, weight, stride)
        return out
    n, c, height, width = x.shape
    grids = x.reshape(n, c, height // 2, 2, width // 2, 2).permute(0, 3, 5, 1, 2, 4)
    grids = grids.reshape(4 * n, c, height // 2, width // 2).contiguous(memory_format=_LAST)
    y: Tensor = _Depthwise.apply(grids, weight, 1)
    h, w = y.shape[2:]
    y = y.reshape(n, 2, 2, c, h, w).permute(0, 3, 4, 1, 5, 2).reshape(n, c, 2 * h, 2 * w)
    return y.contiguous(memory_format=_LAST)


def is_quicker(x: Tensor, *, kernel: int, stride: int, dilation: int) -> bool:
    """Tell whether :func:`depthwise` takes this convolution of the padded ``x``, and gains by it."""
    if x.device.type != "cpu" or kernel not in (3, 5) or dilation not in (1, 2):
        return False
    if dilation == 2:
        return stride == 1 and x.shape[2] % 2 == 0 and x.shape[3] % 2 == 0
    return stride == 2 or kernel == 5


@final
class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return conv2d(x, weight, None, stride, 0, 1, x.shape[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        gradient = gradients[0].contiguous(memory_format=_LAST)
        return (
            _input_gradient(gradient, x, weight, ctx.stride),
            _weight_gradient(gradient, x, weight, ctx.stride),
            None,
        )


def _input_gradient(gradient: Tensor, x: Tensor, weight: Tensor, stride: int) -> Tensor:
    reach = weight.shape[-1] - 1
    n, c, height, width = x.shape
    if stride == 1:
        spread = pad(gradient, (reach, reach, reach, reach))
    else:
        shape = (n, c, height + reach, width + reach)
        spread = torch.zeros(shape, dtype=gradient.dtype).contiguous(memory_format=_LAST)
        bottom = reach + (gradient.shape[2] - 1) * stride + 1
        right = reach + (gradient.shape[3] - 1) * stride + 1
        spread[:, :, reach:bottom:stride, reach:right:stride] = gradient
    return conv2d(spread, weight.flip(2, 3), None, 1, 0, 1, c)


def _weight_gradient(gradient: Tensor, x: Tensor, weight: Tensor, stride: int) -> Tensor:
    kernel = weight.shape[-1]
    height = (gradient.shape[2] - 1) * stride + 3
    width = (gradient.shape[3] - 1) * stride + 3
    out = torch.empty_like(weight)
    corner = weight[:, :, :3, :3]
    for i in range(0, kernel - 1, 2):
        for j in range(0, kernel - 1, 2):
            window = x[:, :, i : i + height, j : j + width]
            out[:, :, i : i + 3, j : j + 3] = _three_by_three(gradient, window, corner, stride)
    return out


def _three_by_three(gradient: Tensor, window: Tensor, corner: Tensor, stride: int) -> Tensor:
    transposed, wanted = False, [False, True, False]  # of the input's, weight's and bias's gradient
    sides = ([stride] * 2, [0, 0], [1, 1], transposed, [0, 0], window.shape[1])
    weight: Tensor = torch.ops.aten.convolution_backward(gradient, window, corner, None, *sides, wanted)[1]
    return weight
