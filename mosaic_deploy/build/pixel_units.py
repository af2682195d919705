"""Means and scales of pixels from 0 to 1, where they are to be of pixels from 0 to 255."""

from __future__ import annotations

from collections.abc import Sequence

from mosaic_deploy.errors import UsageError

_WHITE = 255
_FACTOR_BELOW = 0.05
"""Below it a scale is a factor that pixels are multiplied by: no colour deviates so little from 0 to 1."""


def require_pixel_units(
    mean: Sequence[float] | None, scale: Sequence[float] | None, *, where: str, words: tuple[str, str]
) -> None:
    """Raise ``UsageError``, with the numbers for pixels from 0 to 255, for others than those.

    Args:
        mean: of each colour; None where it is not stated.
        scale: the same.
        where: what states them.
        words: how mean and scale are spelled there, each with a place for its numbers.
    """
    from_0_to_1 = any(0 < abs(value) < 1 for value in mean or ())
    small = [value for value in scale or () if 0 < abs(value) < 1]
    if not from_0_to_1 and not small:
        return
    factors = all(abs(value) < _FACTOR_BELOW for value in small)
    means = [value * _WHITE if from_0_to_1 else value for value in mean or ()]
    scales = [_in_pixels(value, factors=factors, from_0_to_1=from_0_to_1) for value in scale or ()]
    meant = [word.format(_shown(v)) for word, v in zip(words, (means, scales), strict=True) if v]
    stated = [word.format(_shown(v)) for word, v in zip(words, (mean or (), scale or ()), strict=True) if v]
    kind = (
        "a factor, and a scale divides" if small and factors and not from_0_to_1 else "of pixels from 0 to 1"
    )
    raise UsageError(
        f"{where}{' '.join(stated)}: this is {kind}; input = (pixel - mean) / scale with pixels from 0 to "
        f"255: did you mean {' '.join(meant)}?"
    )


def _in_pixels(value: float, *, factors: bool, from_0_to_1: bool) -> float:
    if 0 < abs(value) < 1:
        return 1 / value if factors else value * _WHITE
    return value * _WHITE if from_0_to_1 and abs(value) == 1 else value


def _shown(values: Sequence[float]) -> str:
    """With commas, and one number where all are the same."""
    words = [f"{value:.6g}" for value in values]
    return words[0] if len(set(words)) == 1 else ",".join(words)
