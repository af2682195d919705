"""Attention against its definition, written out."""

from __future__ import annotations

import torch
from torch import nn

from mosaic_deploy.zoo.layers.attention import Heads, TokenAttention


def test_it_starts_as_nothing_and_its_logits_are_not_scaled() -> None:
    torch.manual_seed(0)
    attention, x = TokenAttention(8, Heads(count=2, key=4, value=6)).eval(), torch.randn(2, 8, 3, 4)
    assert not attention(x).any()
    nn.init.ones_(attention.project.bn.weight)
    q, k, v = (part(x).reshape(2, 2, -1, 12) for part in (attention.query, attention.key, attention.value))
    seen = torch.einsum("nhij,nhcj->nhci", torch.einsum("nhci,nhcj->nhij", q, k).softmax(-1), v)
    expected = attention.project(seen.reshape(2, 12, 3, 4).clamp(0, 6))
    torch.testing.assert_close(attention(x), expected)
