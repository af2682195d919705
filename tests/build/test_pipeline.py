import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from mosaic_deploy.build.pipeline import deploy
from mosaic_deploy.build.plan import Request
from mosaic_deploy.build.report import BuildReport, Failure, exit_code, to_json
from mosaic_deploy.errors import DataError, ModelError, SpecError, ToolError, UsageError
from mosaic_deploy.files import sha256_of
from mosaic_deploy.specs.fields import OutputKind
from tests.conftest import Tiny


def request(tiny: Tiny, out: Path) -> Request:
    return Request(model=str(tiny.card), targets=(str(tiny.target),), out=out)


def silent(stage: str, share: float, note: str) -> None:
    assert 0 <= share <= 1


def left_in(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir()) if folder.exists() else []


def test_one_build_from_card_to_verdict(tiny: Tiny, tmp_path: Path) -> None:
    stages: dict[str, float] = {}
    (report,) = deploy(request(tiny, tmp_path / "out"), progress=lambda s, p, n: stages.update({s: p}))
    assert isinstance(report, BuildReport)
    assert report.passed
    assert report.parity is not None
    assert (report.parity.dataset, report.parity.images) == ("folder", 3)
    assert report.parity.reference > 0.95
    assert report.parity.agreement == 1.0
    assert stages.keys() >= {"decode", "export", "check", "build", "reference", "run", "parity"}
    assert set(stages.values()) == {1.0}
    folder = tmp_path / "out" / "tiny-echo-w8a8"
    assert left_in(tmp_path / "out") == ["tiny-echo-w8a8"]
    assert left_in(folder) == [
        "check.json", "echo.onnx", "golden", "integrate.md", "logs", "manifest.json", "model.onnx",
        "parity.json", "preview.webp", "report.html", "report.json", "views",
    ]  # fmt: skip
    page = (folder / "report.html").read_text()
    assert "<title>tiny on echo: Passed</title>" in page
    assert "Largest loss" in page
    for entry in report.artifacts:
        assert sha256_of(folder / entry.path) == entry.sha256
        assert (folder / entry.path).stat().st_size == entry.bytes
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["contract"]["height"] == 32
    assert manifest["passed"] is True
    record = json.loads(json.dumps(to_json([report]), allow_nan=False))
    assert record["passed"] is True
    assert set(record["builds"][0]) >= {
        "model",
        "target",
        "recipe",
        "passed",
        "artifacts",
        "check",
        "parity",
        "steps",
    }


def test_a_wrong_network_is_a_verdict_not_an_error(tiny: Tiny, tmp_path: Path) -> None:
    wrong = replace(request(tiny, tmp_path / "out"), targets=(str(tiny.target_with("wrong")),))
    (report,) = deploy(wrong, progress=silent)
    assert isinstance(report, BuildReport)
    assert not report.passed
    assert report.parity is not None
    assert report.parity.drop > 0.5
    assert (
        json.loads((tmp_path / "out" / "tiny-wrong-w8a8" / "parity.json").read_text())["main"]["passed"]
        is False
    )


@pytest.mark.slow
def test_a_reference_whose_best_scores_tie_never_passes(tiny: Tiny, tmp_path: Path) -> None:
    import onnx

    model = onnx.load(tiny.onnx)
    weights = onnx.numpy_helper.to_array(model.graph.initializer[0]).copy()
    weights[2] = weights[1]  # a road is a car as much
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weights, "w"))
    onnx.save(model, tiny.onnx)
    (report,) = deploy(request(tiny, tmp_path / "out"), progress=silent)
    assert isinstance(report, BuildReport)
    assert report.parity is not None
    assert report.parity.agreement == 1.0
    assert not report.passed
    assert "best scores tie" in report.undecided
    assert exit_code([report]) == 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "says"), [("crash", "SIGSEGV"), ("full", "disk is full|no space")], ids=["crash", "full-disk"]
)
def test_a_failing_tool_leaves_nothing(tiny: Tiny, tmp_path: Path, fault: str, says: str) -> None:
    bad = replace(request(tiny, tmp_path / "out"), targets=(str(tiny.target_with(fault)),))
    with pytest.raises(ToolError, match=f"(?i){says}") as caught:
        deploy(bad, progress=silent)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
    if "; log: " in str(caught.value):
        assert Path(str(caught.value).rpartition("; log: ")[2]).is_file()
    else:
        assert fault == "full"


def test_an_op_that_the_target_lacks_stops_the_build(tiny: Tiny, tmp_path: Path) -> None:
    import onnx

    model = onnx.load(tiny.onnx)
    relu = model.graph.node[1]
    relu.op_type, relu.name = "Erf", "the_erf"
    onnx.save(model, tiny.onnx)
    (report,) = deploy(request(tiny, tmp_path / "out"), progress=silent)
    assert isinstance(report, BuildReport)
    assert not report.passed
    assert report.parity is None
    folder = tmp_path / "out" / "tiny-echo-w8a8"
    violations = json.loads((folder / "check.json").read_text())["violations"]
    refused = [(v["node"], v["op"]) for v in violations if v["level"] == "unsupported"]
    assert refused == [("the_erf", "Erf")]
    assert not (folder / "echo.onnx").exists()


