"""A class that no label holds: mIoU does not see it go, so the verdict must not be 'passed'."""

from __future__ import annotations

import numpy as np
import pytest

from mosaic_deploy.accuracy.parity import ParityReport, measure
from mosaic_deploy.specs.labels import LabelSpace, Pixels

NAMES = ("background", "road", "person", "other")
LABELS = LabelSpace(NAMES, tuple((i, i, i) for i in range(4)), unscored=(3,))
PERSON = 2


def scene() -> Pixels:
    """(20, 20) ids: background, road, and person on 40 of 400 pixels."""
    ids = np.zeros((20, 20), np.uint8)
    ids[10:] = 1
    ids[:8, :5] = PERSON
    return ids


def compare(truth: Pixels, candidate: Pixels, reference: Pixels | None = None) -> ParityReport:
    seen = scene() if reference is None else reference
    return measure([(truth, seen, candidate)] * 2, labels=LABELS, dataset="toy", tolerance=0.01)


def without_person(ids: Pixels, instead: int = 0) -> Pixels:
    return np.where(ids == PERSON, np.uint8(instead), ids)


@pytest.mark.parametrize("instead", [255, 0, 3], ids=["ignored", "another-class", "unscored"])
def test_a_class_that_no_label_holds_and_that_is_lost_is_undecided(instead: int) -> None:
    found = compare(without_person(scene(), instead), without_person(scene()))
    if instead == 0:  # the network's person is wrong where the label says background: the candidate gained
        assert found.drop <= 0
    assert (found.passed, "class person" in found.undecided) == (False, True)
    assert "10.00%" in found.undecided
    assert "255" in found.undecided


def test_one_that_is_kept_passes_with_a_note() -> None:
    found = compare(without_person(scene(), 255), scene())
    assert found.passed
    assert "person (10.00%)" in found.note


def test_right_labels_fail_the_loss_and_need_no_note() -> None:
    found = compare(scene(), without_person(scene()))
    assert (found.passed, found.undecided) == (False, "")
    assert found.drop > 0.3
    assert compare(scene(), scene()).note == ""


def test_a_drop_that_fails_is_no_longer_undecided() -> None:
    found = compare(without_person(scene(), 255), np.zeros((20, 20), np.uint8))
    assert (found.passed, found.undecided) == (False, "")


def test_a_speck_that_no_label_holds_decides_nothing() -> None:
    speck = without_person(scene())
    speck[0, 0] = PERSON
    found = compare(without_person(scene()), without_person(scene()), speck)
    assert (found.passed, found.note) == (True, "")


def test_without_labels_the_other_rule_holds() -> None:
    found = measure([(None, scene(), without_person(scene()))], labels=LABELS, dataset="toy", tolerance=0.2)
    assert (found.passed, found.undecided) == (False, "")
    assert "Lost: person" in found.note
