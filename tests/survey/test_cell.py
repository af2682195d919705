"""A trial whose commands only pretend: what their reports say, and what happens when one takes too long."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mosaic_deploy.errors import ToolError
from mosaic_deploy.survey import cell, subject
from mosaic_deploy.survey.cell import ARTIFACT, clock, hold, line
from mosaic_deploy.survey.child import Ran
from mosaic_deploy.survey.figures import Figures
from mosaic_deploy.survey.subject import Subject
from mosaic_deploy.survey.trial import Terms, Trial
from tests.survey.conftest import SMALL

VERDICT = {"verdict": "supported", "nodes": 9, "unknown": 0, "passed": True, "violations": []}
PARITY = {
    "agreement": 0.9, "metric": "agreement", "images": 2, "dataset": "folder", "undecided": "",
    "largest": {"class": "a", "share": 0.6},
}  # fmt: skip
TERMS = Terms(limit_s=100.0)


class Commands:
    """Stands in for the command line: writes the reports that it was given."""

    def __init__(self) -> None:
        self.verdict: dict[str, Any] = dict(VERDICT)
        self.parity: dict[str, Any] | None = dict(PARITY)
        self.culprits: list[dict[str, Any]] = []
        self.slow = ""
        self.failing = ""
        self.said = "said"
        self.load = 2.5
        self.words: list[list[str]] = []
        self.conversion: dict[str, object] = {**PARITY, "agreement": 1.0}

    def run(self, arguments: Sequence[str], *, out: Path, log: Path, cwd: Path, timeout_s: float) -> Ran:
        words = list(arguments)
        self.words.append(words)
        if words[0] == self.failing:
            return Ran(5, self.said, 1.0, 2.0)
        if words[0] == self.slow:
            raise ToolError(f"mosaic-deploy {words[0]} ran longer than {timeout_s:g} s; log: {log}")
        if words[0] == "check":
            verified = [{"culprits": self.culprits}]
            models = [{"verdicts": [self.verdict], "verified": verified}]
            Path(words[words.index("--out") + 1]).write_text(json.dumps({"models": models}))
        elif words[0] == "build":
            folder = Path(words[words.index("--out") + 1]) / "net"
            folder.mkdir(parents=True)
            out.write_text(json.dumps({"builds": [self.build(folder)]}))
        else:
            floats = [{"name": "net", "median_ms": 20.0}]
            timed: dict[str, object] = {"load": self.load, "cores": 2, "floats": floats}
            folders = words[1 : words.index("--runs")]
            timed["artifacts"] = [{"simulator": False, "median_ms": 7.5, "float": "net"} for _ in folders]
            out.write_text(json.dumps(timed))
        return Ran(0, self.said, 1.0, 2.0)

    def build(self, folder: Path) -> dict[str, object]:
        ships = [{"bytes": 1000, "ships": True}, {"bytes": 50, "ships": False}]
        variants = {} if self.parity is None else {"int8": self.parity}
        return {
            "facts": {"precision": "int8"}, "conversion": self.conversion, "parity": self.parity,
            "variants": variants, "artifacts": ships, "fixes": [{"name": "a_pass"}], "folder": str(folder),
            "verdict": "conversion failed",
        }  # fmt: skip


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Commands:
    made = Commands()
    monkeypatch.setattr(cell, "run", made.run)
    monkeypatch.setattr(subject, "survey_folder", lambda: tmp_path / "cache")
    return made


@pytest.fixture
def try_it(subject: Subject, tmp_path: Path) -> Callable[..., Trial]:
    def held(target: str = "cpu", cost: Figures = SMALL, terms: Terms = TERMS) -> Trial:
        return hold(subject, target, terms, cost, key="k", folder=tmp_path / "cell")

    return held


def test_a_trial_reads_what_check_and_build_report(
    commands: Commands, try_it: Callable[..., Trial], tmp_path: Path
) -> None:
    trial = try_it()
    assert (trial.verdict, trial.built, trial.agreement, trial.conversion) == ("supported", True, 0.9, 1.0)
    assert (trial.size_bytes, trial.fixes, trial.data) == (1000, ("a_pass",), "2 of folder")
    assert (trial.parameters, trial.macs, trial.reference_miou) == (1000, 10**6, None)
    assert (tmp_path / "cell" / ARTIFACT).is_dir()
    (timed,) = clock([trial], [tmp_path / "cell"])
    assert (timed.time_ms, timed.float_ms, timed.busy) == (7.5, 20.0, False)
    commands.load = 9.0
    assert clock([trial], [tmp_path / "cell"])[0].busy


@pytest.mark.parametrize("command", ["check", "build"])
def test_the_time_limit_is_a_result(
    command: str, commands: Commands, try_it: Callable[..., Trial], tmp_path: Path
) -> None:
    commands.slow = command
    trial = try_it()
    assert trial.late == command
    assert trial.error == f"time limit of 100 s, in {command}"
    assert trial.verdict == ("error" if command == "check" else "supported")
    assert not (tmp_path / "cell" / ARTIFACT).exists()


def test_no_time_is_left_for_a_build(commands: Commands, try_it: Callable[..., Trial]) -> None:
    trial = try_it(terms=replace(TERMS, limit_s=0.5))
    assert (trial.late, commands.words) == ("check", [])


def test_what_is_too_slow_to_be_timed_keeps_its_other_figures(
    commands: Commands, try_it: Callable[..., Trial], tmp_path: Path
) -> None:
    trial = try_it()
    commands.slow = "bench"
    slow = replace(trial, error="too slow to be timed")
    assert clock([trial], [tmp_path / "cell"]) == [slow]
    commands.words.clear()
    assert clock([trial, trial], [tmp_path / "cell"] * 2) == [slow, slow]
    assert [len(words) - len(commands.words[1]) for words in commands.words] == [1, 0, 0]


def test_what_cannot_be_timed_says_so(
    commands: Commands, try_it: Callable[..., Trial], tmp_path: Path
) -> None:
    trial = try_it()
    commands.failing = "bench"
    assert clock([trial], [tmp_path / "cell"]) == [replace(trial, error="not timed: said")]


def test_a_giant_gets_one_image_and_ten_times_the_time(
    commands: Commands, try_it: Callable[..., Trial]
) -> None:
    trial = try_it(cost=replace(SMALL, macs=3 * 10**11))
    (build,) = [words for words in commands.words if words[0] == "build"]
    assert build[build.index("--images") + 1] == "1"
    assert build[build.index("--data") + 1].endswith("scenes-1-2")
    assert trial.limit_s == 1000


def test_a_large_image_is_one_of_one(commands: Commands, subject: Subject, tmp_path: Path) -> None:
    large = subject.contract.model_copy(update={"height": 1024, "width": 1024})
    trial = hold(replace(subject, contract=large), "cpu", TERMS, SMALL, key="k", folder=tmp_path / "cell")
    (build,) = [words for words in commands.words if words[0] == "build"]
    assert build[build.index("--images") + 1] == "1"
    assert trial.limit_s == 100


def test_a_trained_network_is_measured_on_more_images(
    commands: Commands, subject: Subject, tmp_path: Path
) -> None:
    trained = replace(subject, untrained=False, data="streets")
    hold(trained, "cpu", TERMS, SMALL, key="k", folder=tmp_path / "cell")
    (build,) = [words for words in commands.words if words[0] == "build"]
    assert (build[build.index("--images") + 1], build[build.index("--data") + 1]) == ("16", "streets")
    assert "--calibration" not in build


def test_a_refused_network_is_not_built(commands: Commands, try_it: Callable[..., Trial]) -> None:
    wrong = {
        "level": "unsupported",
        "op": "Erf",
        "found": "no rule",
        "rule": "r",
        "reproducer": "/x/erf.onnx",
    }
    commands.verdict |= {"verdict": "unsupported", "passed": False, "violations": [wrong, wrong]}
    trial = try_it()
    assert (trial.built, trial.refused, trial.reproducers) == (None, ("Erf: no rule (x2)",), ("erf.onnx",))


@pytest.mark.parametrize(("cures", "verdict", "fix"), [
    ((["gelu_approximate"], ["gelu_approximate"]), "supported after lossy fixes", "lossy"),
    ((["gelu_approximate"], []), "unsupported", None),
])  # fmt: skip
def test_what_lossy_fixes_cure_is_built_with_them(
    commands: Commands,
    try_it: Callable[..., Trial],
    cures: tuple[list[str], ...],
    verdict: str,
    fix: str | None,
) -> None:
    wrong = [
        {"level": "unsupported", "op": "Erf", "rule": "r", "cure": {"passes": cure, "exact": False}}
        for cure in cures
    ]
    commands.verdict |= {"verdict": "unsupported", "passed": False, "violations": wrong}
    trial = try_it()
    built = [words for words in commands.words if words[0] == "build"]
    assert (trial.verdict, bool(trial.built)) == (verdict, fix is not None)
    assert [words[words.index("--fix") + 1] for words in built] == ([fix] if fix else [])


def test_what_lossy_fixes_did_is_not_told_as_the_conversions(
    commands: Commands, try_it: Callable[..., Trial]
) -> None:
    commands.conversion |= {"agreement": 0.99, "agreement_with_fixed": 0.9999}
    assert try_it().conversion == 0.9999
    commands.conversion |= {"agreement_with_fixed": None}
    assert try_it().conversion == 0.99


def test_a_failed_build_is_narrowed_down_to_what_the_compiler_refuses(
    commands: Commands, try_it: Callable[..., Trial]
) -> None:
    commands.parity = None
    commands.culprits = [{"file": "/x/y/part.onnx", "ops": ["Erf", "Mul"], "error": "cannot lower"}]
    trial = try_it()
    assert (trial.built, trial.error) == (False, "Erf, Mul: cannot lower")
    assert trial.reproducers == ("part.onnx",)
    assert "--verify" in commands.words[-1]


def test_a_build_that_needs_too_much_memory_is_not_narrowed_down(
    commands: Commands, try_it: Callable[..., Trial]
) -> None:
    commands.parity = None
    commands.said = "openvino quantize: needed more than 16.0 GiB; log: /x/y.log"
    trial = try_it()
    assert (trial.built, trial.error) == (
        False,
        "conversion failed: openvino quantize: needed more than 16.0 GiB",
    )
    assert "--verify" not in commands.words[-1]


def test_one_class_everywhere_is_degenerate(commands: Commands, try_it: Callable[..., Trial]) -> None:
    assert commands.parity is not None
    commands.parity |= {"undecided": "says nothing", "largest": {"class": "a", "share": 1.0}}
    assert try_it().degenerate == "constant"
    assert try_it(cost=replace(SMALL, ties=0.5)).degenerate == "constant"
    commands.parity |= {"undecided": ""}
    assert try_it(cost=replace(SMALL, ties=0.5)).degenerate == "ties"


def test_a_page_says_nothing_of_where_a_log_lies_here() -> None:
    said = "mosaic-deploy: an Edge TPU has no ERF 'gelu':\n  replace it; log: /somewhere/else/compare-x1.log"
    assert line(said) == "an Edge TPU has no ERF 'gelu': replace it"
