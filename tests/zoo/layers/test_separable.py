"""The conventions of PyTorch's and PaddlePaddle's networks."""

from __future__ import annotations

import torch

from mosaic_deploy.zoo.layers.separable import depthwise, pointwise, stem


def test_batch_norms_and_paddings_are_pytorchs() -> None:
    layers = [stem(4), depthwise(4, 5, stride=2), pointwise(4, 6)]
    assert {(layer.bn.eps, layer.bn.momentum) for layer in layers} == {(1e-5, 0.1)}
    assert [layer.conv.conv.padding for layer in layers] == [(1, 1), (2, 2), (0, 0)]


def test_shapes_biases_and_activations() -> None:
    x = stem(4)(torch.randn(2, 3, 18, 12))
    assert x.shape == (2, 4, 9, 6)
    filtered = depthwise(4, 5, stride=2)(x)
    assert filtered.shape == (2, 4, 5, 3)
    assert filtered.min() < 0
    mixed = pointwise(4, 6, bias=True)
    assert mixed.conv.conv.bias is not None
    assert mixed(filtered).shape == (2, 6, 5, 3)
    assert mixed(filtered).min() == 0
