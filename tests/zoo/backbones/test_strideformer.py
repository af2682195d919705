"""StrideFormer's parts, each against its definition."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mosaic_deploy.zoo.backbones.mobilenet_v3 import Block
from mosaic_deploy.zoo.backbones.strideformer import AxialAttention, StrideFormer
from mosaic_deploy.zoo.layers.drop_path import DropPath


@torch.no_grad()
@pytest.mark.parametrize("axis", [2, 3])
@pytest.mark.parametrize("length", [16, 7])
def test_axial_attention_is_a_softmax_over_the_other_tokens(axis: int, length: int) -> None:
    torch.manual_seed(0)
    heads, key = 2, 3
    attention = AxialAttention(heads, key).eval()
    attention.project = nn.Sequential()
    shape = (length, 5) if axis == 3 else (5, length)
    q, k = torch.randn(1, heads * key, *shape), torch.randn(1, heads * key, *shape)
    v = torch.randn(1, 2 * heads * key, *shape)
    found = attention(q, k, v, axis=axis)

    def placed(x: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        return x.mean(axis) + nn.functional.interpolate(positions, length, mode="linear")

    qs = placed(q, attention.query_positions)[0].chunk(heads)
    ks = placed(k, attention.key_positions)[0].chunk(heads)
    vs = v.mean(axis)[0].chunk(heads)
    expected = torch.cat(
        [
            vh @ torch.softmax(torch.einsum("cq,ck->qk", qh, kh) / key**0.5, 1).T
            for qh, kh, vh in zip(qs, ks, vs, strict=True)
        ]
    )
    assert found.shape[axis] == 1
    torch.testing.assert_close(found.squeeze(axis)[0], expected)


def test_residuals_are_where_channels_and_size_stay() -> None:
    with torch.device("meta"):
        nets = {size: StrideFormer(size, strided=True) for size in ("base", "tiny")}  # type: ignore[arg-type]
    found = {name: [b.residual for b in net.modules() if isinstance(b, Block)] for name, net in nets.items()}
    assert found["base"] == [True, False, True, *[False, True] * 3]
    assert found["tiny"] == [True, False, False, *[False, True] * 3]


def test_the_last_block_of_a_transformer_is_dropped_most() -> None:
    with torch.device("meta"):
        base = StrideFormer("base", strided=True)
    assert [d.share for d in base.modules() if isinstance(d, DropPath)] == [0, 0.05, 0.1] * 2
