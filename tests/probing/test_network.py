"""Windows of a network: all, each once; what the table clears and the compiler refuses fails."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mosaic_deploy.backends.oracle.outcome import CaseOutcome, Found
from mosaic_deploy.errors import UsageError
from mosaic_deploy.graph.normal.normalise import read_network
from mosaic_deploy.probing import network
from mosaic_deploy.probing.network import NetworkRequest, connected, probe_network, windows_of
from tests.gate.gate_models import write

CHAIN = "a = Relu (image) b = Sigmoid (a) c = Relu (b) y = Neg (c)"


def test_connected_sets_are_all_there_once() -> None:
    line = [{1}, {0, 2}, {1, 3}, {2}]
    sets = list(connected(line, 4))
    assert [len(held) for held in sets] == [1, 1, 1, 1, 2, 2, 2, 3, 3, 4]
    assert len(set(sets)) == 10
    star = [{1, 2, 3}, {0}, {0}, {0}]
    assert len(list(connected(star, 4))) == 4 + 3 + 3 + 1


def test_alike_windows_come_once(tmp_path: Path) -> None:
    windows = windows_of(read_network(write(tmp_path / "m.onnx", CHAIN)), {""})
    assert [window.size for window in windows] == [1, 1, 1, 2, 2, 2, 3, 3, 4]  # Relu is there twice


def told(monkeypatch: pytest.MonkeyPatch, found: Found, op: str) -> list[int]:
    """A compiler that says ``found`` of windows that are one operator, and runs the rest."""
    asked: list[int] = []

    def try_parts(table: str, cases: list, *, jobs: int, until: float, heard: object) -> bool:  # type: ignore[type-arg]
        asked.append(len(cases))
        for case in cases:
            alone = [node.op_type for node in case.model.graph.node] == [op]
            heard(case, (CaseOutcome("", "cpu", found if alone else "runs", "said", 0.5),))  # type: ignore[operator]
        return True

    monkeypatch.setattr(network, "try_parts", try_parts)
    return asked


@pytest.mark.parametrize(
    ("found", "code"), [("runs", 0), ("wrong", 1), ("fails-to-compile", 1), ("no-reference", 0)]
)
def test_a_cleared_node_that_is_refused_fails_and_is_remembered(
    found: Found, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = told(monkeypatch, found, "Sigmoid")
    path = write(tmp_path / "m.onnx", CHAIN)
    request = NetworkRequest(path, "ort-mobile", evidence=tmp_path / "e")
    first = probe_network(request, lambda *_: None)
    assert (first.exit_code, first.tried, first.recalled) == (code, 9, 0)
    assert [one.window.nodes for one in first.bad] == ([first.bad[0].window.nodes] if code else [])
    assert all(Path(one.reproducer).is_file() for one in first.bad)
    again = probe_network(request, lambda *_: None)
    assert (again.exit_code, again.tried, again.recalled) == (code, 0, 9)
    assert asked == [9]


def test_a_budget_of_nothing_is_said(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", CHAIN)
    report = probe_network(NetworkRequest(path, "ort-mobile", -1, tmp_path / "e"), lambda *_: None)
    assert (report.tried, report.exit_code) == (0, 0)
    assert "--budget" in report.explain()[-1]


def test_the_real_compiler(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", "a = Relu (image) y = Sigmoid (a)")
    request = NetworkRequest(path, "ort-mobile", evidence=tmp_path / "e")
    report = probe_network(request, lambda *_: None)
    assert (report.windows, report.tried, report.exit_code) == (3, 3, 0)
    assert sum(report.counts["runs"].values()) + sum(report.counts["falls back"].values()) == 3
    with pytest.raises(UsageError, match="cannot be run here"):
        probe_network(replace(request, target="edgetpu"), lambda *_: None)
