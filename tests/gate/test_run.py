"""From a request to the report: configs, several models, bases, and files that cannot be used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mosaic_deploy.errors import MosaicError, SpecError, UsageError
from mosaic_deploy.gate.report import GateReport
from mosaic_deploy.gate.repository import find_repository
from mosaic_deploy.gate.run import GateRequest, run_gate, share
from tests.gate.gate_models import ERF, GOOD, write

CONFIG = 'schema = 1\nmodels = ["nets/*.onnx"]\ntargets = ["dsp"]\n'
WAIVER = '[[waiver]]\nop = "Erf"\nnode = "*"\nreason = "soon"\nexpires = {until}\n'


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository with a good and a bad model, and a config."""
    (tmp_path / ".git").mkdir()
    write(tmp_path / "nets" / "good.onnx", GOOD)
    write(tmp_path / "nets" / "bad.onnx", ERF)
    (tmp_path / "mosaic-deploy.toml").write_text(CONFIG, encoding="utf-8")
    return tmp_path


def gate(repo: Path, **more: object) -> GateReport:
    request = replace(GateRequest(folder=repo), **more)  # type: ignore[arg-type]  # as the dataclass has them
    return run_gate(request, repository=find_repository(repo))


def test_the_config_names_models_and_targets(repo: Path) -> None:
    report = gate(repo)
    assert [(j.model, v.target, v.passed) for j, v in report.verdicts()] == [
        ("nets/bad.onnx", "dsp", False),
        ("nets/good.onnx", "dsp", True),
    ]
    assert (report.exit_code, report.config) == (1, "mosaic-deploy.toml")


def test_the_command_line_goes_first(repo: Path) -> None:
    report = gate(repo, models=(repo / "nets" / "good.onnx",), targets=("gpu",))
    assert [(j.model, v.target, v.kind) for j, v in report.verdicts()] == [
        ("nets/good.onnx", "gpu", "supported")
    ]


def test_a_target_without_a_table_is_exit_2(repo: Path) -> None:
    target = repo / "plain.toml"
    target.write_text(
        'schema = 1\nname = "plain"\nsummary = "s"\nbackend = "echo"\nrecipes = ["w8a8"]\n', encoding="utf-8"
    )
    good = (repo / "nets" / "good.onnx",)
    assert gate(repo, models=good, targets=(str(target),)).exit_code == 2
    assert gate(repo, models=good, targets=("dsp", str(target))).exit_code == 2
    assert gate(repo, targets=("dsp", str(target))).exit_code == 1  # a no is a no


def test_a_model_that_cannot_be_used_does_not_silence_the_others(repo: Path) -> None:
    (repo / "nets" / "broken.onnx").write_bytes(b"")
    report = gate(repo, models=(repo / "nets" / "broken.onnx", repo / "nets" / "good.onnx"))
    assert report.exit_code == 2
    assert "empty" in report.models[0].error
    assert report.models[1].verdicts[0].passed


def test_a_waiver_lets_pass_and_shows(repo: Path) -> None:
    (repo / "mosaic-deploy.toml").write_text(CONFIG + WAIVER.format(until="2999-01-01"), encoding="utf-8")
    report = gate(repo)
    assert (report.exit_code, report.idle, report.expired) == (0, (), ())
    (item,) = report.models[0].verdicts[0].items
    assert item.waiver is not None
    assert report.models[0].verdicts[0].kind == "unsupported"


def test_an_expired_waiver_fails_even_if_it_covers_nothing(repo: Path) -> None:
    (repo / "mosaic-deploy.toml").write_text(CONFIG + WAIVER.format(until="2020-01-01"), encoding="utf-8")
    report = gate(repo, models=(repo / "nets" / "good.onnx",))
    assert (report.exit_code, len(report.expired)) == (1, 1)


def test_a_waiver_that_covers_nothing_is_told(repo: Path) -> None:
    (repo / "mosaic-deploy.toml").write_text(CONFIG + WAIVER.format(until="2999-01-01"), encoding="utf-8")
    report = gate(repo, models=(repo / "nets" / "good.onnx",))
    assert (report.exit_code, len(report.idle)) == (0, 1)


def test_a_base_file_excuses_what_it_has(repo: Path) -> None:
    old = write(repo / "old.onnx", ERF)
    new = (repo / "nets" / "bad.onnx",)
    assert gate(repo, models=new, base=old).exit_code == 0
    write(new[0], "a = Erf (image) b = Relu (a) y = Erf (b)")
    report = gate(repo, models=new, base=old)
    assert report.exit_code == 1
    assert sorted(item.known for item in report.models[0].verdicts[0].items) == [False, True]


def test_a_base_folder_has_the_same_paths(repo: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    base = tmp_path_factory.mktemp("base")
    write(base / "nets" / "bad.onnx", ERF)
    assert gate(repo, base=base).exit_code == 0
    (base / "nets" / "bad.onnx").unlink()
    assert gate(repo, base=base).exit_code == 1


@pytest.mark.parametrize(
    ("more", "says"),
    [
        pytest.param({"base": Path("none.onnx")}, "no such file", id="no-base"),
        pytest.param({"base": Path(__file__)}, "one file for 2 models", id="one-base-for-two"),
        pytest.param({"targets": ("dps",)}, "did you mean 'dsp'", id="target"),
        pytest.param({"recipe": "w8a9"}, "no recipe", id="recipe"),
        pytest.param({"config": Path("none.toml")}, "cannot be read", id="config"),
    ],
)
def test_requests_that_make_no_sense(more: dict[str, object], says: str, repo: Path) -> None:
    with pytest.raises((UsageError, SpecError), match=says):
        gate(repo, **more)


def test_a_base_that_cannot_be_used_is_no_excuse(repo: Path) -> None:
    (repo / "old.onnx").write_bytes(b"")
    with pytest.raises(UsageError, match="--diff"):
        gate(repo, models=(repo / "nets" / "bad.onnx",), base=repo / "old.onnx")


@pytest.mark.parametrize(
    ("drop", "says"),
    [
        pytest.param("models", "name an ONNX file", id="models"),
        pytest.param("targets", "name a target", id="targets"),
    ],
)
def test_what_neither_says_is_asked_for(drop: str, says: str, repo: Path) -> None:
    kept = [line for line in CONFIG.splitlines() if not line.startswith(drop)]
    (repo / "mosaic-deploy.toml").write_text("\n".join(kept), encoding="utf-8")
    with pytest.raises(MosaicError, match=says):
        gate(repo)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param(None, None, id="none"),
        pytest.param("5%", 0.05, id="percent"),
        pytest.param("0.05", 0.05, id="share"),
        pytest.param("0", 0.0, id="zero"),
        pytest.param("100%", 1.0, id="all"),
    ],
)
def test_shares(text: str | None, value: float | None) -> None:
    assert share(text, "--x") == value


@pytest.mark.parametrize("text", ["5", "-1%", "101%", "nan", "five", "%"])
def test_what_is_no_share(text: str) -> None:
    with pytest.raises(UsageError, match="--x"):
        share(text, "--x")
