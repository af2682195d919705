"""The page's colours can be read in light and in dark."""

import re
from importlib.resources import files

import pytest

_BODY_TEXT = 4.5
"""WCAG 2.2, criterion 1.4.3: the least contrast of text."""
STYLE = (files("mosaic_deploy.artifact.html_report") / "templates" / "style.css").read_text(encoding="utf-8")


def colours(scheme: str) -> dict[str, str]:
    light, dark = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    return dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6})", light if scheme == "light" else dark))


def luminance(colour: str) -> float:
    """Relative luminance of an sRGB colour as WCAG defines it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(scheme: str) -> None:
    found = colours(scheme)
    for text in ("ink", "quiet", "good", "bad", "open", "accent"):
        assert contrast(found[text], found["ground"]) >= _BODY_TEXT, text
    for state in ("good", "bad", "open"):
        assert contrast(found["on"], found[state]) >= _BODY_TEXT, state
    assert contrast(found["ink"], found["card"]) >= _BODY_TEXT


def test_a_faint_colour_would_be_found() -> None:
    assert contrast("#a0a0a0", "#ffffff") < _BODY_TEXT < contrast("#000000", "#ffffff")
