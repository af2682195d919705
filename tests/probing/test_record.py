from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mosaic_deploy.backends.oracle.case import Case
from mosaic_deploy.backends.oracle.outcome import CaseOutcome
from mosaic_deploy.errors import UsageError
from mosaic_deploy.probing.record import Record, checksum
from mosaic_deploy.probing.sketch import Sketch

FAILED = CaseOutcome("a", "old", "fails-to-compile", "nö", None)
RUNS = CaseOutcome("a", "new", "runs", "", 1e-4)


def case(name: str, seed: int = 0) -> Case:
    sketch = Sketch(opset=18, dtype="float32", rank=2, seed=seed, random=False, values={})
    sketch.node("Relu", [sketch.data()])
    return Case(name, "Relu", "plain", "grid", sketch.model(), sketch.feeds, "float")


def opened(path: Path, *, table: str = "t", version: str = "1") -> Record:
    return Record(path, table=table, version=version)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A record of two cases."""
    place = tmp_path / "r.jsonl"
    with opened(place) as record:
        record.add(case("a"), (FAILED, RUNS))
        record.add(case("b"), (replace(RUNS, case="b"),))
    return place


def test_what_is_added_is_read_back(path: Path) -> None:
    with opened(path) as record:
        assert record.known == {"a": (FAILED, RUNS), "b": (replace(RUNS, case="b"),)}
    assert json.loads(path.read_text().splitlines()[0]) == {"table": "t", "version": "1"}


def test_every_case_is_in_the_file_at_once(tmp_path: Path) -> None:
    with opened(tmp_path / "r") as record:
        record.add(case("a"), (RUNS,))
        assert len((tmp_path / "r").read_text().splitlines()) == 2


@pytest.mark.parametrize("cut", [1, 20], ids=["newline", "half"])
def test_half_a_last_line_is_dropped(path: Path, cut: int) -> None:
    path.write_bytes(path.read_bytes()[:-cut])
    with opened(path) as record:
        assert set(record.known) == {"a"}
        record.add(case("c"), (RUNS,))
    with opened(path) as record:
        assert set(record.known) == {"a", "c"}


def test_half_a_first_line_is_none(tmp_path: Path) -> None:
    (tmp_path / "r").write_text('{"table": "')
    with opened(tmp_path / "r") as record:
        record.add(case("a"), (RUNS,))
    with opened(tmp_path / "r") as record:
        assert set(record.known) == {"a"}


def test_devices_come_together(path: Path) -> None:
    third = CaseOutcome("a", "third", "wrong")
    size = path.stat().st_size
    with opened(path) as record:
        record.add(case("a"), (RUNS,))
        assert path.stat().st_size == size
        record.add(case("a"), (third, replace(RUNS, found="wrong")))
    with opened(path) as record:
        assert record.known["a"] == (FAILED, replace(RUNS, found="wrong"), third)


def test_a_case_that_changed_is_unknown(path: Path) -> None:
    other = case("a", seed=1)
    assert checksum(other) != checksum(case("a"))
    with opened(path) as record:
        known = dict(record.known)
        assert [c.name for c in record.current([other, case("b"), case("c")], known)] == ["a", "b", "c"]
        assert set(known) == {"b"}
        record.add(other, (RUNS,))
    with opened(path) as record:
        assert record.known["a"] == (RUNS,)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param(
            '{"table": "t", "version": "2"}\n', "is a record of t by 2, and this is t by 1", id="version"
        ),
        pytest.param('{"table": "u", "version": "1"}\n', "is a record of u by 1", id="table"),
        pytest.param("[1]\n", "is not a probe's record", id="json"),
        pytest.param("hello\n", "is not a probe's record", id="text"),
        pytest.param("hello", "is not a probe's record", id="half"),
        pytest.param('{"table": "t", "version": "1"}\n{}\n', "line 2 is not a result", id="line"),
    ],
)
def test_what_is_no_record_is_refused_and_kept(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "r").write_text(text)
    with pytest.raises(UsageError, match=says):
        opened(tmp_path / "r")
    assert (tmp_path / "r").read_text() == text


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be used as a record"):
        opened(tmp_path / "no" / "r")
