"""``--data NAME[:DIR]``: every way to get it wrong is one line that says what would be right."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mosaic_deploy.datasets import DATASETS, Split, open_data
from mosaic_deploy.errors import DataError

Save = Callable[..., Path]

VARIABLES = {"camvid": "MOSAIC_CAMVID", "ade20k31": "MOSAIC_ADE20K", "cityscapes": "MOSAIC_CITYSCAPES"}


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_every_reader_can_say_where_its_files_come_from(name: str) -> None:
    reader = importlib.import_module(DATASETS[name])
    assert reader.HOME.holds
    assert reader.HOME.origin
    assert {"calib", "val"} <= {*reader.SPLITS, "calib"}
    assert reader.HOME.environment == VARIABLES.get(name)


@pytest.mark.parametrize(
    ("text", "hint"),
    [("camvit", "did you mean 'camvid'"), ("cityscape:x", "did you mean 'cityscapes'"), ("", "known: ")],
    ids=["typo", "typo-with-folder", "empty"],
)
def test_unknown_name(text: str, hint: str) -> None:
    with pytest.raises(DataError, match="no data set") as err:
        open_data(text, split="val")
    assert hint in str(err.value)


def test_unknown_split() -> None:
    bad: Split = "test"  # type: ignore[assignment]  # what a caller without a type checker may pass
    with pytest.raises(DataError, match="no split 'test'; there are train, calib, val"):
        open_data("streets", split=bad)


@pytest.mark.parametrize("name", ["camvid", "ade20k31", "cityscapes", "folder"])
def test_missing_folder_is_explained(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)
    for text in (name, f"{name}:"):
        with pytest.raises(DataError) as err:
            open_data(text, split="val")
        message = str(err.value)
        assert message.startswith(f"{name}: name its folder, --data {name}:DIR")
        assert "it must hold" in message
        assert "\n" not in message
        assert VARIABLES.get(name, "") in message


def test_folder_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="nowhere: no such folder; it must hold"):
        open_data(f"camvid:{tmp_path}/nowhere", split="val")
    monkeypatch.setenv("MOSAIC_CAMVID", f"{tmp_path}/nowhere")
    with pytest.raises(DataError, match=r"\(from MOSAIC_CAMVID\): no such folder"):
        open_data("camvid", split="val")
    with pytest.raises(DataError):
        open_data("camvid:~no-such-user-here/data", split="val")


def test_folder_of_the_command_line_goes_before_the_environment(
    tmp_path: Path, save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "mine/images/a.png", np.zeros((4, 4, 3), np.uint8))
    monkeypatch.setenv("MOSAIC_CAMVID", "/nowhere")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(open_data("folder:~/mine", split="val")) == 1


@pytest.mark.parametrize("split", ["calib", "val"])
def test_streets_need_no_folder(split: Split) -> None:
    assert open_data("streets", split=split).labelled


def test_readers_load_no_heavy_package() -> None:
    modules = ", ".join(f"'{module}'" for module in (*DATASETS.values(), "mosaic_deploy.accuracy.parity"))
    code = (
        f"import importlib, sys; [importlib.import_module(m) for m in ({modules})]; "
        "print([m for m in ('torch', 'onnxruntime', 'onnx', 'tensorflow') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "[]"
