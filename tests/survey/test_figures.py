"""Maps that say nothing are seen for what they are."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from mosaic_deploy.specs.model_card import ModelCard
from mosaic_deploy.specs.registry import load_spec
from mosaic_deploy.survey.cards import card_subjects
from mosaic_deploy.survey.figures import Figures, spread


def scores(seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(seed).normal(size=(1, 5, 20, 20)).astype(np.float32)


def test_random_scores_compete() -> None:
    assert Figures(1, 1, *spread(scores())).degenerate == ""


def test_one_class_everywhere_is_constant() -> None:
    flat = scores()
    flat[:, 3] += 100
    assert Figures(1, 1, *spread(flat)).degenerate == "constant"
    assert Figures(1, 1, *spread(np.zeros((1, 20, 20), np.int32))).degenerate == "constant"


def test_two_classes_that_score_alike_are_ties() -> None:
    twins = scores()
    twins[:, 3] = twins[:, 2] = twins.max(axis=1)
    assert spread(twins)[1] == 1
    assert Figures(1, 1, *spread(twins)).degenerate == "ties"


@pytest.mark.parametrize("module", ["cards", "field.subjects", "survey", "pages", "session"])
def test_surveys_are_imported_without_torch(module: str) -> None:
    code = f"import sys, mosaic_deploy.survey.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_a_trained_card_is_measured_on_its_own_data_and_keyed_by_its_weights() -> None:
    (subject,) = card_subjects(["mosaic"])
    card = load_spec(ModelCard, "mosaic")
    assert (subject.name, subject.card, subject.data) == ("mosaic", "mosaic", "streets")
    assert subject.labelled
    assert subject.contract == card.contract
    assert {subject.name for subject in card_subjects()} >= {"mosaic"}


def test_a_lone_score_is_read_by_its_threshold() -> None:
    mask = np.linspace(0, 0.9, 100, dtype=np.float32).reshape(1, 1, 10, 10)
    assert spread(mask, 0.5)[0] == pytest.approx(0.56)
    assert Figures(1, 1, *spread(mask / 2, 0.5)).degenerate == "constant"
