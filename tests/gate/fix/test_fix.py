"""Fixes: awkward graphs pass the check afterwards, compute the same, and a pass that lies is withdrawn."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import numpy as np
import onnx
import pytest

from mosaic_deploy.errors import ModelError, ToolError
from mosaic_deploy.gate.fix import fix as fixing
from mosaic_deploy.gate.fix import pass_search
from mosaic_deploy.gate.fix.fix import Recheck, fix, fixable
from mosaic_deploy.gate.fix_report import FixReport
from mosaic_deploy.gate.op_support.judge import check
from mosaic_deploy.gate.op_support.load import load_table
from mosaic_deploy.gate.op_support.tables import OpTable
from mosaic_deploy.graph.passes import PASSES, Applied, Pass, Site, apply, ordered
from mosaic_deploy.specs.precision import Precision
from tests.graph.awkward_graphs import se_block, unique, vit_block
from tests.graph.passes.agreement import image
from tests.workers.jobs_that_fail import segfault


@pytest.fixture(scope="module")
def htp() -> OpTable:
    return load_table("qnn-htp")


def failing(report: FixReport) -> set[str]:
    return {v.op for v in report.after.violations if v.level in ("silent-wrong", "unsupported")}


@pytest.mark.parametrize("precision", ["float", "w8a8", "w8a16"])
@pytest.mark.parametrize(
    ("model", "device", "before"),
    [
        pytest.param(se_block(), "v68", {"float": False, "w8a8": True, "w8a16": True}, id="se-v68"),
        pytest.param(se_block(), "v75", {"float": True, "w8a8": True, "w8a16": True}, id="se-v75"),
        pytest.param(vit_block(), "v68", {"float": False, "w8a8": False, "w8a16": False}, id="vit-v68"),
        pytest.param(vit_block(), "v75", {"float": False, "w8a8": False, "w8a16": False}, id="vit-v75"),
    ],
)
def test_the_awkward_zoo_passes_afterwards(
    htp: OpTable, model: onnx.ModelProto, device: str, before: dict[Precision, bool], precision: Precision
) -> None:
    fixed, report = fix(model, table=htp, precision=precision, devices=(device,), recheck=Recheck(random=1))
    assert report.before.passed is before[precision]
    assert report.passed, [str(v) for v in report.after.violations]
    assert report.after == check(fixed, table=htp, precision=precision, devices=(device,))
    assert not report.withdrawn
    again, nothing = fix(fixed, table=htp, precision=precision, devices=(device,))
    assert again is fixed
    assert nothing.steps == ()
    for step in report.steps:
        assert step.output_error is not None
        assert step.output_error <= (1e-4 if step.exact else 2e-2)


def test_a_dynamic_unique_stays_unsupported(htp: OpTable) -> None:
    model = unique()
    fixed, report = fix(model, table=htp, precision="w8a8", recheck=Recheck())
    assert fixed is model
    assert report.steps == ()
    assert not report.passed
    assert "Unique" in failing(report)
    assert "end the network in front of it" in next(
        v.fix for v in report.after.violations if v.op == "Unique"
    )
    assert not fixable("Unique")
    assert fixable("Erf")
    assert not fixable("acme.HardSwish")


def test_no_pass_is_tried_on_the_same_model_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple[str, bytes, frozenset[str]]] = []

    def counted(step: Pass, model: onnx.ModelProto, *, wanted: Collection[str]) -> Applied:
        tried.append((step.name, model.SerializeToString(deterministic=True), frozenset(wanted)))
        return apply(step, model, wanted=wanted)

    monkeypatch.setattr(pass_search, "apply", counted)
    _, report = fix(vit_block(), table=load_table("edgetpu"), precision="w8a8", recheck=Recheck(random=1))
    assert not report.passed  # so that longer ways were tried too
    assert len(tried) > 20
    assert len(set(tried)) == len(tried)
    tried.clear()
    monkeypatch.setattr(pass_search, "_HELD_BYTES", -1)
    assert (
        fix(vit_block(), table=load_table("edgetpu"), precision="w8a8", recheck=Recheck(random=1))[1]
        == report
    )
    assert len(set(tried)) < len(tried)


def broken_erf(site: Site) -> bool:
    return site.replace_with(site.op("Tanh", site.x))


BROKEN = Pass(name="broken", summary="Erf -> Tanh", anchors=("Erf",), rewrite=broken_erf)


def lone_erf() -> onnx.ModelProto:
    return image("a = Erf(image) y = Relu(a)")


def test_a_broken_pass_is_withdrawn(htp: OpTable) -> None:
    model = lone_erf()
    fixed, report = fix(model, table=htp, precision="w8a8", recheck=Recheck(), passes=[BROKEN])
    assert fixed is model
    assert report.steps == ()
    assert not report.passed
    assert len(report.withdrawn) == 1
    assert report.withdrawn[0].startswith("broken: 'a' differs by ")
    assert fix(model, table=htp, precision="w8a8", passes=[BROKEN])[1].passed, "it would have been taken"


def test_another_pass_steps_in_for_a_broken_one(htp: OpTable) -> None:
    _, report = fix(
        lone_erf(), table=htp, precision="w8a8", recheck=Recheck(), passes=ordered([BROKEN, *PASSES])
    )
    assert [step.name for step in report.steps] == ["erf"]
    assert len(report.withdrawn) == 1
    assert not report.exact
    assert 1e-5 < (report.steps[0].node_error or 0) < 1e-3


@pytest.mark.parametrize(
    ("moves", "factor", "kept"),
    [
        pytest.param(False, 1 + 1e-6, True, id="rounding"),
        pytest.param(False, 1 + 1e-3, False, id="more-than-rounding"),
        pytest.param(True, 1.0, True, id="same-bits"),
        pytest.param(True, 1 + 1e-6, False, id="other-bits"),
    ],
)
def test_the_tolerance_can_fail(htp: OpTable, moves: bool, factor: float, kept: bool) -> None:
    def scaled(site: Site) -> bool:
        return site.replace_with(site.op("Mul", site.x, site.number(-factor)))

    step = Pass(name="scaled", summary="", anchors=("Neg",), rewrite=scaled, bit_exact=moves)
    model = image("a = Reshape(image, k) b = Neg(a) y = Reshape(b, e)", k=[1, 2, 2, 6, 8], e=[1, 4, 6, 8])
    _, report = fix(model, table=htp, precision="float", recheck=Recheck(), passes=[step])
    assert report.passed is kept
    assert bool(report.withdrawn) is not kept


def test_a_pass_that_gives_infinities_is_withdrawn_even_if_lossy(htp: OpTable) -> None:
    def infinite(site: Site) -> bool:
        return site.replace_with(site.op("Div", site.x, site.number(0)))

    step = Pass(name="infinite", summary="", anchors=("Erf",), rewrite=infinite, exact=False)
    _, report = fix(lone_erf(), table=htp, precision="w8a8", recheck=Recheck(), passes=[step])
    assert "no longer finite" in report.withdrawn[0]


def test_a_pass_that_makes_no_sound_graph_is_not_taken(htp: OpTable) -> None:
    def unsound(site: Site) -> bool:
        return site.replace_with(site.op("Reshape", site.x, site.sizes([7])))

    step = Pass(name="unsound", summary="", anchors=("Erf",), rewrite=unsound)
    assert fix(lone_erf(), table=htp, precision="w8a8", passes=[step])[1].steps == ()


def test_only_what_the_table_objects_to_changes(htp: OpTable) -> None:
    model = image(
        'a = Resize <mode = "nearest", nearest_mode = "floor"> (image, , , s) '
        'b = Resize <mode = "linear"> (image, , , s) y = Add(a, b)',
        s=[1, 4, 12, 16],
    )
    fixed, report = fix(model, table=htp, precision="w8a8", recheck=Recheck())
    assert report.passed
    assert [step.nodes for step in report.steps] == [("a",)]
    assert [n for n in fixed.graph.node if n.output[0] == "b"] == [
        n for n in model.graph.node if n.output[0] == "b"
    ]


def test_two_passes_may_be_needed(htp: OpTable) -> None:
    model = image("a = Reshape(image, k) b = Celu(a) y = Reshape(b, e)", k=[1, 2, 2, 6, 8], e=[1, 4, 6, 8])
    _, report = fix(model, table=htp, precision="w8a8", recheck=Recheck())
    assert report.passed
    assert {step.name for step in report.steps} == {"low_rank_unary", "celu"}


def test_real_inputs_are_run_too(htp: OpTable, tmp_path: Path) -> None:
    path = tmp_path / "image.npy"
    np.save(path, np.full((1, 4, 6, 8), 0.7, np.float32))

    def one_more_at_0_7(site: Site) -> bool:
        same = site.op("Cast", site.op("Equal", site.x, site.number(0.7)), to=1)
        below = site.op("Add", site.op("Abs", site.x), site.number(1))
        return site.replace_with(site.op("Add", site.op("Div", site.x, below), same))

    sly = Pass(name="sly", summary="", anchors=("Softsign",), rewrite=one_more_at_0_7)
    model = image("a = Relu(image) b = Softsign(a) y = Abs(b)")
    _, report = fix(model, table=htp, precision="float", recheck=Recheck(), passes=[sly])
    assert [step.name for step in report.steps] == ["sly"]
    _, report = fix(model, table=htp, precision="float", recheck=Recheck((path,)), passes=[sly])
    assert report.steps == ()
    assert len(report.withdrawn) == 1


def test_a_model_that_cannot_run_is_said(htp: OpTable) -> None:
    model = image("a = Erf(image) b = acme.Magic(a) y = Relu(b)", out="float[1,4,6,8] y")
    with pytest.raises(ModelError, match="ONNX Runtime does not run the graph"):
        fix(model, table=htp, precision="w8a8", recheck=Recheck())


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        pytest.param("compare", segfault, "re-check of pass erf", id="crash"),
        pytest.param("TIMEOUT_S", 0.05, "re-check of pass erf", id="time"),
        pytest.param("MEMORY_BYTES", 1 << 20, "re-check of pass erf", id="memory"),
    ],
)
def test_a_re_check_that_dies_is_one_line(
    htp: OpTable, monkeypatch: pytest.MonkeyPatch, name: str, value: object, words: str
) -> None:
    monkeypatch.setattr(fixing, name, value)
    with pytest.raises(ToolError, match=words) as caught:
        fix(lone_erf(), table=htp, precision="w8a8", recheck=Recheck())
    assert "\n" not in str(caught.value)


def test_the_report_as_json(htp: OpTable) -> None:
    _, report = fix(lone_erf(), table=htp, precision="w8a8", recheck=Recheck())
    found = json.loads(json.dumps(report.to_json()))
    assert found["passed"] is True
    assert found["exact"] is False
    assert found["before"]["passed"] is False
    assert found["steps"][0]["name"] == "erf"
    assert found["steps"][0]["changes"] == 1
    assert found["steps"][0]["nodes"] == ["a"]
    assert found["withdrawn"] == []


def test_passes_have_unique_names_and_find_theirs() -> None:
    names = [step.name for step in PASSES]
    assert len(set(names)) == len(names)
    for step in PASSES:
        assert step.summary
        assert all(names.index(other) < names.index(step.name) for other in step.requires)
        assert not (step.bit_exact and not step.exact)


def test_every_pass_has_a_test_and_a_line_in_the_reference() -> None:
    root = Path(__file__).resolve().parents[3]
    page = (root / "docs" / "reference" / "passes.md").read_text(encoding="utf-8")
    for step in PASSES:
        assert (root / "tests" / "graph" / "passes" / f"test_{step.name}.py").is_file()
        assert f"| `{step.name}` | {step.summary.replace('|', '')} |" in page


def test_no_runtime_is_loaded() -> None:
    code = (
        "import sys; import mosaic_deploy.gate.fix.fix;"
        "print(*({'torch', 'onnxruntime', 'openvino', 'tensorflow', 'onnx'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == ""
