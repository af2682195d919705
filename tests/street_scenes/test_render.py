"""The rendered streets: repeatable, balanced, exactly labelled, and embedded as the manifest says."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mosaic_deploy.errors import DataError, UsageError
from mosaic_deploy.street_scenes import (
    bodywork,
    camera,
    fence,
    furniture,
    lens,
    light,
    noise,
    people,
    render,
    street,
    tree,
    vehicle,
)
from mosaic_deploy.street_scenes.canvas import SUPER, Canvas
from mosaic_deploy.street_scenes.stage import Stage

EMBEDDED = Path(__file__).parents[2] / "calib_data" / "streets"
SIZE = (180, 240)
BACKDROP = (255, 0, 255)
BUDGET_BYTES = 6_000_000
PARTS = (("images", "webp"), ("labels", "png"))
# CamVid's order of ids; the least share of all pixels that training needs, over a few scenes.
LEAST_SHARE = (0.1, 0.1, 0.01, 0.2, 0.02, 0.04, 0.006, 0.01, 0.03, 0.006, 0.004)


@pytest.fixture(scope="module")
def scenes() -> list[tuple[render.Pixels, render.Pixels]]:
    return [render.render(index, seed=7, height=240, width=320) for index in range(16)]


def _stage(seed: int = 3) -> Stage:
    """A bare stage: one flat backdrop of an unused class, lit from the front, no haze."""
    rng = np.random.default_rng(seed)
    tall, wide = SIZE[0] * SUPER, SIZE[1] * SUPER
    image = Image.new("RGBA", (wide, tall), (*BACKDROP, 200))
    return Stage(
        camera=camera.Camera(wide * 1.0, (wide / 2, tall / 2), 1.4, np.eye(3)),
        canvas=Canvas(image),
        light=light.Light(
            sun=np.array([0.0, 0.6, -0.8]),
            sun_rgb=np.full(3, 0.5),
            sky_rgb=np.full(3, 0.5),
            haze_rgb=np.full(3, 200.0),
            haze_m=1e9,
            cloud=0.0,
            dusk=False,
        ),
        noise=noise.sample(rng),
        rng=rng,
        shade=np.zeros(SIZE, np.float32),
    )


def _touched(stage: Stage) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
    """Where colours differ from the backdrop, and the label of every canvas pixel."""
    pixels = stage.canvas.pixels()
    return (pixels[..., :3] != BACKDROP).any(axis=-1), pixels[..., 3]


def test_same_numbers_give_the_same_bytes() -> None:
    first, second = (render.render(5, seed=2, height=120, width=160) for _ in range(2))
    assert first[0].tobytes() == second[0].tobytes()
    assert first[1].tobytes() == second[1].tobytes()


@pytest.mark.parametrize(("index", "seed"), [pytest.param(6, 2, id="index"), pytest.param(5, 3, id="seed")])
def test_other_numbers_give_another_scene(index: int, seed: int) -> None:
    image, label = render.render(5, seed=2, height=120, width=160)
    other_image, other_label = render.render(index, seed=seed, height=120, width=160)
    assert (image != other_image).any()
    assert (label != other_label).mean() > 0.05


def test_rendering_leaves_global_dice_alone() -> None:
    before = repr(np.random.get_state())  # noqa: NPY002 - the global state is what is being watched
    render.render(0, seed=2, height=96, width=128)
    assert repr(np.random.get_state()) == before  # noqa: NPY002


@pytest.mark.parametrize(
    ("height", "width"),
    [
        pytest.param(32, 32, id="smallest"),
        pytest.param(97, 131, id="odd"),
        pytest.param(256, 512, id="wide"),
        pytest.param(384, 192, id="tall"),
    ],
)
def test_other_sizes(height: int, width: int) -> None:
    image, label = render.render(1, seed=4, height=height, width=width)
    assert image.shape == (height, width, 3)
    assert label.shape == (height, width)
    assert image.dtype == label.dtype == np.uint8
    assert label.max() <= 11


def test_a_picture_too_small_is_refused() -> None:
    with pytest.raises(DataError, match="31x480"):
        render.render(0, height=31)


def test_default_size() -> None:
    image, label = render.render(0, seed=7)
    assert image.shape == (360, 480, 3)
    assert label.shape == (360, 480)


def test_ids_are_camvids(scenes: list[tuple[render.Pixels, render.Pixels]]) -> None:
    assert set(np.unique(np.stack([label for _, label in scenes]))) == set(range(12))


def test_every_class_is_well_represented(scenes: list[tuple[render.Pixels, render.Pixels]]) -> None:
    counts = np.bincount(np.stack([label for _, label in scenes]).ravel(), minlength=12)
    shares = counts / counts.sum()
    assert (shares[:11] >= LEAST_SHARE).all(), shares.round(4)
    assert shares[11] < 0.05


def test_pictures_are_exposed(scenes: list[tuple[render.Pixels, render.Pixels]]) -> None:
    for image, label in scenes:
        assert 15 < image.mean() < 230
        assert image[label == 0].mean() > image[label == 3].mean(), "the sky is brighter than the road"


def _post(stage: Stage) -> None:
    post = furniture.sample(stage.rng, x_m=0.5, z_m=9.0, top="lamp")
    furniture.draw(stage, post)


def _car(stage: Stage) -> None:
    bodywork.draw(stage, vehicle.sample(stage.rng, x_m=1.0, z_m=11.0, heading=0.4))


def _walker(stage: Stage) -> None:
    people.draw(stage, people.sample(stage.rng, x_m=0.0, z_m=7.0, heading=0.3, riding=False))


def _rider(stage: Stage) -> None:
    people.draw(stage, people.sample(stage.rng, x_m=0.0, z_m=7.0, heading=1.2, riding=True))


def _leafy(stage: Stage) -> None:
    tree.draw(stage, tree.sample(stage.rng, x_m=0.0, z_m=20.0, winter=0.0))


def _bare(stage: Stage) -> None:
    tree.draw(stage, tree.sample(stage.rng, x_m=0.0, z_m=20.0, winter=1.0))


def _railing(stage: Stage) -> None:
    road = street.Street("park", (-3.0, 5.0), (2.0, 2.0), 0.0, 0.0, ("paved", "paved"), ())
    fence.draw(stage, road, fence.guard(stage.rng, across_m=-2.0), (6.0, 9.0))


@pytest.mark.parametrize(
    ("paint", "labels"),
    [
        pytest.param(_post, {2}, id="pole"),
        pytest.param(_car, {8}, id="car"),
        pytest.param(_walker, {9}, id="pedestrian"),
        pytest.param(_rider, {10}, id="bicyclist"),
        pytest.param(_leafy, {5}, id="tree in leaf"),
        pytest.param(_bare, {5}, id="bare tree"),
        pytest.param(_railing, {7}, id="fence"),
    ],
)
def test_what_is_drawn_is_what_is_labelled(paint: Any, labels: set[int]) -> None:
    stage = _stage()
    paint(stage)
    touched, label = _touched(stage)
    assert touched.sum() > 100
    assert set(np.unique(label)) == labels | {200}
    np.testing.assert_array_equal(touched, label != 200)


def test_a_textured_wall_fills_its_label_without_black_rims() -> None:
    stage = _stage()
    white = Image.new("RGB", (60, 40), (250, 250, 250))
    stage.canvas.stamp(white, np.array([[50.0, 40], [200, 90], [200, 180], [50, 260]]), 1)
    touched, label = _touched(stage)
    np.testing.assert_array_equal(touched, label == 1)
    assert (stage.canvas.pixels()[label == 1][:, :3] == 250).all()


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        pytest.param((3, 3, 3, 2), 3, id="three of four"),
        pytest.param((3, 3, 2, 2), 2, id="tie goes to the thin class"),
        pytest.param((0, 0, 5, 2), 0, id="two beat singles"),
        pytest.param((5, 5, 0, 3), 5, id="upper pair"),
        pytest.param((0, 3, 4, 9), 9, id="all different"),
        pytest.param((11, 11, 11, 11), 11, id="unlabelled"),
    ],
)
def test_majority_of_four(cell: tuple[int, ...], expected: int) -> None:
    for turn in range(4):
        labels = np.roll(np.array(cell, np.uint8), turn).reshape(2, 2)
        assert lens.majority(labels).tolist() == [[expected]]


def test_write_lays_out_pairs_and_refuses_to_overwrite(tmp_path: Path) -> None:
    render.write(tmp_path, split="train", indices=range(3, 5), seed=9)
    names = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*"))
    assert names == [f"train/{part}/0000{n}.{end}" for part, end in PARTS for n in (3, 4)]
    with Image.open(tmp_path / "train/labels/00003.png") as label:
        np.testing.assert_array_equal(np.asarray(label), render.render(3, seed=9)[1])
    with pytest.raises(UsageError, match="exists already"):
        render.write(tmp_path, split="train", indices=range(1), seed=9)


def _manifest() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((EMBEDDED / "manifest.json").read_text(encoding="utf-8"))
    return loaded


def test_manifest_names_every_file_by_its_hash() -> None:
    manifest = _manifest()
    assert (manifest["schema"], manifest["name"], manifest["licence"]) == (1, "streets", "Apache-2.0")
    named = {"manifest.json"}
    for records in manifest["splits"].values():
        assert len(records) == 32
        for record in records:
            for part in ("image", "label"):
                content = (EMBEDDED / record[part]).read_bytes()
                assert hashlib.sha256(content).hexdigest() == record[f"sha256_{part}"]
                named.add(record[part])
    present = {p.relative_to(EMBEDDED).as_posix() for p in EMBEDDED.rglob("*") if p.is_file()}
    assert present == named


def test_embedded_splits_share_no_scene() -> None:
    splits = _manifest()["splits"]
    hashes = [{r["sha256_image"] for r in splits[name]} for name in ("calib", "val")]
    assert [len(found) for found in hashes] == [32, 32]
    assert not hashes[0] & hashes[1]


def test_embedded_set_is_small() -> None:
    assert sum(p.stat().st_size for p in EMBEDDED.rglob("*") if p.is_file()) <= BUDGET_BYTES


@pytest.mark.parametrize(
    ("split", "index"), [pytest.param("calib", 0, id="calib"), pytest.param("val", 1000, id="val")]
)
def test_embedded_scenes_are_what_the_renderer_draws(split: str, index: int) -> None:
    """Not to the byte: the last bit of a sine may differ from one machine to the next."""
    with Image.open(EMBEDDED / split / "labels" / f"{index:05d}.png") as stored:
        kept = np.asarray(stored)
    assert (kept == render.render(index)[1]).mean() > 0.995
