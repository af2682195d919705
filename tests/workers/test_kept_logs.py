"""A log that an error names outlives its folder, and old ones make room."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mosaic_deploy.errors import ModelError, RefusedError
from mosaic_deploy.workers import kept_logs


def test_a_log_stays_and_the_oldest_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(kept_logs, "MOST", 3)
    log = tmp_path / "log"
    copies = []
    for number in range(5):
        log.write_text(f"line {number}", encoding="utf-8")
        copies.append(kept_logs.keep_log(log, "a / name"))
        os.utime(copies[-1], (number, number))
    log.unlink()
    assert [copy.is_file() for copy in copies] == [False, False, True, True, True]
    assert copies[-1].read_text(encoding="utf-8") == "line 4"
    assert {copy.parent for copy in copies} == {kept_logs.logs_folder()}


def test_where_nothing_can_be_kept_the_log_itself_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "state").write_text("in the way", encoding="utf-8")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    log = tmp_path / "log"
    log.write_text("line", encoding="utf-8")
    assert kept_logs.keep_log(log, "name") == log


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    folder = tmp_path / "work" / "logs"
    folder.mkdir(parents=True)
    (folder / "export.log").write_text("long ago")
    os.utime(folder / "export.log", (1, 1))
    return folder


def test_the_log_that_an_error_names_is_kept_and_named_anew(logs: Path) -> None:
    with pytest.raises(RefusedError) as caught, kept_logs.kept_logs(logs):
        (logs / "compiler.log").write_text("why")
        (logs / "compiler.log.old").write_text("no")
        raise RefusedError(f"left to the CPU; log: {logs / 'compiler.log'}")
    place = Path(str(caught.value).partition("; log: ")[2])
    assert place.parent == kept_logs.logs_folder()
    assert place.read_text() == "why"


def test_an_error_without_a_log_gets_the_one_that_was_written_last(logs: Path) -> None:
    with pytest.raises(ModelError) as caught, kept_logs.kept_logs(logs):
        (logs / "convert.log").write_text("the converter's words")
        raise ModelError("cannot be converted")
    place = Path(str(caught.value).removeprefix("cannot be converted; log: "))
    assert place.read_text() == "the converter's words"


def test_a_log_of_before_is_not_the_cause(logs: Path) -> None:
    with pytest.raises(ModelError, match=r"^too large$"), kept_logs.kept_logs(logs):
        raise ModelError("too large")
    elsewhere = f"broken; log: {logs.parent / 'kept.log'}"
    with pytest.raises(ModelError) as caught, kept_logs.kept_logs(logs):
        (logs / "convert.log").write_text("x")
        raise ModelError(elsewhere)
    assert str(caught.value) == elsewhere
