"""Every way in which a compiler may die really happens here, and costs one case only."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from mosaic_deploy.backends.oracle import fleet
from mosaic_deploy.backends.oracle import registry as oracles
from mosaic_deploy.backends.oracle.case import Case
from mosaic_deploy.backends.oracle.fleet import try_all
from mosaic_deploy.backends.oracle.outcome import CaseOutcome
from mosaic_deploy.errors import ToolError, UsageError
from mosaic_deploy.probing.sketch import Sketch
from tests.backends.oracle import fake_compiler


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oracles, "COMPILERS", {fake_compiler.TABLE: fake_compiler.FULL_NAME})


def cases(*ops: str) -> list[Case]:
    """One small case per operator."""
    made = []
    for number, op in enumerate(ops):
        sketch = Sketch(opset=18, dtype="float32", rank=2, seed=number, random=False, values={})
        sketch.node(op, [sketch.data()])
        made.append(Case(f"{op} {number}", op, "plain", "grid", sketch.model(), sketch.feeds, "float"))
    return made


def tried(tmp_path: Path, wanted: Sequence[Case], **options: object) -> dict[str, tuple[CaseOutcome, ...]]:
    given = {"jobs": 1, "everywhere": False, "folder": tmp_path / "fleet"} | options
    results = try_all("fake", wanted, **given)  # type: ignore[arg-type]  # the tests' own options
    return {case.name: outcomes for case, outcomes in results}


def found(outcomes: tuple[CaseOutcome, ...]) -> list[tuple[str, str, str]]:
    return [(o.device, o.found, o.error) for o in outcomes]


def test_outcomes_come_back_from_every_device(tmp_path: Path) -> None:
    news: list[tuple[int, str]] = []
    results = tried(
        tmp_path,
        cases("Relu", "Tanh"),
        everywhere=True,
        on_progress=lambda count, name: news.append((count, name)),
    )
    assert found(results["Relu 0"]) == [("old", "runs", ""), ("new", "runs", "")]
    assert found(results["Tanh 1"]) == [("old", "wrong", "no Tanh"), ("new", "runs", "")]
    assert news == [(1, "Relu 0"), (2, "Tanh 1")]
    assert list((tmp_path / "fleet").iterdir()) == []


def test_a_death_costs_one_case(tmp_path: Path) -> None:
    wanted = cases("Neg", "Relu", "Abs", "Relu", "Exp", "Floor", "Relu")
    results = tried(tmp_path, wanted, everywhere=True, jobs=2)
    assert set(results) == {case.name for case in wanted}
    assert all(o.found == "runs" for name in ("Relu 1", "Relu 3", "Relu 6") for o in results[name])
    errors = {name: {(o.found, o.error) for o in results[name]} for name in results if "Relu" not in name}
    assert errors == {
        "Abs 2": {("fails-to-compile", "the compiler crashes (SIGSEGV)")},
        "Neg 0": {("fails-to-compile", "takes longer than 3 s")},
        "Exp 4": {("fails-to-compile", "takes more than 0.5 GiB")},
        "Floor 5": {("fails-to-compile", "the compiler crashes (exit status 5)")},
    }
    assert all([o.device for o in outcomes] == ["old", "new"] for outcomes in results.values())
    assert list((tmp_path / "fleet").iterdir()) == []


def test_batches_share_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "_BATCH", 2)
    wanted = cases("Relu", "Abs", "Abs", "Sigmoid", "Relu")
    results = tried(tmp_path, wanted, jobs=2)
    assert {name: outcomes[0].found for name, outcomes in results.items()} == {
        "Relu 0": "runs",
        "Abs 1": "fails-to-compile",
        "Abs 2": "fails-to-compile",
        "Sigmoid 3": "wrong",
        "Relu 4": "runs",
    }


def test_what_is_known_on_every_device_is_not_tried_again(tmp_path: Path) -> None:
    old, new = CaseOutcome("Relu 0", "old", "wrong"), CaseOutcome("Relu 0", "new", "wrong")
    wanted = cases("Relu")
    assert tried(tmp_path, wanted, known={"Relu 0": (old, new)})["Relu 0"] == (new,)
    assert not list((tmp_path / "fleet").iterdir())
    again = tried(tmp_path, wanted, known={"Relu 0": (new,)}, everywhere=True)
    assert found(again["Relu 0"]) == [("old", "runs", ""), ("new", "runs", "")]


def test_a_bug_is_no_outcome(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"^probe at Ceil 1: RuntimeError: a bug of whoever"):
        tried(tmp_path, cases("Relu", "Ceil", "Relu"))
    assert [path.name for path in (tmp_path / "fleet").iterdir()] == ["batch0.log"]


def test_an_unknown_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'fakee' \(did you mean 'fake'\?\); known: fake"):
        list(try_all("fakee", [], jobs=1, everywhere=False, folder=tmp_path))


def test_whoever_stops_early_leaves_nobody_behind(tmp_path: Path) -> None:
    results = try_all("fake", cases("Relu", "Neg"), jobs=1, everywhere=False, folder=tmp_path)
    assert next(results)[0].name == "Relu 0"
    results.close()  # type: ignore[attr-defined]  # it is a generator
    assert not [
        entry
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit()
        and _parent(entry) == os.getpid()
        and "mosaic_deploy.workers.worker" in _command(entry)
    ]


def _parent(entry: Path) -> int:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _command(entry: Path) -> str:
    try:
        return (entry / "cmdline").read_text()
    except OSError:
        return ""
