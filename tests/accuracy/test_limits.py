from __future__ import annotations

import pytest

from mosaic_deploy.accuracy.limits import Limits, read_class_tolerances, read_tolerance
from mosaic_deploy.errors import UsageError


@pytest.mark.parametrize(
    ("text", "found"), [("0.01", (0.01, None)), (0.5, (0.5, None)), ("99%", (None, 0.99)), ("1", (1.0, None))]
)
def test_tolerances_are_read(text: str | float, found: tuple[float | None, float | None]) -> None:
    assert read_tolerance(text) == found


@pytest.mark.parametrize("text", ["", "some", "nan", "-0.1", "1.1", "101%", "%", "inf"])
def test_what_is_no_tolerance_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="tolerance"):
        read_tolerance(text)


def test_class_tolerances_are_read() -> None:
    assert read_class_tolerances("traffic light=0.03, pole=0.1") == (("traffic light", 0.03), ("pole", 0.1))


@pytest.mark.parametrize("text", ["", "pole", "pole=", "=0.1", "pole=2", "pole=99%", "pole=0.1,"])
def test_what_is_no_class_tolerance_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="tolerance"):
        read_class_tolerances(text)


def test_limits_say_no_to_nonsense() -> None:
    with pytest.raises(UsageError, match="either"):
        Limits(None)
    with pytest.raises(UsageError, match="undecided maybe"):
        Limits(0.1, undecided="maybe")  # type: ignore[arg-type]
