"""The survey as a whole, with trials that only pretend: it goes on, it remembers, it times at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import sleep

import pytest

from mosaic_deploy.errors import ModelError
from mosaic_deploy.survey import session
from mosaic_deploy.survey.cell import ARTIFACT
from mosaic_deploy.survey.figures import Figures
from mosaic_deploy.survey.records import key_of, recall, sources_digest
from mosaic_deploy.survey.session import Order, hold_all, on_record
from mosaic_deploy.survey.subject import Subject
from mosaic_deploy.survey.trial import Terms, Trial
from tests.survey.conftest import SMALL, subject_of

TARGETS = ("cpu", "dsp", "ort-mobile")


class Pretence:
    """Stands in for holding and timing; remembers what it was asked."""

    def __init__(self) -> None:
        self.held: list[tuple[str, str]] = []
        self.timed: list[str] = []
        self.late = False

    def figures(self, subject: Subject, _out: Path) -> Figures:
        if subject.name == "broken":
            raise ModelError("broken: cannot be made")
        return SMALL

    def hold(
        self, subject: Subject, target: str, terms: Terms, _cost: Figures, *, key: str, folder: Path
    ) -> Trial:
        self.held.append((subject.name, target))
        (folder / ARTIFACT).mkdir(parents=True)
        late = "build" if self.late else ""
        return Trial(subject.name, target, key, "supported", built=True, late=late, limit_s=terms.limit_s)

    def clock(self, trials: Sequence[Trial], folders: Sequence[Path]) -> list[Trial]:
        assert all((folder / ARTIFACT).is_dir() for folder in folders)
        assert len({trial.network for trial in trials}) == 1, "a network at a time"
        self.timed += [trial.target for trial in trials]
        return [replace(trial, time_ms=5.0) for trial in trials]


@pytest.fixture
def pretence(monkeypatch: pytest.MonkeyPatch) -> Pretence:
    made = Pretence()
    monkeypatch.setattr(session, "_QUIET_S", 0.0)
    for name in ("figures", "hold", "clock"):
        monkeypatch.setattr(session, name, getattr(made, name))
    return made


def order_of(tmp_path: Path, *names: str, limit: float = 10.0) -> Order:
    subjects = tuple(subject_of(name, tmp_path) for name in names)
    return Order(subjects, TARGETS, Terms(limit_s=limit), tmp_path / "out", 2, "code")


def test_a_network_that_fails_is_a_row_and_the_others_go_on(pretence: Pretence, tmp_path: Path) -> None:
    said: list[str] = []
    trials = hold_all(order_of(tmp_path, "broken", "net"), said.append)
    assert [(t.network, t.target) for t in trials] == [(n, t) for n in ("broken", "net") for t in TARGETS]
    assert {t.error for t in trials[:3]} == {"broken: cannot be made"}
    assert [t.time_ms for t in trials[3:]] == [5.0, None, 5.0]
    assert sorted(pretence.timed) == ["cpu", "ort-mobile"], "a simulator's time ranks nothing"
    assert any("[6/6, 0 min left]" in line for line in said)
    assert not list((tmp_path / "out").rglob(ARTIFACT))


def test_a_stopped_survey_goes_on_where_it_stood(pretence: Pretence, tmp_path: Path) -> None:
    first = hold_all(order_of(tmp_path, "net"), print)
    assert hold_all(order_of(tmp_path, "net"), print) == first
    assert len(pretence.held) == 3
    hold_all(replace(order_of(tmp_path, "net"), sources="other code"), print)
    assert len(pretence.held) == 6
    assert len(on_record(order_of(tmp_path, "net"))) == 3


def test_what_was_built_before_a_stop_is_timed_after_it(pretence: Pretence, tmp_path: Path) -> None:
    hold_all(replace(order_of(tmp_path, "net"), timed=False), print)
    assert pretence.timed == []
    assert [t.time_ms for t in hold_all(order_of(tmp_path, "net"), print)] == [5.0, None, 5.0]
    assert len(pretence.held) == 3


@pytest.mark.parametrize(("gib", "at_once"), [(8, 1), (23, 1), (64, 2)])
def test_giants_come_first_and_as_many_at_once_as_memory_holds(
    gib: int, at_once: int, pretence: Pretence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_memory_bytes", lambda: gib << 30)
    running: set[str] = set()
    crowds: list[set[str]] = []

    def figures(subject: Subject, _out: Path) -> Figures:
        return replace(SMALL, macs=3 * 10**11) if "giant" in subject.name else SMALL

    def hold(subject: Subject, target: str, *terms: object, **more: Path) -> Trial:
        running.add(f"{subject.name} {target}")
        crowds.append(set(running))
        sleep(0.02)
        running.discard(f"{subject.name} {target}")
        more["folder"].mkdir(parents=True)
        return Trial(subject.name, target, str(more["key"]), "supported")

    monkeypatch.setattr(session, "figures", figures)
    monkeypatch.setattr(session, "hold", hold)
    trials = hold_all(order_of(tmp_path, "a", "giant", "b", "giant_too"), print)
    assert [t.network for t in trials[::3]] == ["a", "giant", "b", "giant_too"]
    assert any("giant" in name for name in crowds[0] | crowds[1])
    assert max(len(crowd) for crowd in crowds) == 2, "the others go on beside them"
    assert max(sum("giant" in name for name in crowd) for crowd in crowds) == at_once


def test_a_late_trial_is_tried_again_only_with_more_time(pretence: Pretence, tmp_path: Path) -> None:
    pretence.late = True
    hold_all(order_of(tmp_path, "net"), print)
    hold_all(order_of(tmp_path, "net", limit=5.0), print)
    assert len(pretence.held) == 3
    hold_all(order_of(tmp_path, "net", limit=20.0), print)
    assert len(pretence.held) == 6


def test_a_bug_costs_one_cell(pretence: Pretence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(subject: Subject, _out: Path) -> Figures:
        if subject.name == "odd":
            raise KeyError("facts")
        return SMALL

    monkeypatch.setattr(session, "figures", stumble)
    trials = hold_all(order_of(tmp_path, "odd", "net"), print)
    assert {t.error for t in trials[:3]} == {"a bug in the survey: KeyError: 'facts'"}
    assert {t.verdict for t in trials[3:]} == {"supported"}
    assert len(on_record(order_of(tmp_path, "odd", "net"))) == 3, "it is tried again next time"


def test_what_cannot_be_made_is_tried_once(
    pretence: Pretence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[str] = []

    def fail(subject: Subject, _out: Path) -> Figures:
        tries.append(subject.name)
        raise ModelError("cannot be exported")

    monkeypatch.setattr(session, "figures", fail)
    trials = hold_all(replace(order_of(tmp_path, "broken"), jobs=1), print)
    assert [t.error for t in trials] == ["cannot be exported"] * 3
    assert tries == ["broken"]


def test_an_interrupt_ends_it(pretence: Pretence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_args: object, **_kwargs: object) -> Trial:
        raise KeyboardInterrupt

    monkeypatch.setattr(session, "hold", stop)
    with pytest.raises(KeyboardInterrupt):
        hold_all(order_of(tmp_path, "net"), print)


def test_a_record_of_another_version_does_not_count(subject: Subject, tmp_path: Path) -> None:
    for place in ("mosaic_deploy/survey", "targets", "quant"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "targets" / "x.toml").write_text("a = 1")
    before, terms = sources_digest(tmp_path), Terms()
    (tmp_path / "mosaic_deploy" / "survey" / "table.py").write_text("a = 1")
    assert sources_digest(tmp_path) == before, "how a table is written decides no outcome"
    (tmp_path / "targets" / "x.toml").write_text("a = 2")
    after = sources_digest(tmp_path)
    assert after != before
    key = key_of(subject, "cpu", terms, before)
    assert key != key_of(subject, "cpu", terms, after)
    assert key != key_of(subject, "cpu", replace(terms, images=3), before)
    assert key == key_of(subject, "cpu", replace(terms, limit_s=5.0), before)
    assert key != key_of(replace(subject, digest="another"), "cpu", terms, before)
    assert recall(tmp_path, "net", "cpu", key) is None
