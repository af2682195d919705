"""A survey as a person asks for it: by names, into a folder that is given from where they stand."""

from __future__ import annotations

from pathlib import Path

import pytest

from mosaic_deploy.errors import UsageError
from mosaic_deploy.survey import survey
from mosaic_deploy.survey.session import Order, Say
from mosaic_deploy.survey.survey import RECORD, TABLE, Request, hold_survey
from mosaic_deploy.survey.trial import Terms, Trial
from tests.survey.conftest import subject_of

TERMS = Terms(limit_s=10.0)


def test_the_folder_may_be_relative_though_commands_run_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders: list[Order] = []

    def held(order: Order, _say: Say) -> list[Trial]:
        orders.append(order)
        return []

    monkeypatch.setattr(survey, "hold_all", held)
    monkeypatch.chdir(tmp_path)
    hold_survey(Request((subject_of("net", tmp_path),), "cpu", TERMS, Path("survey/zoo")), print)
    assert orders[0].out == tmp_path / "survey" / "zoo"
    assert {path.name for path in (tmp_path / "survey" / "zoo").iterdir()} == {TABLE, RECORD}


def test_a_target_that_is_none_is_refused_before_anything_is_tried(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="names none"):
        hold_survey(Request((), ",", TERMS, tmp_path), print)
