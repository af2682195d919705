"""The commands of the README, the tutorial and the guides are run as they are written there.

Each line runs in a folder that has what the pages speak of: a network, images, artifacts. What builds for a
real compiler is slow; what takes an hour or somebody else's data is left out, with the reason.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from mosaic_deploy.build.result_table import _FIGURES, _NAME
from tests.artifact.tiny_artifact import write_artifact
from tests.conftest import CARD, HEIGHT, WIDTH, tiny_graph, write_split
from tests.test_docs import ROOT, fences

PAGES = (
    ROOT / "README.md",
    *sorted((ROOT / "docs" / "tutorial").glob("*.md")),
    *sorted((ROOT / "docs" / "how-to").rglob("*.md")),
)
LEFT_OUT = {
    "train mosaic": "trains for an hour or more",
    "weights.safetensors": "needs what was trained",
    "--scenes 2000": "renders for minutes",
    "--target all": "builds for every compiler: .ci/run does",
    "--data camvid": "needs CamVid: .ci/run does",
    "ade20k31": "needs ADE20K",
    "mosaic_r4": "needs MLPerf's weights",
    "mobile_segmenter": "needs MLPerf's file",
    "import-tflite": "needs MediaPipe's file: tests/backends/litert/importing",
    "build --target dsp": "simulates for minutes: .ci/run does",
    "more_streets --calibration": "simulates for minutes",
    "dsp-v73": "simulates for minutes",
    "--target gpu": "needs a Vulkan driver: tests/backends/litert/gpu",
    "probe dsp": "compiles for an hour, or asks the tables: tests/probing and .ci/run",
    "probe ort-mobile --verify": "runs a test grid: tests/probing",
    "mosaic-deploy zoo": "tries every card on every target, for an hour or more: tests/survey",
    "mosaic-deploy field": "makes networks of others, for an hour or more: tests/survey",
    "--recipe auto": "simulates for minutes: tests/build/test_auto.py",
    "mosaic-deploy sensitivity": "runs the network once for each tensor: tests/build/test_sensitivity.py",
    "mosaic-deploy diff": "compiles and simulates for minutes: tests/build/diff",
    "--with lost/sensitivity.json": "needs what was measured: tests/artifact/html_report/test_measured.py",
    "doctor --install": "installs: tests/build/test_doctor.py",
    "doctor --clean": "removes the person's own toolchains: tests/build/test_doctor.py",
}
"""Part of a command -> why it is not run here."""
SAYS_NO = {"--tolerance 0 ": 1}
"""Part of a command -> its exit code, where that is not 0."""
SLOW = ("build ", "contract fuzz", "--verify", "--replay", "bench ", "--unknown ask", "render-streets ")


@dataclass(frozen=True)
class Line:
    """A command as a page shows it."""

    page: str
    number: int
    text: str

    def __str__(self) -> str:
        return f"{self.page}-{self.number}"

    @property
    def left_out(self) -> str:
        """Why it is not run; empty where it is."""
        return next((reason for part, reason in LEFT_OUT.items() if part in f"{self.text} "), "")


def lines_of(page: Path) -> Iterator[str]:
    """The page's commands."""
    for language, body in fences(page):
        for text in body.replace("\\\n", " ").splitlines() if language == "sh" else ():
            if "mosaic-deploy " in text and not text.lstrip().startswith("#"):
                yield " ".join(text.split())


LINES = [Line(page.name, number, text) for page in PAGES for number, text in enumerate(lines_of(page))]
RUN = [
    pytest.param(
        line, marks=[pytest.mark.slow] if any(part in line.text for part in SLOW) else [], id=str(line)
    )
    for line in LINES
    if not line.left_out
]


