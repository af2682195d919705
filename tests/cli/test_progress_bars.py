"""Progress: how much is left, and no note of what is done."""

from __future__ import annotations

import pytest
from rich.progress import Progress

from mosaic_deploy.cli.progress_bars import Bars, clock, remaining
from mosaic_deploy.workers.progress import counting


@pytest.mark.parametrize(
    ("share", "spent", "left"),
    [(0.5, 60, 60.0), (0.25, 30, 90.0), (0.01, 60, None), (0.5, 1, None), (1.0, 60, None)],
    ids=["half", "quarter", "early", "quick", "done"],
)
def test_what_is_left(share: float, spent: float, left: float | None) -> None:
    assert remaining(share, spent) == left


def test_what_is_left_of_work_that_goes_on_where_it_was_stopped() -> None:
    assert remaining(0.75, 60, first=0.5) == 60.0
    assert remaining(0.51, 60, first=0.5) is None


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.4, "0:00"), (59.6, "1:00"), (80, "1:20"), (7400, "2:03:20")], ids=str
)
def test_the_clock(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


def test_lines_say_how_much_is_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    bars = Bars(quiet=False)
    for second, share in ((0, 0.0), (10, 0.2), (20, 0.4), (30, 0.5), (50, 1.0)):
        now[0] = 100.0 + second
        bars("run", share, f"image {round(32 * share)} of 32")
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["run         40% image 13 of 32, about 0:30 left", "run        done in 50.0 s"]


def test_a_finished_stage_has_no_note(monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(Progress, "update", lambda _self, _task, *, completed, note: notes.append(note))
    bars = Bars(quiet=False)
    bars("decode", 0.5, "street_7")
    bars("decode", 1.0, "street_8")
    assert notes == ["street_7", ""]


def test_images_are_counted_over_all_processes() -> None:
    heard: list[str] = []
    tell = counting(lambda _share, note: heard.append(note), 32)
    for share, note in (
        (0.0, "start"),
        (1 / 64, "image 1 of 1"),
        (0.5, "image 3 of 5"),
        (1.0, "image 8 of 8"),
    ):
        tell(share, note)
    assert heard == ["start", "image 1 of 32", "image 16 of 32", "image 32 of 32"]
