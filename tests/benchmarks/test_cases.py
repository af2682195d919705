"""The bench of cases: what it expects, and that it says no."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from benchmarks.cases.__main__ import main, markdown
from benchmarks.cases.listing import LIST, Case, read_cases
from benchmarks.cases.trial import Outcome
from mosaic_deploy.errors import UsageError
from tests.build.test_ends import images
from tests.graph.ends.forms import FRONTS, SCORES, write


def case(**changes: object) -> Case:
    stated = {"name": "x", "path": Path("x.onnx"), "kind": "a kind", "options": (), "data": "folder:x"}
    return Case(**{**stated, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("made", "check", "build", "note", "wrong"),
    [
        (case(), "supported", "built", "", ""),
        (case(), "supported", "failed", "", "failed where built is expected"),
        (case(), "supported", "refused", "", "refused where built is expected"),
        (case(expect="refused"), "supported", "refused", "", "check clears it"),
        (case(expect="refused"), "unsupported", "refused", "", ""),
        (case(expect="refused", says="eval"), "error", "refused", "call .eval() first", ""),
        (case(expect="refused", says="eval"), "error", "refused", "no", "its line does not say 'eval'"),
        (case(elsewhere={"cpu": "undecided"}), "supported", "undecided", "", ""),
    ],
)
def test_what_is_not_as_expected(made: Case, check: str, build: str, note: str, wrong: str) -> None:
    outcome = Outcome(made, "cpu", check, build, None, note)
    assert outcome.wrong == wrong
    table = markdown([[outcome]], ["cpu"])
    assert ("**!**" in table) == bool(wrong)
    assert table.endswith(f"{int(not wrong)} of 1 as expected")


def test_the_list_is_sound() -> None:
    stated = tomllib.loads(LIST.read_text(encoding="utf-8"))["case"]
    assert len(stated) >= 45
    for name, said in stated.items():
        assert said.keys() <= {"kind", "options", "add", "data", "expect", "says", "on"}, name
        assert len(said.get("options", ())) % 2 == 0, name
        assert {said.get("expect", "built"), *said.get("on", {}).values()} <= {
            "built", "refused", "undecided", "failed",
        }  # fmt: skip


def a_folder(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    write(tmp_path / "models", FRONTS["plain"], SCORES["plain"]).rename(tmp_path / "models" / "12-float.onnx")
    images(tmp_path / "images" / "c4", ("a", "b", "c", "d"))
    return tmp_path


def test_a_case_that_is_not_there(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    (found,) = read_cases(folder, tmp_path / "scratch", ())
    assert (found.kind, found.expect) == ("plain", "built")
    with pytest.raises(UsageError, match="no case 'y'"):
        read_cases(folder, tmp_path / "scratch", ("y",))
    with pytest.raises(UsageError, match=r"holds no models"):
        read_cases(tmp_path / "images", tmp_path / "scratch", ())


@pytest.mark.slow
def test_one_is_built_and_one_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = a_folder(tmp_path)
    assert main([str(folder), "--target", "ort-mobile"]) == 0
    assert "| built " in capsys.readouterr().out
    (folder / "models" / "12-float.onnx").rename(folder / "models" / "12-qdq.onnx")
    assert main([str(folder), "--target", "ort-mobile"]) == 1, "a plain network is no quantised one"
    assert "**!** built" in capsys.readouterr().out