@pytest.fixture
def workshop(tmp_path: Path) -> Path:
    """A folder with what the pages speak of, and programs ``uv`` and ``mosaic-deploy`` in ``bin``."""
    for name in ("my_net", "model", "last_release", "net"):
        onnx.save(tiny_graph(), tmp_path / f"{name}.onnx")
    data = tmp_path / "my_images"
    write_split(data / "calib", images=2, seed=1)
    write_split(data / "val", images=2, seed=2)
    (data / "classes.txt").write_text("sky\nroad\ncar\n")
    (tmp_path / "models").mkdir()
    onnx.save(tiny_graph(), tmp_path / "models" / "my_net.onnx")
    card = CARD.replace("@data", str(data)).replace("tiny.onnx", "my_net.onnx")
    (tmp_path / "models" / "my_net.toml").write_text(card)
    for name in ("mosaic-dsp-w8a8", "mosaic-cpu-w8a8", "mosaic-ort-mobile-w8a8", "mosaic-openvino-int8"):
        write_artifact(tmp_path / "build" / name)
    Image.new("RGB", (70, 50), (9, 99, 200)).save(tmp_path / "street.jpg")
    np.save(tmp_path / "image.npy", np.zeros((1, 3, HEIGHT, WIDTH), np.float32))
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "uv").write_text('#!/bin/sh\nshift\nexec "$@"\n')
    (programs / "mosaic-deploy").write_text(f'#!/bin/sh\nexec {sys.executable} -m mosaic_deploy "$@"\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("line", RUN)
def test_it_runs_as_written(line: Line, workshop: Path) -> None:
    if "my_net.toml" in line.text and "models/" not in line.text:
        for name in ("my_net.toml", "my_net.onnx"):
            shutil.copy(workshop / "models" / name, workshop)
    if "fixed.onnx --target" in line.text:
        onnx.save(tiny_graph(), workshop / "fixed.onnx")
    environment = os.environ | {"PATH": f"{workshop / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-ec", line.text], cwd=workshop, env=environment, capture_output=True, text=True, timeout=900
    )
    wanted = next((code for part, code in SAYS_NO.items() if part in line.text), 0)
    assert done.returncode == wanted, f"{line.text}\n{done.stderr}"
    assert "Traceback" not in done.stderr


def test_most_are_run_and_nothing_is_left_out_for_a_reason_of_before() -> None:
    assert len(RUN) >= 25
    assert [part for part in LEFT_OUT if not any(part in f"{line.text} " for line in LINES)] == []


def tables() -> Iterator[tuple[str, list[str]]]:
    """The headings of each table of builds that a page shows."""
    for page in PAGES:
        for language, body in fences(page):
            for row in body.splitlines() if language == "text" else ():
                if row.startswith("┃ model"):
                    yield page.name, [cell.strip() for cell in row.strip("┃").split("┃")]


def test_the_tables_that_pages_show_are_those_of_today() -> None:
    shown = dict(tables())
    assert set(shown) == {"README.md", "first-build.md"}
    for page, headings in shown.items():
        assert headings == [*_NAME, *_FIGURES, "verdict"], page


def test_the_stages_that_pages_show_are_those_of_today(workshop: Path) -> None:
    (workshop / "echo.toml").write_text(
        'schema = 1\nname = "echo"\nsummary = "no compiler"\nbackend = "echo"\nops = "qnn-htp"\n'
        'recipes = ["w8a8"]\n'
    )
    words = ["build", "models/my_net.toml", "--target", "echo.toml", "--out", "out"]
    done = subprocess.run(
        [sys.executable, "-m", "mosaic_deploy", *words],
        cwd=workshop,
        capture_output=True,
        text=True,
        timeout=300,
    )
    stages = {line.split()[0] for line in done.stderr.splitlines() if " done in " in line}
    for name in ("README.md", "docs/tutorial/first-build.md"):
        text = "".join(body for language, body in fences(ROOT / name) if language == "text")
        shown = {line.split()[0] for line in text.splitlines() if " done in " in line}
        assert shown - {"install"} == stages - {"install", "float"}, name  # dsp runs no float file
