"""The table: what fails, what means nothing and what came late are told apart."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mosaic_deploy.survey.table import failures, markdown, matrix, matrix_rows
from mosaic_deploy.survey.trial import Trial, from_json

GOOD = Trial("net", "cpu", "k", "supported", built=True, conversion=1.0, agreement=0.9, time_ms=7.25)
LATE = replace(GOOD, built=None, agreement=None, late="build", error="time limit of 300 s, in build")


def test_what_was_cleared_and_not_built_fails() -> None:
    trial = replace(GOOD, built=False, agreement=None, conversion=None, error="XNNPACK leaves RELU")
    assert failures([trial]) == ["net on cpu: cleared but not built: XNNPACK leaves RELU"]
    assert failures([GOOD]) == []
    assert failures([replace(trial, verdict="unsupported", built=None)]) == []


@pytest.mark.parametrize(
    ("trial", "words"),
    [
        pytest.param(replace(GOOD, conversion=0.93), "conversion keeps 93.00%", id="conversion"),
        pytest.param(
            replace(GOOD, conversion=0.998, untrained=True), "conversion keeps 99.80%", id="of random weights"
        ),
        pytest.param(
            replace(GOOD, target="gpu", precision="float16", emulated=0.95),
            "agreement 90.00%, emulated float16 95.00%",
            id="float16",
        ),
        pytest.param(replace(GOOD, agreement=0.5), "agreement 50.00%, ONNX Runtime's QDQ 80.00%", id="int8"),
        pytest.param(replace(GOOD, agreement=None), "no agreement", id="nothing measured"),
    ],
)
def test_what_was_cleared_and_is_wrong_fails(trial: Trial, words: str) -> None:
    peer = Trial("net", "ort-mobile", "k", "supported", built=True, conversion=1.0, agreement=0.8)
    (line,) = failures([peer, trial])
    assert f"net on {trial.target}: cleared but wrong" in line
    assert words in line
    assert "| wrong |" in markdown([peer, trial])
    assert "wrong" in matrix([peer, trial])


def test_no_verdict_fails_and_is_counted() -> None:
    trial = Trial("net", "gpu", "k", "error", error="the tool crashed")
    assert failures([trial]) == ["net on gpu: no verdict: the tool crashed"]
    assert "| gpu | 1 | 0 | 0 | 0 | 1 | 0 | 0 |" in markdown([trial])
    assert "no verdict" in matrix([trial])


def test_a_trial_that_came_late_says_so() -> None:
    assert failures([LATE]) == ["net on cpu: time limit of 300 s, in build"]
    assert "| time limit |" in markdown([LATE])
    assert matrix([LATE]).splitlines()[1].split("  ")[-1] == "time limit"


@pytest.mark.parametrize("word", ["constant", "ties"])
def test_a_degenerate_reference_gives_a_dash_and_the_word(word: str) -> None:
    trial = replace(GOOD, degenerate=word, conversion=0.2, agreement=1.0)
    assert markdown([trial]).count(f" - ({word}) |") == 2
    assert "100.0%" not in matrix([trial])
    assert failures([trial]) == []


def test_untrained_agreement_is_marked_and_trained_mious_stand_beside_each_other() -> None:
    assert "| 90.0% * |" in markdown([replace(GOOD, untrained=True)])
    trained = markdown([replace(GOOD, reference_miou=0.7, device_miou=0.69)])
    assert "| 90.0% | 0.7000 to 0.6900 |" in trained


def test_a_time_that_others_disturbed_says_so() -> None:
    assert "| 7.2 (busy) |" in markdown([replace(GOOD, busy=True)])
    assert matrix([replace(GOOD, busy=True)]).endswith("90.0%, 7.2 (busy) ms")


def test_a_refusal_names_its_operator_and_the_file_that_shows_it() -> None:
    trial = Trial("net", "gpu", "k", "unsupported", refused=("Erf: no rule (x3)",), reproducers=("erf.onnx",))
    assert "| Erf: no rule (x3) [erf.onnx] |" in markdown([trial])
    assert "refused" in matrix([trial])


def test_what_was_not_tried_says_so() -> None:
    trials = [GOOD, replace(GOOD, target="dsp", network="another")]
    cells = [line.split(" | ") for line in matrix_rows(trials)]
    assert cells[0] == ["| network", "cpu", "dsp |"]
    assert (cells[2][2], cells[3][1]) == ("not tried |", "not tried")


def test_a_record_survives_its_file() -> None:
    assert from_json(LATE.to_json()) == LATE
    with pytest.raises(TypeError):
        from_json({**LATE.to_json(), "gone": 1})
