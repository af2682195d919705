from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mosaic_deploy.artifact.pictures import Pictures, draw
from mosaic_deploy.artifact.predict import Prediction, predict
from mosaic_deploy.backends.registry import BACKENDS
from mosaic_deploy.datasets.images import read_image, read_label
from mosaic_deploy.errors import DataError, ModelError, ToolError, UsageError
from mosaic_deploy.specs.contract import Contract
from tests.artifact.tiny_artifact import CONTRACT, edit, write_artifact
from tests.cli.test_app import run
from tests.conftest import HEIGHT, WIDTH

Ids = NDArray[np.uint8]


def blocks(height: int, width: int) -> tuple[Ids, Ids]:
    """Red at the left, green at the right, blue below, and the ids of the channels."""
    ids = np.zeros((height, width), np.uint8)
    ids[:, width // 2 :] = 1
    ids[height // 2 :] = 2
    return np.eye(3, dtype=np.uint8)[ids] * np.uint8(200), ids


def silent(_stage: str, _share: float, _note: str) -> None:
    pass


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return write_artifact(tmp_path / "tiny-echo-w8a8")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image.png"
    Image.fromarray(blocks(HEIGHT, WIDTH)[0]).save(path)
    return path


def test_the_known_answer(place: Path, image: Path) -> None:
    found = predict(place, image, progress=silent)
    np.testing.assert_array_equal(found.ids, blocks(HEIGHT, WIDTH)[1])
    assert found.shares == ((2, 0.5), (0, 0.25), (1, 0.25))
    assert found.explain() == [
        "car   50.00%",
        "sky   25.00%",
        "road  25.00%",
        "tiny-echo-w8a8, main: ONNX Runtime, float",
    ]


@pytest.mark.parametrize("size", [(2 * HEIGHT, 2 * WIDTH), (101, 67), (7, 9)], ids=str)
def test_an_image_of_another_size(place: Path, size: tuple[int, int]) -> None:
    pixels, ids = blocks(*size)
    found = predict(place, pixels, progress=silent)
    assert found.ids.shape == size
    assert np.mean(found.ids == ids) > (0.95 if min(size) > 30 else 0.7)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize(("colour", "answer"), [("RGB", [0, 1, 2]), ("BGR", [2, 1, 0])], ids=["RGB", "BGR"])
def test_the_contract_alone_prepares(tmp_path: Path, layout: str, colour: str, answer: list[int]) -> None:
    contract = Contract.model_validate({**CONTRACT.model_dump(), "layout": layout, "colour": colour})
    place = write_artifact(tmp_path / "other", contract=contract)
    pixels, ids = blocks(HEIGHT, WIDTH)
    found = predict(place, pixels, progress=silent)
    np.testing.assert_array_equal(found.ids, np.array(answer, np.uint8)[ids])


def test_a_photograph_is_turned_upright(place: Path, tmp_path: Path) -> None:
    pixels, ids = blocks(HEIGHT, WIDTH)
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.fromarray(pixels[::-1, ::-1]).save(tmp_path / "turned.png", exif=exif)
    found = predict(place, tmp_path / "turned.png", progress=silent)
    np.testing.assert_array_equal(found.ids, ids)
    assert found.notes == ("the image was turned as its EXIF orientation says",)


@pytest.mark.parametrize(("variant", "seen"), [(None, 1), ("v75", 1), ("v68", 2)], ids=str)
def test_a_variant_is_picked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variant: str | None, seen: int
) -> None:
    monkeypatch.setitem(BACKENDS, "fake", "tests.artifact.tiny_artifact")
    place = write_artifact(tmp_path / "x", backend="fake", facts={"ids": {"v75": 1, "v68": 2}}, passed=False)
    found = predict(place, blocks(8, 8)[0], variant=variant, progress=silent)
    assert (found.ids == seen).all()
    assert found.variants == ("v75", "v68")
    ran, other = variant or "v75", "v75" if seen == 2 else "v68"
    assert found.explain()[-2:] == [
        f"tiny-fake-w8a8, {ran}: a fake {ran}; --variant also takes {other}",
        "a check failed when it was built: see check.json and parity.json",
    ]
    with pytest.raises(UsageError, match=r"no variant 'v69' .*did you mean 'v68'.*known: v75, v68"):
        predict(place, blocks(8, 8)[0], variant="v69", progress=silent)


def test_an_output_that_breaks_the_contract(tmp_path: Path) -> None:
    contract = Contract.model_validate({**CONTRACT.model_dump(), "output": "classmap"})
    place = write_artifact(tmp_path / "x", contract=contract)
    with pytest.raises(ModelError, match="the output has shape"):
        predict(place, blocks(8, 8)[0], progress=silent)


@pytest.mark.parametrize(
    ("fault", "says"), [("crash", "SIGSEGV"), ("full", "no space left on device")], ids=["crash", "full-disk"]
)
def test_a_failing_runtime_is_one_line(place: Path, fault: str, says: str) -> None:
    edit(place, "facts", "fault", value=fault)
    with pytest.raises(ToolError, match=says) as caught:
        predict(place, blocks(8, 8)[0], progress=silent)
    text = str(caught.value)
    assert "\n" not in text
    log = Path(text.rpartition("log: ")[2])
    assert log.is_file(), "the log that the error names must outlive it"
    log.unlink()


def test_array_of_another_kind(place: Path) -> None:
    with pytest.raises(DataError, match="an image is"):
        predict(place, np.zeros((8, 8), np.uint8), progress=silent)


def a_prediction(height: int, width: int) -> Prediction:
    pixels, ids = blocks(height, width)
    return Prediction("a", pixels, ids, CONTRACT.labels, "main", ("main",), {}, ())


@pytest.mark.parametrize("width", [1, 20, 400, 4000])
def test_the_legend_lies_below_the_image(width: int) -> None:
    found = a_prediction(40, width)
    sheet = draw(found)
    assert sheet.shape[1:] == (width, 3)
    assert sheet.shape[0] > 40
    top = sheet[0, 0].astype(int)
    expected = 0.6 * np.array(CONTRACT.palette[found.ids[0, 0]]) + 0.4 * found.image[0, 0]
    assert np.abs(top - expected).max() <= 1


def test_strange_class_names_are_made_plain() -> None:
    labels = Contract.model_validate(
        {**CONTRACT.model_dump(), "classes": ("a\nb", "\x1b[2Jc", "[red]d")}
    ).labels
    found = Prediction("a", *blocks(8, 8), labels, "main", ("main",), {}, ())
    assert [found.name(i) for i in range(3)] == ["a?b", "?[2Jc", "[red]d"]
    draw(found)


@pytest.mark.slow
def test_run_writes_what_it_says(place: Path, image: Path, tmp_path: Path) -> None:
    done = run("run", place.name, image.name, "-o", "out.png", "--labels", "ids.png", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "schema": 1,
        "artifact": "tiny-echo-w8a8",
        "variant": "main",
        "variants": ["main"],
        "height": HEIGHT,
        "width": WIDTH,
        "ran_on": "ONNX Runtime, float",
        "precision": "float32",
        "classes": [
            {"id": 2, "class": "car", "share": 0.5},
            {"id": 0, "class": "sky", "share": 0.25},
            {"id": 1, "class": "road", "share": 0.25},
        ],
        "notes": [],
    }
    np.testing.assert_array_equal(read_label(tmp_path / "ids.png"), blocks(HEIGHT, WIDTH)[1])
    assert read_image(tmp_path / "out.png").shape[1] == WIDTH
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ids.png", "image.png", "out.png", place.name]
    again = run("run", place.name, image.name, "-o", "out.png", cwd=tmp_path)
    one_line(again, 2, "out.png: exists already: add --force")
    forced = run("run", place.name, image.name, "-o", "out.png", "--force", cwd=tmp_path)
    assert forced.returncode == 0
    assert forced.stdout == ""
    assert "car   50.00%" in forced.stderr


def one_line(done: subprocess.CompletedProcess[str], code: int, says: str) -> None:
    assert done.returncode == code, done.stderr
    assert says in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_run_refuses_in_one_line(place: Path, image: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    done = run("run", place.name, "broken.png", "-o", "out.png", cwd=tmp_path)
    one_line(done, 2, "broken.png: not a readable image")
    with (place / "echo.onnx").open("ab") as file:
        file.write(b"x")
    one_line(
        run("run", place.name, image.name, "-o", "out.png", cwd=tmp_path), 2, "echo.onnx: is not the file"
    )
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    ("out", "ids", "says"),
    [
        pytest.param("image.png", None, "must be different files", id="the-image"),
        pytest.param("out.png", "./out.png", "must be different files", id="twice"),
        pytest.param("out.gif", None, "'.gif' is not a supported image format", id="format"),
        pytest.param("out", None, "'' is not a supported image format", id="no-suffix"),
        pytest.param("out.png", "ids.jpg", "ids.jpg: '.jpg' is not a supported image format", id="lossy-ids"),
        pytest.param("none/out.png", None, "none is not a folder", id="no-folder"),
        pytest.param("there.png", None, "exists already", id="a-folder"),
    ],
)
def test_places_that_cannot_be_written(tmp_path: Path, out: str, ids: str | None, says: str) -> None:
    (tmp_path / "there.png").mkdir()
    pictures = Pictures(tmp_path / out, None if ids is None else tmp_path / ids, force=True)
    with pytest.raises(UsageError, match=says):
        pictures.require_free(tmp_path / "image.png")


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg", ".JPEG"])
def test_every_format_is_written(tmp_path: Path, suffix: str) -> None:
    Pictures(tmp_path / f"out{suffix}").write(a_prediction(40, 60))
    assert read_image(tmp_path / f"out{suffix}").shape[1] == 60


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "ids.png").mkdir()
    with pytest.raises(ToolError, match="cannot be written"):
        Pictures(tmp_path / "out.png", tmp_path / "ids.png").write(a_prediction(8, 8))
    assert not list(tmp_path.glob(".*"))
