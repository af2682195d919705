"""What 8 bits of each tensor do, measured on the reference network as the DSP's compiler gets it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mosaic_deploy.build.plan import Request
from mosaic_deploy.build.sensitivity import Lift, Sensitivity, TensorLoss, sensitivity
from mosaic_deploy.build.sensitivity_files import require_possible, write
from mosaic_deploy.errors import UsageError

ASKED = Request(model="mosaic", targets=("dsp",), out=Path("build"), images=1, recipe="w8a8")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"targets": ("edgetpu",)}, "all its activations are of one precision"),
        ({"targets": ("dsp", "cpu")}, "for one target, not for 2"),
        ({"recipe": "w8a16"}, "for recipes of 8 bits"),
    ],
)
def test_what_cannot_be_measured_is_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        sensitivity(replace(ASKED, **changes))  # type: ignore[arg-type]


def test_the_overlay_is_by_the_names_of_tensors() -> None:
    losses = (TensorLoss("a", "Conv", 0.01, 0.002), TensorLoss("b", "Add", 0.0, 0.0))
    lift = Lift(("a",), 0.5, 1, 0.999)
    found = Sensitivity("m", "dsp", "w8a8", "d", 1, losses, (), "16 bits", 0.99, (lift,))
    overlay = found.overlay()
    assert overlay["results"] == {"a": {"value": 0.2}, "b": {"value": 0.0}}
    assert [stop["stop"] for stop in overlay["gradient"]] == [0, 1]  # type: ignore[attr-defined]


def test_the_folder_has_every_tensor_the_worst_drawn_and_the_overlay(tmp_path: Path) -> None:
    losses = tuple(TensorLoss(f"t{i}", "Conv", 0.01, 0.002 / (i + 1), 0.001 - 0.0005 * i) for i in range(40))
    lift = Lift(("t0",), 0.5, 1, 0.999, 0.7)
    found = Sensitivity("m", "dsp", "w8a8", "d", 1, losses, (), "16 bits", 0.99, (lift,), (), 0.72, 0.71)
    write(found, tmp_path / "lost", force=False)
    rows = (tmp_path / "lost" / "sensitivity.csv").read_text().splitlines()
    assert rows[1] == "t0,activation,Conv,0.01,0.002,0.001"
    assert len(rows) == 41
    drawn = (tmp_path / "lost" / "sensitivity.svg").read_text()
    assert "t29  (Conv)" in drawn and "t30  (Conv)" not in drawn  # noqa: PT018  # one picture
    assert "fall of mIoU" in drawn
    with pytest.raises(UsageError, match="exists already"):
        require_possible(tmp_path / "lost", force=False)
    unlabelled = replace(found, activations=tuple(replace(loss, drop=None) for loss in losses), miou=None)
    write(unlabelled, tmp_path / "lost", force=True)
    assert "fall of mIoU" not in (tmp_path / "lost" / "sensitivity.svg").read_text()


@pytest.mark.slow
def test_the_worst_tensors_of_the_reference_network_are_found_and_lifting_them_helps() -> None:
    found = sensitivity(ASKED)
    losses = [loss.lost for loss in found.activations]
    assert losses == sorted(losses, reverse=True)
    assert len(losses) > 50
    assert losses[0] > 5 * losses[len(losses) // 2]
    assert not found.weights
    assert 0.98 < found.agreement < 1
    assert [lift.lifted for lift in found.lifts] == sorted(lift.lifted for lift in found.lifts)
    assert found.lifts[0].lifted <= 0.1
    assert found.agreement < found.lifts[-1].agreement <= 1
    assert found.float_miou is not None and found.miou is not None  # noqa: PT018  # both or none
    assert 0.3 < found.float_miou < 1
    assert abs(found.float_miou - found.miou) < 0.05
    assert all(loss.drop is not None and abs(loss.drop) < 0.1 for loss in found.activations)
