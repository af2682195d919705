"""``check`` and ``targets`` as a person meets them: whole processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.check_program import run
from tests.gate.gate_models import ERF, GOOD, write

HEAVY = (
    "torch",
    "tensorflow",
    "onnxruntime",
    "openvino",
    "ai_edge_litert",
    "matplotlib",
    "rich",
    "onnxsim",
    "nncf",
    "PIL",
    "ssl",
    "http.client",
    "google.protobuf.json_format",
    "mosaic_deploy.specs.model_card",
)


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nets")
    write(folder / "good.onnx", GOOD)
    write(folder / "bad.onnx", ERF, names=("stem.relu", "stem.erf"))
    (folder / "broken.onnx").write_bytes(b"no model")
    return folder


@pytest.mark.parametrize(
    ("arguments", "code", "out", "err"),
    [
        pytest.param(["good.onnx", "--target", "dsp"], 0, "supported: 1 node", "", id="good"),
        pytest.param(["bad.onnx", "--target", "dsp", "--unknown", "fail"], 1, "stem.erf", "", id="bad"),
        pytest.param(["broken.onnx", "--target", "dsp"], 2, "", "not an ONNX file", id="broken"),
        pytest.param(["none.onnx", "--target", "dsp"], 2, "", "no such file", id="missing"),
        pytest.param(["good.onnx", "broken.onnx", "--target", "dsp"], 2, "good.onnx", "broken", id="both"),
        pytest.param(["good.onnx", "--target", "dps"], 2, "", "did you mean 'dsp'", id="target"),
        pytest.param(["good.onnx"], 2, "", "name a target", id="no-target"),
        pytest.param(["--target", "dsp"], 2, "", "name an ONNX file", id="no-model"),
        pytest.param(["good.onnx", "--target", "dsp", "--format", "srif"], 2, "", "'sarif'", id="format"),
        pytest.param(
            ["good.onnx", "--target", "dsp", "--max-fallback-macs", "5"], 2, "", "not between", id="5"
        ),
    ],
)
def test_exit_codes_and_lines(arguments: list[str], code: int, out: str, err: str, nets: Path) -> None:
    done = run("check", *arguments, cwd=nets)
    assert done.returncode == code, done.stderr
    assert out in done.stdout
    assert bool(done.stdout) is bool(out)
    assert err in done.stderr
    assert all(line.startswith("mosaic-deploy: ") for line in done.stderr.splitlines())


def test_output_goes_to_a_file_whole(nets: Path, tmp_path: Path) -> None:
    place = tmp_path / "report.sarif"
    done = run("check", "bad.onnx", "--target", "dsp", "--format", "sarif", "--output", place, cwd=nets)
    assert (done.returncode, done.stdout) == (1, "")
    assert json.loads(place.read_text())["version"] == "2.1.0"
    assert [path.name for path in tmp_path.iterdir()] == ["report.sarif"]


def test_an_output_that_cannot_be_written_is_exit_2(nets: Path, tmp_path: Path) -> None:
    done = run("check", "good.onnx", "--target", "dsp", "--output", tmp_path / "no" / "x", cwd=nets)
    assert done.returncode == 2
    assert "cannot be written" in done.stderr


def test_diff_fails_only_on_what_is_new(nets: Path, tmp_path: Path) -> None:
    worse = write(tmp_path / "worse.onnx", "a = Erf (image) b = Mish (a) y = Erf (b)")
    same = run("check", "bad.onnx", "--target", "dsp", "--diff", nets / "bad.onnx", cwd=nets)
    new = run("check", worse, "--target", "dsp", "--diff", nets / "bad.onnx", cwd=nets)
    assert (same.returncode, new.returncode) == (0, 1)
    assert "unsupported (passes)" in same.stdout


def test_nothing_heavy_is_loaded(nets: Path) -> None:
    code = f"""
import sys
from mosaic_deploy.cli.app import main
sys.argv[1:] = ["check", "bad.onnx", "--target", "all", "--unknown", "fail", "--format", "sarif",
    "--output", "loaded.sarif"]
try:
    main()
except SystemExit as end:
    print(end.code, [name for name in {HEAVY} if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=nets, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "1 []\n"


def test_targets_lists_them_all(tmp_path: Path) -> None:
    done = run("targets", cwd=tmp_path)
    assert done.returncode == 0
    assert any(line.startswith("dsp ") and "qnn-htp" in line for line in done.stdout.splitlines())


def test_a_target_is_described_in_text_and_markdown(tmp_path: Path) -> None:
    text = run("targets", "dsp", "--op", "*", cwd=tmp_path).stdout
    assert "Every shape is known before the network runs." in text
    page = run("targets", "dsp", "--markdown", cwd=tmp_path).stdout
    kept = Path(__file__).resolve().parents[2] / "docs" / "reference" / "op-tables" / "qnn-htp.md"
    assert page == kept.read_text(encoding="utf-8")


def test_an_unknown_target_is_exit_2(tmp_path: Path) -> None:
    done = run("targets", "dps", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean 'dsp'" in done.stderr
