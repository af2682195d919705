"""Layers that the zoo's networks share: padded convolutions, batch norm, resizing."""

from __future__ import annotations

from typing import Any, Literal, final

import torch
from torch import Tensor, nn

from mosaic_deploy.zoo.layers.activations import Activation, activate
from mosaic_deploy.zoo.layers.depthwise import depthwise, is_quicker

Padding = Literal["same", "symmetric"]
Sampling = Literal["half_pixel", "asymmetric"]


@final
class Conv(nn.Module):
    """A convolution whose output side is ceil(input / stride); without bias unless told otherwise.

    ``same`` pads as TensorFlow does: the total that is needed, the odd pixel after. ``symmetric`` pads
    dilation * (kernel // 2) on every side. They differ only where the stride is above 1.
    """

    def __init__(
        self,
        channels: int,
        out: int,
        kernel: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        padding: Padding = "same",
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.kernel, self.stride, self.dilation = kernel, stride, dilation
        self.reach = dilation * (kernel - 1)
        self.uneven = padding == "same" and stride > 1
        even = 0 if self.uneven else self.reach // 2
        self.conv = nn.Conv2d(channels, out, kernel, stride, even, dilation, groups, bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, out, ceil(H / stride), ceil(W / stride))."""
        if self.training and self.conv.groups == x.shape[1] and torch.is_autocast_enabled("cpu"):
            padded = nn.functional.pad(x, self._pads(x)).to(torch.get_autocast_dtype("cpu"))
            if is_quicker(padded, kernel=self.kernel, stride=self.stride, dilation=self.dilation):
                weight = self.conv.weight.to(padded.dtype)
                out = depthwise(padded, weight, stride=self.stride, dilation=self.dilation)
                bias = self.conv.bias
                return out if bias is None else out + bias.to(out.dtype)[:, None, None]
        if self.uneven:
            x = nn.functional.pad(x, self._pads(x))
        y: Tensor = self.conv(x)
        return y

    def _pads(self, x: Tensor) -> tuple[int, int, int, int]:
        if not self.uneven:
            return (self.reach // 2,) * 4
        top, bottom = self._pad(int(x.shape[2]))
        left, right = self._pad(int(x.shape[3]))
        return left, right, top, bottom

    def _pad(self, length: int) -> tuple[int, int]:
        out = -(-length // self.stride)
        total = max((out - 1) * self.stride + self.reach + 1 - length, 0)
        return total // 2, total - total // 2


@final
class ConvBN(nn.Module):
    """A convolution, batch normalisation and an activation, a ReLU unless told otherwise.

    ``eps`` and ``momentum`` (PyTorch's sense) are the batch norm's; the defaults are TensorFlow models'.
    """

    def __init__(
        self, conv: Conv, *, activation: Activation = "relu", eps: float = 1e-3, momentum: float = 0.01
    ) -> None:
        super().__init__()
        self.conv = conv
        self.bn = nn.BatchNorm2d(conv.conv.out_channels, eps=eps, momentum=momentum)
        self.activation = activate(activation)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, out, H', W')."""
        y: Tensor = self.activation(self.bn(self.conv(x)))
        return y


@final
class Resize(nn.Module):
    """Bilinear resizing of feature maps, in either of ONNX's coordinate conventions."""

    def __init__(self, sampling: Sampling) -> None:
        super().__init__()
        self.sampling = sampling

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Map (N, C, h, w) to (N, C, *size); the input itself where it has that size already."""
        if (int(x.shape[2]), int(x.shape[3])) == size:
            return x
        if self.sampling == "asymmetric":
            y: Tensor = resize_asymmetric(x, size[0], size[1])
            return y
        return nn.functional.interpolate(x, size=size, mode="bilinear", align_corners=False)


@torch.library.custom_op("mosaic_deploy::resize_asymmetric", mutates_args=())
def resize_asymmetric(x: Tensor, height: int, width: int) -> Tensor:
    """Resize (N, C, h, w) bilinearly with source coordinate = i * h / height, clamped at the far edge.

    ONNX calls these coordinates ``asymmetric``, TensorFlow 1 ``half_pixel_centers=False``. PyTorch has no
    such mode, so this is an operator of its own, exported as one ONNX ``Resize``.
    """
    return _lerp(_lerp(x, 2, height), 3, width)


@resize_asymmetric.register_fake
def _(x: Tensor, height: int, width: int) -> Tensor:
    return x.new_empty((x.shape[0], x.shape[1], height, width))


def _keep(ctx: Any, inputs: tuple[Tensor, int, int], output: Tensor) -> None:  # noqa: ARG001  # torch names it
    ctx.shape, ctx.size = inputs[0].shape, inputs[1:]


def _resize_back(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
    """Resizing is linear: its gradient is the same whatever was resized."""
    with torch.enable_grad():
        x = gradient.new_zeros(ctx.shape, requires_grad=True)
        resized = _lerp(_lerp(x, 2, ctx.size[0]), 3, ctx.size[1])
    return torch.autograd.grad(resized, x, gradient)[0], None, None


resize_asymmetric.register_autograd(_resize_back, setup_context=_keep)


def _lerp(x: Tensor, axis: int, length: int) -> Tensor:
    last = x.shape[axis] - 1
    at = torch.arange(length, dtype=torch.float32, device=x.device) * (x.shape[axis] / length)
    low = at.floor().long().clamp(max=last)
    share = (at - low).clamp(0, 1).to(x.dtype)
    share = share.reshape([-1 if a == axis else 1 for a in range(4)])
    below, above = x.index_select(axis, low), x.index_select(axis, (low + 1).clamp(max=last))
    return below + (above - below) * share
