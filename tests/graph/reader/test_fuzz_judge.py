"""The fuzzer's judge notices everything that a reader of models must not do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.graph.reader import fuzz_judge
from tests.graph.reader.fuzz_judge import Judge
from tests.graph.reader.fuzz_models import Mutant, write
from tests.graph.reader.fuzz_seeds import seeds


def laid(root: Path) -> Path:
    return write(Mutant(0, "", "", seeds()[0].model, {}), root)


@pytest.mark.parametrize(
    ("reader", "said"),
    [
        pytest.param("stumbles", "ValueError at bad_readers.py", id="another-exception"),
        pytest.param("talks", "an error of", id="long-error"),
        pytest.param("breaks_the_line", "an error of", id="two-lines"),
        pytest.param("blames_the_machine", "ToolError", id="tool-error"),
        pytest.param("crashes", "dies with status -11", id="crash"),
        pytest.param("peeps", "opens", id="file-elsewhere"),
    ],
)
def test_the_judge_sees_it(reader: str, said: str, tmp_path: Path) -> None:
    _sees(reader, said, tmp_path)


def test_the_judge_sees_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz_judge, "SECONDS", 0.2)
    _sees("dawdles", " s", tmp_path)


def test_the_judge_sees_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz_judge, "BYTES", 200 << 20)
    _sees("hoards", " MiB", tmp_path)


def _sees(reader: str, said: str, root: Path) -> None:
    path = laid(root)
    judge = Judge(root, reader=f"tests.graph.reader.bad_readers:{reader}")
    try:
        found = judge.judge(path)
    finally:
        judge.close()
    assert found.outcome == "violation"
    assert said in found.text


def test_the_judge_sees_a_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = laid(tmp_path)
    judge = Judge(tmp_path, reader="tests.graph.reader.bad_readers:dawdles")
    try:
        judge.judge(path)  # the process is up: only the model counts from here
        monkeypatch.setattr(fuzz_judge, "PATIENCE_S", 0.1)
        assert judge.judge(path).text == "hangs for 0.1 s"
    finally:
        judge.close()
