"""The published sizes of token pyramid transformers, as tables.

Sources: TopFormer's released configurations (github.com/hustvl/TopFormer) and those that the search of
Efficient-TopFormer found (github.com/wmkai/NAS, the configurations that were retrained; the project page's
figure draws other numbers for ``tiny``, and a wider second stage for ``base``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Family = Literal["topformer", "efficient_topformer"]
Size = Literal["tiny", "small", "base"]


@dataclass(frozen=True, slots=True)
class Row:
    """One inverted residual; the expanded channels are ``expansion`` times the input's."""

    kernel: int
    expansion: int
    out: int
    stride: int


@dataclass(frozen=True, slots=True)
class Stage:
    """``depth`` equal transformer blocks; the ratios are of a value to a key, and of the MLP to its input."""

    depth: int
    heads: int
    key: int
    attention_ratio: float
    mlp_ratio: float


@dataclass(frozen=True, slots=True)
class Variant:
    """A size: the CNN, the transformer, and the channels in which the head joins them."""

    stem: int
    rows: tuple[Row, ...]
    stages: tuple[Stage, ...]
    joined: int
    depthwise_fuse: bool = False
    """Whether the head's last hidden convolution sees each channel alone."""


def _rows(*rows: tuple[int, int, int, int]) -> tuple[Row, ...]:
    return tuple(Row(*row) for row in rows)


def _topformer(a: int, b: int, c: int, d: int) -> tuple[Row, ...]:
    """The rows that TopFormer's sizes share but for their widths at strides 4, 8, 16 and 32."""
    return _rows(
        (3, 1, 16, 1),
        (3, 4, a, 2), (3, 3, a, 1),
        (5, 3, b, 2), (5, 3, b, 1),
        (3, 3, c, 2), (3, 3, c, 1),
        (5, 6, d, 2), (5, 6, d, 1),
    )  # fmt: skip


_TOPFORMER: dict[Size, Variant] = {
    "tiny": Variant(
        stem=16,
        rows=_topformer(16, 32, 64, 96),
        stages=(Stage(4, 4, 16, 2.0, 2.0),),
        joined=128,
        depthwise_fuse=True,
    ),
    "small": Variant(
        stem=16,
        rows=(*_topformer(24, 48, 96, 128), Row(3, 6, 128, 1)),
        stages=(Stage(4, 6, 16, 2.0, 2.0),),
        joined=192,
    ),
    "base": Variant(
        stem=16,
        rows=(*_topformer(32, 64, 128, 160), Row(3, 6, 160, 1)),
        stages=(Stage(4, 8, 16, 2.0, 2.0),),
        joined=256,
    ),
}

_EFFICIENT: dict[Size, Variant] = {
    "tiny": Variant(
        stem=16,
        rows=_rows(
            (3, 1, 16, 1),
            (3, 3, 16, 2),
            (5, 2, 32, 2), (5, 2, 32, 1),
            (5, 4, 72, 2), (5, 4, 72, 1),
            (5, 5, 96, 2), (5, 5, 96, 1),
        ),
        stages=(
            Stage(2, 6, 14, 2.4, 1.8),
            Stage(2, 10, 20, 1.6, 2.2),
            Stage(1, 8, 14, 1.8, 2.2),
            Stage(2, 10, 14, 1.6, 2.2),
        ),
        joined=128,
        depthwise_fuse=True,
    ),
    "small": Variant(
        stem=16,
        rows=_rows(
            (5, 1, 16, 1),
            (3, 4, 16, 2),
            (3, 2, 48, 2), (3, 2, 48, 1),
            (5, 4, 96, 2), (5, 4, 96, 1),
            (5, 5, 136, 2), (5, 5, 136, 1), (5, 5, 136, 1), (5, 5, 136, 1),
        ),
        stages=(
            Stage(1, 6, 16, 1.8, 1.8),
            Stage(1, 4, 12, 1.8, 1.8),
            Stage(2, 6, 18, 2.2, 1.8),
            Stage(2, 10, 18, 2.4, 2.2),
        ),
        joined=192,
    ),
    "base": Variant(
        stem=24,
        rows=_rows(
            (3, 1, 16, 1),
            (5, 3, 32, 2),
            (5, 4, 56, 2),
            (5, 4, 112, 2), (5, 4, 112, 1),
            (5, 5, 168, 2), (5, 5, 168, 1), (5, 5, 168, 1), (5, 5, 168, 1),
        ),
        stages=(
            Stage(2, 12, 12, 1.8, 2.0),
            Stage(1, 10, 18, 2.4, 2.2),
            Stage(2, 12, 18, 2.2, 2.2),
            Stage(2, 4, 20, 2.2, 2.2),
        ),
        joined=256,
    ),
}  # fmt: skip

VARIANTS: Mapping[Family, Mapping[Size, Variant]] = MappingProxyType(
    {"topformer": MappingProxyType(_TOPFORMER), "efficient_topformer": MappingProxyType(_EFFICIENT)}
)
"""Family -> size -> what it is made of."""
