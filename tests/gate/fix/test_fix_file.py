"""``check --fix``: what is refused is rewritten, proven, written and judged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from tests.gate.gate_models import write

GELU = """c = Constant <value_float = 1.4142135> () one = Constant <value_float = 1.0> ()
    half = Constant <value_float = 0.5> ()
    a = Div (image, c) e = Erf (a) f = Add (e, one) h = Mul (image, f) y = Mul (h, half)"""
DYNAMIC = "a = NonZero (image) y = Cast <to = 1> (a)"


def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mosaic_deploy", "check", *words, "--target", "dsp"]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)


def computed(path: Path, image: NDArray[np.float32]) -> NDArray[np.float32]:
    (y,) = ReferenceEvaluator(onnx.load(path)).run(None, {"image": image})
    return np.asarray(y, np.float32)


def test_a_fixed_model_passes_and_computes_the_same(tmp_path: Path) -> None:
    path = write(tmp_path / "gelu.onnx", GELU)
    before = run("gelu.onnx", cwd=tmp_path)
    assert (before.returncode, "supported after fixes" in before.stdout) == (0, True)
    done = run("gelu.onnx", "--fix", "fixed.onnx", "--format", "json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (model,) = json.loads(done.stdout)["models"]
    fixed = model["fixed"][0]
    assert fixed["target"] == "dsp"
    assert fixed["exact"] is True
    assert [step["name"] for step in fixed["steps"]] == ["gelu_fused"]
    assert 0 <= fixed["steps"][0]["output_error"] < 1e-5
    assert model["verdicts"][0]["verdict"] == "supported"
    image = np.random.default_rng(0).normal(size=(1, 8, 16, 16)).astype(np.float32)
    np.testing.assert_allclose(computed(tmp_path / "fixed.onnx", image), computed(path, image), atol=1e-6)
    again = run("fixed.onnx", "--fix", "same.onnx", cwd=tmp_path)
    assert again.returncode == 0
    assert "fixed for dsp: nothing to do" in again.stdout
    assert sorted(p.name for p in tmp_path.iterdir()) == ["fixed.onnx", "gelu.onnx", "same.onnx"]


def test_what_no_pass_can_fix_still_fails(tmp_path: Path) -> None:
    write(tmp_path / "m.onnx", DYNAMIC)
    before = run("m.onnx", cwd=tmp_path)
    assert (before.returncode, ": unsupported: " in before.stdout) == (1, True)
    done = run("m.onnx", "--fix", "out.onnx", cwd=tmp_path)
    assert done.returncode == 1
    assert "every-shape" not in done.stdout
    assert "unsupported" in done.stdout


def test_nothing_is_replaced_without_force_and_the_name_is_told(tmp_path: Path) -> None:
    write(tmp_path / "m.onnx", GELU)
    before = (tmp_path / "m.onnx").read_bytes()
    for name in ("m.onnx", "notes.onnx"):
        (tmp_path / "notes.onnx").write_text("mine")
        done = run("m.onnx", "--fix", name, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"{name}: exists already: add --force" in done.stderr
    assert (tmp_path / "m.onnx").read_bytes() == before
    assert (tmp_path / "notes.onnx").read_text() == "mine"
    assert "wrote out.onnx" in run("m.onnx", "--fix", "out.onnx", cwd=tmp_path).stderr
    assert "wrote m.onnx" in run("m.onnx", "--fix", "m.onnx", "--force", cwd=tmp_path).stderr
    assert (tmp_path / "m.onnx").read_bytes() == (tmp_path / "out.onnx").read_bytes() != before


def test_real_inputs_are_run_too(tmp_path: Path) -> None:
    write(tmp_path / "m.onnx", GELU)
    np.save(tmp_path / "x.npy", np.zeros((1, 8, 16, 16), np.float32))
    assert run("m.onnx", "--fix", "out.onnx", "--input", "x.npy", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(("m.onnx", "--fix", "out.txt"), "name a file that ends in .onnx", id="suffix"),
        pytest.param(("m.onnx", "n.onnx", "--fix", "out.onnx"), "one file for 2 models", id="two"),
        pytest.param(("m.onnx", "--fix", "no/out.onnx"), "no is not a folder: create it first", id="folder"),
        pytest.param(("m.onnx", "--input", "x.npy"), "--input needs --fix OUT.onnx", id="alone"),
        pytest.param(("m.onnx", "--fix", "out.onnx", "--input", "x.npy"), "holds float32 (1, 4)", id="shape"),
        pytest.param(("m.onnx", "--fix", "out.onnx", "--input", "m.onnx"), "not an .npy file", id="npy"),
    ],
)
def test_mistakes_are_answered_and_nothing_is_written(
    words: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    write(tmp_path / "m.onnx", GELU)
    write(tmp_path / "n.onnx", GELU)
    np.save(tmp_path / "x.npy", np.zeros((1, 4), np.float32))
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.splitlines()[-1].startswith("mosaic-deploy: ")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.onnx", "n.onnx", "x.npy"]
