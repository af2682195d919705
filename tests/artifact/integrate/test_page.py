"""The code of ``integrate.md`` is taken out of it and run against the golden sample beside it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from mosaic_deploy.artifact.golden import Sample, write_golden
from mosaic_deploy.artifact.integrate.page import Integration, page, write_page
from mosaic_deploy.artifact.open import open_artifact
from mosaic_deploy.backends.protocol import CompiledModel, File
from mosaic_deploy.build.pipeline import deploy
from mosaic_deploy.build.plan import Request
from mosaic_deploy.build.report import BuildReport
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.specs.toolchain import toolchain_python
from tests.artifact.tiny_artifact import CONTRACT
from tests.conftest import HEIGHT, WIDTH

SAID = "100.00% of the pixels have the class of the golden sample"
FLOAT = {"dtype": "float32", "scale": None, "zero_point": None}


def block(folder: Path, language: str) -> str:
    """The only code block of a language."""
    (text,) = re.findall(rf"```{language}\n(.*?)```", (folder / "integrate.md").read_text(), re.DOTALL)
    assert isinstance(text, str)
    return text


def execute(folder: Path, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    program = folder / "program.py"
    program.write_text(block(folder, "python"))
    return subprocess.run(
        [python, program.name], cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )


def made(folder: Path, contract: Contract, source: Mapping[str, Any], result: Mapping[str, Any]) -> Path:
    """A golden sample and its page for tensors of these facts; what came out is noise."""
    rng = np.random.default_rng(3)
    folder.mkdir()
    shape = tuple(result["shape"])
    output: NDArray[Any] = rng.normal(0, 2, shape).astype(np.float32)
    if contract.output != "logits" and len(shape) == 3:
        output = rng.integers(0, 3, shape).astype(result["dtype"])
    if result["scale"] is not None:
        output = (np.rint(output / result["scale"])).clip(-100, 100) * np.float32(result["scale"])
    image = rng.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    facts: dict[str, object] = {"input": {"name": "x", **source}, "output": {"name": "y", **result}}
    files = write_golden(
        Sample(image, contract.prepare(image), output), folder, contract=contract, facts=facts
    )
    built = CompiledModel(folder, (File("echo.onnx", "echo", ships=True),), (), facts)
    item = Integration("tiny-echo-w8a8", built, contract, "noise", tuple(f.path for f in files))
    assert [file.path for file in write_page(item, folder)] == ["integrate.md"]
    return folder


def nchw(*, dtype: str = "float32", **facts: Any) -> dict[str, Any]:
    return {**FLOAT, "shape": [1, 3, HEIGHT, WIDTH], "dtype": dtype, **facts}


def nhwc(**facts: Any) -> dict[str, Any]:
    return {**FLOAT, "shape": [1, HEIGHT, WIDTH, 3], **facts}


LOW = [1, 3, HEIGHT // 4, WIDTH // 4]
CASES = [
    pytest.param({}, nchw(), nchw(), id="floats"),
    pytest.param({"colour": "BGR", "mean": (104, 117, 123), "scale": (57, 57, 58)}, nchw(), nchw(), id="BGR"),
    pytest.param(
        {"layout": "NHWC", "output": "lowres"},
        nhwc(dtype="int8", scale=1 / 128, zero_point=0, pixel_factor=1, pixel_offset=-128, pixels=None),
        {"shape": [1, 8, 12, 3], "dtype": "int8", "scale": 0.07, "zero_point": -3},
        id="int8",
    ),
    pytest.param(
        {"output": "lowres", "sampling": "align_corners", "mean": (124, 116, 104), "scale": (58, 57, 57)},
        nchw(dtype="uint8", scale=0.019, zero_point=114, pixel_factor=None, pixel_shift=0.0),
        {"shape": LOW, **FLOAT},
        id="a grid of its own",
    ),
    pytest.param({"output": "lowres", "sampling": "asymmetric"}, nchw(), {"shape": LOW, **FLOAT}, id="old"),
    pytest.param({"output": "lowres", "sampling": "nearest"}, nchw(), {"shape": LOW, **FLOAT}, id="nearest"),
    pytest.param(
        {"output": "classmap"}, nchw(), {**FLOAT, "shape": [1, HEIGHT, WIDTH], "dtype": "int32"}, id="ids"
    ),
    pytest.param({"output": "classmap"}, nchw(), {**FLOAT, "shape": [1, HEIGHT, WIDTH]}, id="ids as floats"),
    pytest.param(
        {"output": "classmap"},
        nchw(),
        {**FLOAT, "shape": [1, HEIGHT, WIDTH], "dtype": "int64"},
        id="long ids",
    ),
    pytest.param(
        {"output": "classmap"},
        nchw(),
        {**FLOAT, "shape": [1, HEIGHT, WIDTH], "dtype": "uint8"},
        id="byte ids",
    ),
    pytest.param(
        {"output": "lowmap", "dtype": "uint8"},
        nchw(dtype="uint8"),
        {**FLOAT, "shape": [1, 8, 12], "dtype": "int32"},
        id="bytes in, few ids out",
    ),
    pytest.param(
        {"classes": ("background", "foreground"), "palette": ((0, 0, 0), (9, 9, 9)), "threshold": 0.5},
        nchw(),
        {**FLOAT, "shape": [1, 1, HEIGHT, WIDTH]},
        id="one score",
    ),
]


@pytest.mark.parametrize(("changes", "source", "result"), CASES)
def test_both_ends_give_the_golden_classes(
    tmp_path: Path, changes: dict[str, Any], source: dict[str, Any], result: dict[str, Any]
) -> None:
    contract = Contract.model_validate({**CONTRACT.model_dump(), **changes})
    folder = made(tmp_path / "a", contract, source, result)
    text = block(folder, "python")
    start = text.index("HEIGHT, WIDTH"), text.index("\n\nsession =")
    names: dict[str, Any] = {"np": np}
    exec(text[start[0] : start[1]], names)
    x = names["prepare"](np.load(folder / "golden/image.npy"))
    expected = np.load(folder / "golden/input.npy")
    assert x.dtype == expected.dtype
    np.testing.assert_array_equal(x, expected)
    ids = names["classes"](np.load(folder / "golden/output.npy"))
    np.testing.assert_array_equal(ids, np.load(folder / "golden/classes.npy"))


def test_a_wrong_app_is_told_so(tmp_path: Path) -> None:
    folder = made(tmp_path / "a", CONTRACT, nchw(), nchw())
    node = helper.make_node("Neg", ["x"], ["y"])
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3, HEIGHT, WIDTH]) for n in ("x", "y")]
    model = helper.make_model(
        helper.make_graph([node], "g", ends[:1], ends[1:]),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    onnx.save(model, folder / "echo.onnx")
    wrong = execute(folder)  # another network than the one that gave the golden output
    assert wrong.returncode == 1, wrong.stderr
    assert "of the pixels have the class" in wrong.stdout
    np.save(folder / "golden/input.npy", np.zeros((1, 3, HEIGHT, WIDTH), np.float32))
    assert "prepare() makes another input" in execute(folder).stderr


def test_no_page_for_files_that_nothing_is_known_of() -> None:
    item = Integration("a", CompiledModel(Path(), (File("a.bin", "other"),), (), {}), CONTRACT, "", ())
    assert page(item) is None


def test_names_of_classes_cannot_break_the_page(tmp_path: Path) -> None:
    contract = Contract.model_validate({**CONTRACT.model_dump(), "classes": ("a\n```", "b|c", "<d>")})
    folder = made(tmp_path / "a", contract, nchw(), nchw())
    assert "Classes: 0 a????, 1 b?c, 2 ?d?." in (folder / "integrate.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "toolchain"),
    [("cpu", "litert"), ("ort-mobile", "ort"), ("openvino", "openvino"), ("dsp", "qnn")],
)
def test_the_page_of_a_real_build_runs(tmp_path: Path, target: str, toolchain: str) -> None:
    request = Request(model="mosaic", targets=(target,), out=tmp_path, images=1)
    options = {"arch": "75"} if target == "dsp" else {}
    (report,) = deploy(replace(request, options=options))
    assert isinstance(report, BuildReport)
    folder = Path(report.folder)
    assert {entry.path for entry in open_artifact(folder).entries} >= {"integrate.md", "golden/output.npy"}
    interpreter = toolchain_python(toolchain)
    ran = execute(folder, str(interpreter or sys.executable))
    assert ran.returncode == 0, ran.stderr
    assert SAID in ran.stdout
