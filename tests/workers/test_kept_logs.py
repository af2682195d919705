"""A log that an error names outlives its folder, and old ones make room."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

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
