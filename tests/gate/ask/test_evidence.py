"""Evidence: what was heard is found again, and what is no evidence is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from mosaic_deploy.backends.oracle.outcome import CaseOutcome
from mosaic_deploy.errors import UsageError
from mosaic_deploy.gate.ask.evidence import Evidence, Key

MAKER, RELU, ERF = "a" * 64, "b" * 64, "c" * 64
RUNS = CaseOutcome("x", "v75", "runs", "", 0.00123456)


def key(structure: str, maker: str = MAKER) -> Key:
    return (maker, "w8a8", structure)


def test_what_was_heard_is_found_by_the_next(tmp_path: Path) -> None:
    first, second = Evidence(tmp_path, "t"), Evidence(tmp_path, "t")
    first.add(key(RELU), tool="tool 1", ops=["Relu"], outcomes=[RUNS])
    second.add(key(ERF), tool="tool 1", ops=["Erf"], outcomes=[CaseOutcome("y", "v75", "wrong", "off")])
    first.write()
    second.write()  # beside what the first wrote meanwhile
    found = Evidence(tmp_path, "t")
    assert found.find(key(RELU)) == (CaseOutcome("", "v75", "runs", "", 0.00123),)
    assert found.find(key(ERF)) == (CaseOutcome("", "v75", "wrong", "off"),)
    assert found.find(key(RELU, "d" * 64)) is None  # another tool
    text = found.path.read_text(encoding="utf-8")
    assert text.splitlines() == sorted(text.splitlines())


GOOD = (
    f'{{"maker": "{MAKER}", "ops": [], "outcomes": [{{"device": "d", "difference": null, "error": "", '
    f'"found": "runs"}}], "precision": "w8a8", "structure": "{RELU}", "tool": ""}}'
)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("{", id="no-json"),
        pytest.param("[" * 100_000, id="deep"),
        pytest.param("[]", id="no-object"),
        pytest.param(GOOD.replace('"runs"', '"fine"'), id="no-outcome"),
        pytest.param(GOOD.replace(MAKER, "../../etc"), id="no-digest"),
        pytest.param(GOOD.replace("w8a8", "w1a1"), id="no-precision"),
        pytest.param(GOOD.replace('"error": ""', f'"error": "{"x" * 1000}"'), id="long"),
    ],
)
def test_what_is_no_evidence_is_refused_with_its_line(line: str, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text(f"{GOOD}\n{line}\n", encoding="utf-8")
    with pytest.raises(UsageError, match="line 2"):
        Evidence(tmp_path, "t")
