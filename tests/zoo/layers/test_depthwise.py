"""The quick depthwise gradients must be torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d

from mosaic_deploy.zoo.layers.depthwise import depthwise, is_quicker
from mosaic_deploy.zoo.layers.layers import Conv

CASES = [
    pytest.param(3, 1, 1, (10, 13), id="3x3"),
    pytest.param(3, 2, 1, (9, 15), id="3x3 stride 2"),
    pytest.param(3, 2, 1, (10, 14), id="3x3 stride 2, a row and a column unused"),
    pytest.param(5, 1, 1, (8, 11), id="5x5"),
    pytest.param(5, 2, 1, (11, 8), id="5x5 stride 2"),
    pytest.param(3, 1, 2, (10, 12), id="3x3 dilated"),
    pytest.param(5, 1, 2, (12, 14), id="5x5 dilated"),
]


def gradients(
    x: Tensor, weight: Tensor, *, stride: int, dilation: int, quick: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the output, and the gradients of input and weight for fixed output gradients."""
    x, weight = x.clone().requires_grad_(), weight.clone().requires_grad_()
    if quick:
        y = depthwise(x, weight, stride=stride, dilation=dilation)
    else:
        y = conv2d(x, weight, None, stride, 0, dilation, x.shape[1])
    y.backward(torch.cos(torch.arange(y.numel()).float()).reshape(y.shape).to(y.dtype))  # type: ignore[no-untyped-call]  # torch leaves it untyped
    assert x.grad is not None
    assert weight.grad is not None
    return y.detach(), x.grad, weight.grad


@pytest.mark.parametrize(("kernel", "stride", "dilation", "size"), CASES)
def test_float32_gradients_equal_torch(
    kernel: int, stride: int, dilation: int, size: tuple[int, int]
) -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn((2, 6, *size), generator=generator).to(memory_format=torch.channels_last)
    weight = torch.randn((6, 1, kernel, kernel), generator=generator)
    ours = gradients(x, weight, stride=stride, dilation=dilation, quick=True)
    theirs = gradients(x, weight, stride=stride, dilation=dilation, quick=False)
    for mine, torchs in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, torchs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("quick", [True, False], ids=["ours", "torch's"])
@pytest.mark.parametrize(("kernel", "stride", "dilation", "size"), CASES[1:])
def test_bfloat16_gradients_are_near_the_exact_ones(
    kernel: int, stride: int, dilation: int, size: tuple[int, int], quick: bool
) -> None:
    generator = torch.Generator().manual_seed(2)
    x = torch.randn((2, 6, *size), generator=generator).bfloat16()
    weight = torch.randn((6, 1, kernel, kernel), generator=generator).bfloat16()
    exact = gradients(x.float(), weight.float(), stride=stride, dilation=dilation, quick=False)
    rough = gradients(x, weight, stride=stride, dilation=dilation, quick=quick)
    for want, have in zip(exact, rough, strict=True):
        assert have.dtype == torch.bfloat16
        assert float((have.float() - want).norm() / want.norm()) < 0.01


@pytest.mark.parametrize("dilation", [1, 2], ids=["dense", "dilated"])
def test_a_layer_takes_the_quick_path_only_in_mixed_precision_training(
    dilation: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []

    def note(x: Tensor, weight: Tensor, *, stride: int, dilation: int) -> Tensor:
        taken.append(dilation)
        return depthwise(x, weight, stride=stride, dilation=dilation)

    monkeypatch.setattr("mosaic_deploy.zoo.layers.layers.depthwise", note)
    layer, x = Conv(4, 4, 5, dilation=dilation, groups=4), torch.randn(1, 4, 8, 8)
    plain = layer(x)
    assert taken == []
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = layer(x)
        layer.eval()(x)
    assert taken == [dilation]
    assert float((mixed.float() - plain).detach().norm() / plain.detach().norm()) < 0.02


def test_what_it_leaves_to_torch() -> None:
    x = torch.zeros(1, 4, 9, 8)
    assert not is_quicker(x, kernel=3, stride=1, dilation=1)
    assert not is_quicker(x, kernel=7, stride=2, dilation=1)
    assert not is_quicker(x, kernel=5, stride=1, dilation=2), "an odd side has no four equal sub-grids"
    assert not is_quicker(x.to("meta"), kernel=5, stride=1, dilation=1)
    assert is_quicker(x, kernel=5, stride=1, dilation=1)
