from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from mosaic_deploy.artifact.contract_fuzz.fuzz import Cost, FuzzReport, FuzzRequest, fuzz
from mosaic_deploy.artifact.contract_fuzz.mistakes import Case, Mistake, mistakes
from mosaic_deploy.artifact.foreign import Stated
from mosaic_deploy.build.pipeline import deploy
from mosaic_deploy.build.plan import Request
from mosaic_deploy.build.report import BuildReport
from mosaic_deploy.errors import DataError, ModelError
from mosaic_deploy.specs.contract import Contract
from tests.artifact.tiny_artifact import CONTRACT, colour_graph, write_artifact
from tests.cli.test_app import run
from tests.conftest import HEIGHT, WIDTH, Tiny


def write_data(root: Path, height: int, width: int) -> Path:
    """One image, red at the left, blue below and green else, with its labels."""
    ids = np.ones((height, width), np.uint8)
    ids[:, : width // 2] = 0
    ids[height // 2 :] = 2
    for name, values in (("images", np.eye(3, dtype=np.uint8)[ids] * np.uint8(200)), ("labels", ids)):
        (root / name).mkdir(parents=True)
        Image.fromarray(values).save(root / name / "a.png")
    (root / "classes.txt").write_text("sky\nroad\ncar\n")
    return root


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> FuzzReport:
    root = tmp_path_factory.mktemp("fuzz")
    place = write_artifact(root / "tiny-echo-w8a8")
    return fuzz(FuzzRequest(place, f"folder:{write_data(root / 'data', HEIGHT, WIDTH)}"))


def cost(report: FuzzReport, name: str) -> Cost:
    return next(found for found in report.costs if found.mistake.name == name)


def agreement(report: FuzzReport, name: str) -> float:
    parity = cost(report, name).parity
    assert parity is not None
    return parity.agreement


def test_each_mistake_costs_what_it_must(report: FuzzReport) -> None:
    assert agreement(report, "BGR instead of RGB") == 0.25  # the green stays
    assert cost(report, "BGR instead of RGB").signature == "sky +25%, car -25%"
    assert agreement(report, "class ids one too high") == 0.0
    assert agreement(report, "class ids one too low") == 0.0
    # The best channel stays the best whatever mean and scale are, as long as all colours share them.
    assert agreement(report, "pixels of 0 to 255 instead of normalised ones") == 1.0
    # A network of one pixel does not mind which way the image is.
    assert agreement(report, "EXIF orientation ignored: the image lies on its side") > 0.98
    assert agreement(report, "NHWC bytes in an NCHW input") < 0.7
    assert agreement(report, "scores read in the other order of axes") < 0.7
    assert report.by_cost[0].parity is not None
    assert report.by_cost[0].parity.candidate < 0.01


def test_what_cannot_happen_is_said_with_the_reason(report: FuzzReport) -> None:
    same = "every image has the network's size already: nothing is resized"
    told = {mistake.name: mistake.impossible for mistake in report.impossible}
    assert told == {
        "resized to the nearest pixel": same,
        "resized bilinearly without smoothing": same,
        "letterboxed instead of stretched": same,
        "normalised floats cast to the input's integers": "the input is float",
        "bytes of 0 to 255 in a signed input, 128 not subtracted": "the input is no signed byte",
        "aligned corners in the resize of scores":
            "scores are not resized to the input's size outside the network",
    }  # fmt: skip


def test_the_record_holds_all(report: FuzzReport) -> None:
    record = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert len(record["mistakes"]) == len(report.costs)
    assert record["labelled"] is True
    assert all(row["looks"] for row in record["mistakes"])


def known(changes: dict[str, Any], source: dict[str, Any], *, exact: bool) -> dict[str, Mistake]:
    contract = Contract.model_validate({**CONTRACT.model_dump(), **changes})
    facts = {"shape": list(contract.shape), "scale": None, "zero_point": None, **source}
    return {m.name: m for m in mistakes(Case(contract, facts, resized=True, exact=exact))}


INT8 = {"dtype": "int8", "scale": 1 / 128, "zero_point": 0, "pixel_factor": 1, "pixel_offset": -128}


def test_bytes_have_no_mean_but_a_sign() -> None:
    found = known({"layout": "NHWC", "output": "lowres"}, INT8, exact=True)
    assert "nothing to normalise" in found["pixels of 0 to 255 instead of normalised ones"].impossible
    image = np.full((HEIGHT, WIDTH, 3), 200, np.uint8)
    unshifted = found["bytes of 0 to 255 in a signed input, 128 not subtracted"]
    assert not unshifted.impossible
    assert unshifted.feed is not None
    assert {*np.unique(unshifted.feed(image)).tolist()} == {200 - 256}
    cast = found["normalised floats cast to the input's integers"].feed
    assert cast is not None
    assert {*np.unique(cast(image)).tolist()} == {0}
    assert not found["aligned corners in the resize of scores"].impossible


def test_imagenets_own_numbers_are_no_mistake() -> None:
    own = {"mean": (123.675, 116.28, 103.53), "scale": (58.395, 57.12, 57.375)}
    found = known(own, {"dtype": "float32"}, exact=False)
    assert "normalised with 127.5 and 127.5" in found
    plain = known({"mean": (0, 0, 0), "scale": (255, 255, 255)}, {"dtype": "float32"}, exact=False)
    assert (
        plain["pixels of 0 to 1 instead of normalised ones"].impossible
        == "that is what the contract asks for"
    )


def test_what_is_no_artifact_or_does_not_fit_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no artifact"):
        fuzz(FuzzRequest(tmp_path, "streets"))
    place = write_artifact(tmp_path / "tiny-echo-w8a8")
    with pytest.raises(DataError, match="has the id of"):
        fuzz(FuzzRequest(place, "streets"))


@pytest.mark.slow
def test_a_file_of_another_tool_is_taken_too(tmp_path: Path) -> None:
    """Whose word counts is what counts for ``validate``."""
    data = f"folder:{write_data(tmp_path / 'data', HEIGHT, WIDTH)}"
    file = tmp_path / "made_elsewhere.onnx"
    onnx.save(colour_graph(), file)
    with pytest.raises(ModelError, match="nothing says how pixels become that: say --input-mean and"):
        fuzz(FuzzRequest(file, data))
    said = Stated(mean=(128.0,) * 3, scale=(128.0,) * 3)
    found = fuzz(FuzzRequest(file, data, stated=said))
    assert agreement(found, "BGR instead of RGB") == 0.25
    assert found.contract_from == "the options, else the data set's classes, pixels as they are"
    assert found.feeding.startswith("(RGB pixel - 128) / 128, float32 NCHW")
    (tmp_path / "data/classes.txt").unlink()
    (tmp_path / "data/labels/a.png").unlink()
    (tmp_path / "data/labels").rmdir()
    with pytest.raises(ModelError, match="nothing says what its classes are: name a card with --contract"):
        fuzz(FuzzRequest(file, data, stated=said))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "files"),
    [
        ("cpu", ("model.tflite",)),
        ("openvino", ("model.xml",)),
        ("dsp", ("v75/model_ctx.onnx", "v75/model_ctx_qnn.bin")),
    ],
)
def test_a_shipped_file_alone_has_the_table_of_its_folder(
    tiny: Tiny, tmp_path: Path, target: str, files: tuple[str, ...]
) -> None:
    options = {"arch": "75"} if target == "dsp" else {}
    (built,) = deploy(Request(str(tiny.card), (target,), tmp_path / "out", images=2, options=options))
    assert isinstance(built, BuildReport)
    asked = FuzzRequest(Path(built.folder), f"folder:{tiny.data}", images=2)
    whole = fuzz(asked)
    for file in files:
        alone = fuzz(replace(asked, artifact=Path(built.folder) / file, contract=str(tiny.card)))
        assert alone.contract_from.startswith("the card" if file.endswith("bin") else "the description")
        ours, theirs = (
            [(c.mistake.name, c.mistake.impossible, c.parity and c.parity.agreement) for c in table.costs]
            for table in (whole, alone)
        )
        assert ours == theirs


@pytest.mark.slow
def test_the_command_prints_the_table(tmp_path: Path) -> None:
    place = write_artifact(tmp_path / "tiny-echo-w8a8")
    data = write_data(tmp_path / "data", 2 * HEIGHT, 3 * WIDTH)
    done: subprocess.CompletedProcess[str] = run(
        "contract", "fuzz", str(place), "--data", f"folder:{data}", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "BGR" in done.stdout
    assert "cannot happen here: normalised floats" in done.stderr
    assert run("contract", "fuss", str(place), "--data", "streets", cwd=tmp_path).returncode == 2
