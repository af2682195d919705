"""Numbers as the page writes them."""

from __future__ import annotations

import math

NONE = "–"
_SPACE = "\u00a0"
_KIB, _MIB = 1 << 10, 1 << 20


def percent(share: float | None, digits: int = 2) -> str:
    """A share in [0, 1] as per cent."""
    return NONE if _nothing(share) else f"{share:.{digits}%}".replace("%", f"{_SPACE}%")


def points(share: float | None, digits: int = 2) -> str:
    """A difference of shares in percentage points, with its sign."""
    if share is None or math.isnan(share):
        return NONE
    text = f"{100 * share:+.{digits}f}"
    return text.lstrip("+-") if float(text) == 0 else text.replace("-", "−")


def magnitude(share: float, digits: int = 2) -> str:
    """The same without a sign, as a sentence needs it that says which way."""
    return NONE if math.isnan(share) else f"{abs(100 * share):.{digits}f}"


def size(count: int) -> str:
    """Bytes in binary units."""
    if count < _MIB:
        return f"{count / _KIB:.1f}{_SPACE}KiB"
    return f"{count / _MIB:.2f}{_SPACE}MiB"


def large(count: int) -> str:
    """An operation count in millions or billions."""
    if count >= 10**9:
        return f"{count / 1e9:.2f}{_SPACE}billion"
    return f"{count / 1e6:.1f}{_SPACE}million"


def plural(count: int, word: str) -> str:
    """``1 image``, ``2 images``."""
    return f"{count:,}{_SPACE}{word}{'s' * (count != 1)}"


def _nothing(value: float | None) -> bool:
    return value is None or math.isnan(value)
