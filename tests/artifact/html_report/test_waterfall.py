"""The steps of the waterfall start where the one before ends, and what has no figure says why."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np

from mosaic_deploy.accuracy.parity import ParityReport, measure
from mosaic_deploy.artifact.html_report.record import BuildRecord, Record, StageRecord
from mosaic_deploy.artifact.html_report.waterfall import Waterfall, waterfall
from mosaic_deploy.artifact.manifest import Manifest
from mosaic_deploy.specs.labels import LabelSpace

LABELS = LabelSpace(("sky", "road"), ((0, 0, 0), (1, 1, 1)))


def parity(wrong: int, *, labelled: bool = True) -> ParityReport:
    """100 pixels, half of each class, the first ``wrong`` of them mistaken by the candidate."""
    truth = np.repeat(np.array([0, 1], np.uint8), 50).reshape(10, 10)
    candidate = truth.copy()
    candidate.ravel()[:wrong] = 1
    label = truth if labelled else None
    return measure([(label, truth, candidate)], labels=LABELS, dataset="toy", tolerance=0.05)


def drawn(*stages: StageRecord) -> Waterfall | None:
    build = BuildRecord(output="logits", stages=stages)
    return waterfall(Record(Path(), cast("Manifest", None), build, ()))


def test_each_variant_starts_where_what_they_share_ends() -> None:
    view = drawn(
        StageRecord(name="export", why="on one scene"),
        StageRecord(name="quantised", parity=parity(4)),
        StageRecord(name="target", parity=parity(10), variant="v68"),
        StageRecord(name="target", parity=parity(2), variant="v75"),
    )
    assert view is not None
    shared, old, new = view.steps
    assert [step.name for step in view.steps[1:]] == ["Target's runtime, v68", "Target's runtime, v75"]
    assert (shared.gain, old.gain, new.gain) == (False, False, True)
    assert shared.bar.x + shared.bar.width == view.zero
    assert abs(old.bar.x + old.bar.width - shared.bar.x) < 0.02
    assert abs(new.bar.x - shared.bar.x) < 0.02
    assert old.worst_class.startswith("sky, −")
    assert old.worst_image.startswith("no.\u00a01, −")
    named = drawn(StageRecord(name="target", parity=parity(10).named(["drive_07"]), variant="v68"))
    assert named is not None
    assert named.steps[0].worst_image.startswith("drive_07, −")
    assert view.missing == (("PyTorch to ONNX", "on one scene"),)


def test_without_labels_every_step_starts_at_nothing() -> None:
    view = drawn(
        StageRecord(name="conversion", parity=parity(4, labelled=False)),
        StageRecord(name="target", parity=parity(2, labelled=False), variant="main"),
    )
    assert view is not None
    assert (view.metric, view.start) == ("agreement", "")
    for step in view.steps:
        assert step.score == ""
        assert abs(step.bar.x + step.bar.width - view.zero) < 0.02


def test_nothing_is_drawn_where_nothing_was_compared() -> None:
    assert drawn() is None
    assert drawn(StageRecord(name="export", why="on one scene")) is None


def test_the_export_ends_where_the_others_start_and_has_images_of_its_own() -> None:
    view = drawn(
        StageRecord(name="export", parity=parity(2)),
        StageRecord(name="target", parity=parity(10), variant="v75"),
    )
    assert view is not None
    export, target = view.steps
    assert export.name == "PyTorch to ONNX, on 1\u00a0image"
    assert (export.score, export.gain, export.change.startswith("−")) == ("", False, True)
    assert abs(export.bar.x - view.zero) < 0.02
    assert abs(target.bar.x + target.bar.width - view.zero) < 0.02
    assert view.missing == ()
    plain = drawn(StageRecord(name="export", parity=parity(2, labelled=False)))
    assert plain is not None
    assert plain.steps[0].change == "−2.00"