def test_unknown_names_come_with_the_nearest(tiny: Tiny, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for wrong, error, says in (
        (Request("mosiac", ("dsp",), out), SpecError, "did you mean 'mosaic'"),
        (Request("mosaic", ("dps",), out), SpecError, "did you mean 'dsp'"),
        (replace(request(tiny, out), recipe="w8a9"), SpecError, "did you mean 'w8a"),
        (replace(request(tiny, out), recipe="w8a16"), UsageError, "not for target echo"),
        (replace(request(tiny, out), data="camvit"), DataError, "did you mean 'camvid'"),
        (replace(request(tiny, out), tolerance=2.0), UsageError, "between 0 and 1"),
        (replace(request(tiny, out), images=0), UsageError, "at least 1"),
        (replace(request(tiny, out), targets=()), UsageError, "name a target"),
        (
            replace(request(tiny, out), output=cast("OutputKind", "logit")),
            UsageError,
            "did you mean 'logits'",
        ),
        (replace(request(tiny, out), output="lowres"), ModelError, "does not end in a Resize"),
        (replace(request(tiny, out), options={"arch": "73"}), SpecError, "no option 'arch'"),
    ):
        with pytest.raises(error, match=says):
            deploy(wrong, progress=silent)
    assert not out.exists()


def test_calibrating_on_what_is_measured_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    shutil.copytree(tiny.data / "val", tmp_path / "copy")
    shutil.copy(tiny.data / "classes.txt", tmp_path / "copy")
    twice = replace(request(tiny, tmp_path / "out"), calibration=f"folder:{tmp_path / 'copy'}")
    with pytest.raises(DataError, match="are also in the validation set"):
        deploy(twice, progress=silent)
    assert not (tmp_path / "out").exists()


def test_classes_of_model_and_data_must_fit(tiny: Tiny, tmp_path: Path) -> None:
    (tiny.data / "classes.txt").write_text("sky\nroad\n")
    with pytest.raises(DataError, match="folder: has 2 classes, the network 3"):
        deploy(request(tiny, tmp_path / "out"), progress=silent)


@pytest.mark.slow
def test_a_class_map_is_made_in_the_graph(tiny: Tiny, tmp_path: Path) -> None:
    asked = replace(request(tiny, tmp_path / "out"), output="classmap")
    (report,) = deploy(asked, progress=silent)
    assert isinstance(report, BuildReport)
    assert report.passed
    assert report.output == "classmap"
    assert report.output_change is not None
    assert report.losses is not None
    folder = tmp_path / "out" / "tiny-echo-w8a8-classmap"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["contract"]["output"] == "classmap"
    assert manifest["facts"]["output"]["dtype"] == "int32"


@pytest.mark.slow
def test_several_targets_go_on_without_the_one_that_fails(tiny: Tiny, tmp_path: Path) -> None:
    names = ("good", "wrong", "crash")
    targets = tuple(str(tiny.target_with(fault)) for fault in names[1:])
    stages: set[str] = set()
    results = deploy(
        replace(request(tiny, tmp_path / "out"), targets=(str(tiny.target), *targets)),
        progress=lambda s, p, n: stages.add(s),
    )
    good, wrong, crash = results
    assert isinstance(good, BuildReport)
    assert good.passed
    assert isinstance(wrong, BuildReport)
    assert wrong.verdict == "parity failed"
    assert isinstance(crash, Failure)
    assert "SIGSEGV" in crash.error
    assert exit_code(results) == 1
    assert exit_code([good, crash]) == 3
    assert {"export", "reference", "echo build", "wrong parity", "crash build"} <= stages
    assert left_in(tmp_path / "out") == ["tiny-echo-w8a8", "tiny-wrong-w8a8"]


@pytest.mark.slow
def test_an_interrupt_ends_all_builds_and_leaves_nothing(tiny: Tiny, tmp_path: Path) -> None:
    hanging = tuple(str(tiny.target_with(fault)) for fault in ("hang", "none"))

    def interrupt(stage: str, share: float, note: str) -> None:
        if stage == "hang run":
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        deploy(replace(request(tiny, tmp_path / "out"), targets=hanging), progress=interrupt)
    assert "tiny-hang-w8a8" not in left_in(tmp_path / "out")
    assert not [name for name in left_in(tmp_path) if name.startswith(".mosaic-")]
    assert not [name for name in left_in(tmp_path / "out") if name.startswith(".")]
