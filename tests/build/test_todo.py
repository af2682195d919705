"""A second build into the same place: nothing to do, replaced, or refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from mosaic_deploy.build.pipeline import deploy
from mosaic_deploy.build.plan import Request
from mosaic_deploy.build.report import BuildReport, exit_code, explain, to_json
from mosaic_deploy.errors import UsageError
from mosaic_deploy.files import sha256_of
from tests.conftest import Tiny


def request(tiny: Tiny, out: Path) -> Request:
    return Request(model=str(tiny.card), targets=(str(tiny.target),), out=out)


def build(asked: Request) -> tuple[BuildReport, list[str]]:
    """The report, and the stages that had something to do."""
    stages: list[str] = []
    (report,) = deploy(asked, progress=lambda stage, _share, _note: stages.append(stage))
    assert isinstance(report, BuildReport)
    return report, stages


def digests(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): sha256_of(p) for p in folder.rglob("*") if p.is_file()}


def test_a_second_build_from_the_same_does_nothing_and_says_the_same(tiny: Tiny, tmp_path: Path) -> None:
    asked = request(tiny, tmp_path / "out")
    first, did = build(asked)
    before = digests(Path(first.folder))
    again, idle = build(asked)
    assert (bool(did), idle) == (True, [])
    assert again.unchanged
    assert not first.unchanged
    assert digests(Path(first.folder)) == before
    # repr, as NaN is equal to nothing
    assert repr(replace(again, unchanged=False)) == repr(first)
    assert exit_code([again]) == exit_code([first]) == 0
    assert json.loads(json.dumps(to_json([again]), allow_nan=False))["builds"][0]["unchanged"] is True
    assert any("unchanged" in line and "--force" in line for line in explain([again]))
    forced, did = build(replace(asked, force=True))
    assert did
    assert not forced.unchanged


def test_a_verdict_that_says_no_is_given_again(tiny: Tiny, tmp_path: Path) -> None:
    asked = replace(request(tiny, tmp_path / "out"), targets=(str(tiny.target_with("wrong")),))
    first, _ = build(asked)
    again, idle = build(asked)
    assert idle == []
    assert again.unchanged
    assert exit_code([again]) == exit_code([first]) == 1


def other_weights(tiny: Tiny) -> None:
    model = onnx.load(tiny.onnx)
    held = onnx.numpy_helper.to_array(model.graph.initializer[0]) * np.float32(1.5)
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(held, "w"))
    onnx.save(model, tiny.onnx)


def other_card(tiny: Tiny) -> None:
    tiny.card.write_text(tiny.card.read_text().replace("Apache-2.0", "MIT"))


def other_label(tiny: Tiny) -> None:
    path = tiny.data / "val" / "labels" / "0.png"
    ids = np.asarray(Image.open(path)).copy()
    ids[0, 0] = 255
    Image.fromarray(ids).save(path)


def one_image_less(tiny: Tiny) -> None:
    for kind in ("images", "labels"):
        (tiny.data / "calib" / kind / "1.png").unlink()


def other_classes(tiny: Tiny) -> None:
    (tiny.data / "classes.txt").write_text("sky 9 9 9\nroad\ncar\n")


def other_target(tiny: Tiny) -> None:
    tiny.target.write_text(tiny.target.read_text().replace('summary = "no compiler"', 'summary = "none"'))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (other_weights, "model"),
        (other_card, "model"),
        (other_label, "data"),
        (one_image_less, "data"),
        (other_classes, "data"),
        (other_target, "target"),
    ],
    ids=lambda value: value.__name__ if callable(value) else value,
)
def test_it_is_replaced_when_something_changed(
    tiny: Tiny, tmp_path: Path, change: Callable[[Tiny], None], named: str
) -> None:
    asked = request(tiny, tmp_path / "out")
    build(asked)
    change(tiny)
    report, did = build(asked)
    assert did
    assert not report.unchanged
    assert report.replaced == (named,)
    assert any(f"replaced, as this is new: {named}" in line for line in explain([report]))
    assert build(asked)[1] == []


def test_an_option_and_external_weights_count(tiny: Tiny, tmp_path: Path) -> None:
    model = onnx.load(tiny.onnx)
    onnx.save(model, tiny.onnx, save_as_external_data=True, location="w.bin", size_threshold=0)
    asked = request(tiny, tmp_path / "out")
    build(asked)
    assert build(replace(asked, tolerance=0.5))[0].replaced == ("options",)
    held = np.fromfile(tiny.root / "w.bin", np.float32) * np.float32(2)
    held.tofile(tiny.root / "w.bin")
    assert build(replace(asked, tolerance=0.5))[0].replaced == ("model",)


def test_a_damaged_artifact_and_an_old_one_are_made_again(tiny: Tiny, tmp_path: Path) -> None:
    asked = request(tiny, tmp_path / "out")
    folder = Path(build(asked)[0].folder)
    shutil.rmtree(folder / "logs")
    assert build(asked)[1] == [], "logs are for people"
    (folder / "echo.onnx").write_bytes(b"half")
    assert build(asked)[1] != []
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["made_from"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    report, did = build(asked)
    assert did
    assert "code" in report.replaced


@pytest.mark.parametrize("force", [False, True], ids=["plain", "force"])
@pytest.mark.parametrize("kind", ["folder", "file", "link", "broken-manifest", "foreign-manifest"])
def test_what_is_not_ours_is_never_touched(tiny: Tiny, tmp_path: Path, kind: str, *, force: bool) -> None:
    asked = replace(request(tiny, tmp_path / "out"), force=force)
    place = tmp_path / "out" / "tiny-echo-w8a8"
    place.parent.mkdir()
    if kind == "file":
        place.write_text("mine")
    elif kind == "link":
        (tmp_path / "elsewhere").mkdir()
        place.symlink_to(tmp_path / "elsewhere")
    else:
        place.mkdir()
        (place / "mine.txt").write_text("mine")
        if kind != "folder":
            (place / "manifest.json").write_text("{" if kind == "broken-manifest" else '{"schema": 1}')
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(UsageError, match="left alone: move it away"):
        deploy(asked)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    assert place.is_symlink() == (kind == "link")


def test_files_that_a_person_put_into_an_artifact_are_not_lost(tiny: Tiny, tmp_path: Path) -> None:
    asked = request(tiny, tmp_path / "out")
    folder = Path(build(asked)[0].folder)
    (folder / "notes.txt").write_text("mine")
    other_card(tiny)
    with pytest.raises(UsageError, match=r"holds notes\.txt, which no build wrote"):
        deploy(asked)
    assert (folder / "notes.txt").read_text() == "mine"
    assert build(replace(asked, force=True))[1] != []
    assert not (folder / "notes.txt").exists()


def test_what_a_killed_build_left_beside_it_goes_even_where_nothing_is_done(
    tiny: Tiny, tmp_path: Path
) -> None:
    asked = request(tiny, tmp_path / "out")
    build(asked)
    out = tmp_path / "out"
    for name in (".mosaic-abcd1234/logs", ".other-cpu-w8a8.part/logs", ".other-cpu-w8a8.part/scratch"):
        (out / name).mkdir(parents=True)
    (out / ".mosaic-notes").mkdir()
    build(asked)
    assert sorted(p.name for p in out.iterdir()) == [".mosaic-notes", "tiny-echo-w8a8"]
