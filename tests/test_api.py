"""The public API: its names, that it closes over itself, and that it works from its own names alone."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest

import mosaic_deploy as api
from mosaic_deploy.gate.fix.dry_run import by_passes
from mosaic_deploy.gate.op_support.tables import OpTable
from mosaic_deploy.gate.repository import Repository
from mosaic_deploy.gate.run import GateRequest, run_gate
from tests.conftest import Tiny
from tests.gate.gate_models import write

PUBLIC = [
    "Artifact", "BenchReport", "BenchRequest", "BuildReport", "CalibrationRequest", "CheckReport", "Contract",
    "DataError", "Diff", "DiffRequest", "Failure", "FileDataset", "FixReport", "FuzzReport", "FuzzRequest",
    "InputOptions",
    "LabelSpace", "ModelCard", "ModelError", "MosaicError", "ParityReport", "Prediction", "QuantRecipe",
    "RangesFile", "RefusedError", "Request", "Sample", "Sensitivity", "SpecError", "StageProgress", "Stated",
    "TargetSpec", "TargetVerdict", "ToolError", "UsageError", "Validated", "ValidationRequest", "Violation",
    "bench", "calibrate", "check", "compare", "contract_fuzz", "deploy", "diff", "fix", "load_spec",
    "open_artifact", "open_data", "predict", "read_model", "read_ranges", "sensitivity", "spec_names",
    "validate",
]  # fmt: skip

GELU = """c = Constant <value_float = 1.4142135> () one = Constant <value_float = 1.0> ()
    half = Constant <value_float = 0.5> ()
    a = Div (image, c) e = Erf (a) f = Add (e, one) h = Mul (image, f) y = Mul (h, half)"""


def pages() -> dict[str, Any]:
    return runpy.run_path(str(Path(__file__).parent.parent / "docs" / "generate_api.py"))


def test_the_public_names_are_these_and_all_there() -> None:
    assert api.__all__ == PUBLIC
    script = f"import sys, mosaic_deploy; [getattr(mosaic_deploy, n) for n in {PUBLIC}]; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"torch", "onnxruntime", "onnxruntime_qnn", "tensorflow", "openvino"}


def test_the_package_alone_loads_nothing() -> None:
    script = "import sys; before = set(sys.modules); import mosaic_deploy; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert {name for name in done.stdout.split() if name.startswith("mosaic_deploy")} == {"mosaic_deploy"}


def test_a_public_name_is_no_module_of_the_package() -> None:
    import mosaic_deploy.gate.api

    assert api.check is mosaic_deploy.gate.api.check
    folder = Path(api.__file__).parent
    assert not [name for name in PUBLIC if (folder / f"{name}.py").exists() or (folder / name).exists()]


def test_no_other_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'depoly'"):
        api.depoly  # noqa: B018


def test_every_class_that_the_api_shows_is_public_or_listed() -> None:
    module = pages()
    assert module["hidden"]([*module["public"]().values()]) == []
    shown = {module["home"](kind) for kind in module["shown"]([*module["public"]().values()])}
    assert {*module["PARTS"], *module["OPAQUE"]} <= shown, "listed, and shown nowhere"


def test_a_class_that_is_not_public_would_be_noticed() -> None:
    def wants(table: OpTable) -> None:
        """Take what nobody can make."""

    hidden = pages()["hidden"]
    assert "gate.op_support.tables.OpTable" in hidden([wants])
    assert hidden([api.TargetVerdict]) == ["gate.op_support.judge.Violation"], "behind TargetVerdict.items"
    assert hidden([api.TargetVerdict, api.Violation]) == []


def test_the_page_is_current() -> None:
    module = pages()
    page = module["PAGE"].read_text(encoding="utf-8")
    assert page == module["render"](), "run: uv run python docs/generate_api.py"
    assert [name for name in PUBLIC if f"| `{name}`" not in page and f"| `{name}(" not in page] == []


def test_from_a_file_to_a_fixed_model(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", GELU)
    verdict = api.check(path, target="dsp")
    assert (verdict.kind, verdict.passed) == ("supported after fixes", True)
    assert [item.violation.op for item in verdict.items if item.cured] == ["Erf"]
    model = api.read_model(path)
    before = model.SerializeToString()
    fixed, report = api.fix(model, target="dsp")
    assert model.SerializeToString() == before
    assert report.passed
    assert [step.name for step in report.steps] == ["gelu_fused"]
    again = api.check(fixed, target="dsp")
    assert (again.kind, again.passed) == ("supported", True)


def test_the_command_line_says_the_same(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", GELU)
    for target in ("dsp", "cpu"):
        request = GateRequest(models=(path,), targets=(target,), folder=tmp_path)
        report = run_gate(request, repository=Repository(tmp_path), fixer=by_passes)
        ((_, verdict),) = report.verdicts()
        again = api.check(str(path), target=target)
        assert (again.kind, again.items) == (verdict.kind, verdict.items)


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        pytest.param({"target": "dps"}, api.SpecError, "did you mean 'dsp'", id="target"),
        pytest.param(
            {"target": "dsp", "recipe": "w8a61"}, api.SpecError, "did you mean 'w8a16'", id="recipe"
        ),
        pytest.param({"target": "dsp", "recipe": "fp32"}, api.UsageError, "not for target dsp", id="other"),
    ],
)
def test_mistakes_are_answered(
    words: dict[str, Any], kind: type[api.MosaicError], message: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "m.onnx", GELU)
    for function in (api.check, api.fix):
        with pytest.raises(kind, match=message):
            function(path, **words)


def test_a_graph_is_read_by_the_rules_of_files() -> None:
    with pytest.raises(api.ModelError, match=r"^the model: ") as caught:
        api.check(onnx.ModelProto(), target="dsp")
    assert "tmp" not in str(caught.value)


def test_a_target_without_a_table_fixes_nothing(tiny: Tiny) -> None:
    text = tiny.target.read_text().replace('ops = "qnn-htp"\n', "")
    tiny.target.write_text(text)
    verdict = api.check(tiny.onnx, target=str(tiny.target))
    assert (verdict.kind, verdict.passed) == ("no table", False)
    with pytest.raises(api.UsageError, match="echo: has no operator table"):
        api.fix(tiny.onnx, target=str(tiny.target))


def test_an_input_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", GELU)
    with pytest.raises(api.UsageError, match=r"not an \.npy file"):
        api.fix(path, target="dsp", inputs=(path,))


@pytest.mark.slow
def test_from_a_build_to_a_benchmark(tiny: Tiny, tmp_path: Path) -> None:
    request = api.Request(model=str(tiny.card), targets=(str(tiny.target),), out=tmp_path / "out")
    (report,) = api.deploy(request)
    assert isinstance(report, api.BuildReport)
    assert report.passed
    assert isinstance(report.parity, api.ParityReport)
    folder = Path(report.folder)
    artifact = api.open_artifact(folder)
    assert isinstance(artifact, api.Artifact)
    assert (artifact.model, artifact.target, artifact.passed) == ("tiny", "echo", True)
    data = api.open_data(f"folder:{tiny.data}", split="val")
    maps = []
    for sample in data:
        found = api.predict(folder, sample.image)
        assert isinstance(found, api.Prediction)
        maps.append((sample.label, found.ids, found.ids))
    same = api.compare(maps, labels=data.labels, dataset=data.name, tolerance=0.0)
    assert (same.passed, same.images, same.drop) == (True, len(data), 0.0)
    worse = [(label, ids, 1 - ids.clip(0, 1)) for label, ids, _ in maps]
    assert not api.compare(worse, labels=data.labels, dataset=data.name, tolerance=0.1).passed
    times = api.bench(api.BenchRequest((folder,), runs=2, rounds=1, threads=1))
    assert isinstance(times, api.BenchReport)
    assert times.rows[0].timed.name == "tiny-echo-w8a8"


def test_specs_are_found_by_their_names() -> None:
    assert "dsp" in api.spec_names(api.TargetSpec)
    target = api.load_spec(api.TargetSpec, "dsp")
    recipe = api.load_spec(api.QuantRecipe, target.recipes[0])
    assert (target.name, recipe.name) == ("dsp", target.recipes[0])
    assert api.load_spec(api.ModelCard, "mosaic").contract.classes


def test_exit_codes_of_the_error_tree() -> None:
    from mosaic_deploy import errors

    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, errors.MosaicError)]
    codes = {kind.__name__: kind.exit_code for kind in kinds}
    assert codes == {
        "MosaicError": 2, "UsageError": 2, "SpecError": 2, "ModelError": 2, "RefusedError": 1,
        "DataError": 2, "ToolError": 3,
    }  # fmt: skip
    assert {kind.__name__ for kind in kinds} <= set(PUBLIC)
