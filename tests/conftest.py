"""A tiny model, a tiny data set and a target without a compiler, for tests of what surrounds a backend."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from tests import extras
from tests.childless_collection import pytest_collection as pytest_collection

HEIGHT, WIDTH = 32, 48

SLOW = (
    "artifact/bench/test_run.py", "backends/litert/gpu/", "backends/litert/edgetpu/",
    "backends/litert/test_", "backends/openvino/", "backends/oracle/test_fleet.py", "backends/ort/",
    "backends/qnn/test_backend.py", "backends/qnn/test_profile.py", "backends/qnn/test_rewrites.py",
    "build/test_todo.py", "probing/test_synthesis.py", "cli/test_app.py", "cli/test_core_only.py",
    "gate/fix/test_fix_file.py", "gate/test_integrations.py", "graph/reader/test_hostile_models.py",
    "quantize/", "zoo/mlperf/", "zoo/networks/",
)  # fmt: skip
"""Tests under ``tests/`` of whole builds, of thousands of files and of every network's size."""


@pytest.fixture(autouse=True)
def _state_of_its_own(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Logs of calls that fail on purpose stay out of the person's own state folder."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.getbasetemp() / "state"))


def pytest_configure(config: pytest.Config) -> None:
    """Install the extras where some are missing, and begin anew; raises ``UsageError`` where that fails."""
    if hasattr(config, "workerinput") or config.option.help:
        return
    absent = extras.missing(extras.required())
    if not absent:
        return
    capture = config.pluginmanager.getplugin("capturemanager")
    assert capture is not None
    capture.suspend_global_capture(in_=True)  # so that uv, and who comes after it, are heard
    print(
        f"tests: installing every extra ({extras.SIZE} in all), as these are missing: {', '.join(absent)}",
        file=sys.stderr,
        flush=True,
    )
    problem = extras.install()
    if problem:
        raise pytest.UsageError(problem)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # the same command


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what takes long by its nature, a file or a folder at a time."""
    for item in items:
        if item.path.relative_to(Path(__file__).parent).as_posix().startswith(SLOW):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_is_heard() -> Iterator[None]:
    """Let the processes that tests start hear SIGINT, also where the tests run in a shell's background.

    Such a shell has it ignored, and children inherit that; a handler of ours becomes their default.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


CARD = f"""
schema = 1
name = "tiny"
summary = "sky above, road below, told apart by colour"
licence = "Apache-2.0"
data = "folder:@data"
[source]
onnx = "tiny.onnx"
[contract]
height = {HEIGHT}
width = {WIDTH}
classes = ["sky", "road", "car"]
palette = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
"""

TARGET = """
schema = 1
name = "echo"
summary = "no compiler"
backend = "echo"
ops = "qnn-htp"
recipes = ["w8a8"]
[options]
fault = "none"
"""


def tiny_graph() -> onnx.ModelProto:
    """A 1x1 convolution: (1, 3, 32, 48) float to the logits of three classes, by brightness."""
    weights = np.array([[1, 1, 1], [-1, -1, -1], [0, 0, 0]], np.float32).reshape(3, 3, 1, 1)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["image", "w"], ["scores"], name="conv"),
            helper.make_node("Relu", ["scores"], ["logits"], name="relu"),
        ],
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, HEIGHT, WIDTH])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3, HEIGHT, WIDTH])],
        [numpy_helper.from_array(weights, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def write_split(root: Path, *, images: int, seed: int) -> None:
    """Scenes of bright sky over dark road with noise, 40x56, labels 0 and 1."""
    rng = np.random.default_rng(seed)
    for kind in ("images", "labels"):
        (root / kind).mkdir(parents=True)
    for index in range(images):
        label = np.zeros((40, 56), np.uint8)
        label[int(rng.integers(12, 28)) :] = 1
        image = np.where(label[..., None] == 1, 60, 200) + rng.integers(-20, 20, (40, 56, 3))
        Image.fromarray(image.astype(np.uint8)).save(root / "images" / f"{index}.png")
        Image.fromarray(label).save(root / "labels" / f"{index}.png")


@dataclass(frozen=True)
class Tiny:
    """Where the pieces lie."""

    root: Path
    card: Path
    onnx: Path
    target: Path
    data: Path

    def target_with(self, fault: str) -> Path:
        """A copy of the target whose backend misbehaves."""
        path = self.root / f"{fault}.toml"
        path.write_text(TARGET.replace('"none"', f'"{fault}"').replace('"echo"\ns', f'"{fault}"\ns', 1))
        return path


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    root = tmp_path / "tiny"
    root.mkdir()
    onnx.save(tiny_graph(), root / "tiny.onnx")
    data = root / "data"
    write_split(data / "calib", images=2, seed=1)
    write_split(data / "val", images=3, seed=2)
    (data / "classes.txt").write_text("sky\nroad\ncar\n")
    (root / "tiny.toml").write_text(CARD.replace("@data", str(data)))
    (root / "echo.toml").write_text(TARGET)
    return Tiny(root, root / "tiny.toml", root / "tiny.onnx", root / "echo.toml", data)
