import io
import json
from dataclasses import replace

import numpy as np
import pytest

from mosaic_deploy.accuracy.parity import ParityReport, measure
from mosaic_deploy.artifact.manifest import Entry
from mosaic_deploy.backends.protocol import Step
from mosaic_deploy.build.kept_report import report_text
from mosaic_deploy.build.report import BuildReport, Conversion, Failure, exit_code, explain, to_json
from mosaic_deploy.build.report_words import given_ranges
from mosaic_deploy.build.result_table import table
from mosaic_deploy.gate.fix_report import FixStep
from mosaic_deploy.gate.op_support.judge import CheckReport, Violation
from mosaic_deploy.specs.labels import LabelSpace

LABELS = LabelSpace(("sky", "road"), ((0, 0, 0), (1, 1, 1)))
CHECK = CheckReport("qnn-htp", "onnxruntime-qnn", "w8a8", ("v75",), 3, 100, ())
REFUSAL = Violation("unsupported", "the_erf", "Erf", "erf", "operator Erf", "", 0.0, "use Gelu", "", "")


def parity(wrong: int) -> ParityReport:
    """100 pixels, half of each class, the first ``wrong`` of them mistaken by the candidate."""
    truth = np.repeat(np.array([0, 1], np.uint8), 50).reshape(10, 10)
    candidate = truth.copy()
    candidate.ravel()[:wrong] = 1
    return measure([(truth, truth, candidate)], labels=LABELS, dataset="toy", tolerance=0.05)


def built(**variants: ParityReport) -> BuildReport:
    return BuildReport(
        model="mosaic",
        target="dsp",
        recipe="w8a8",
        output="logits",
        folder="build/x",
        artifacts=(
            Entry("v75/a.bin", "context-binary", 2 * 2**20, "0" * 64, ships=True),
            Entry("a", "log", 9, "1" * 64),
        ),
        check=CHECK,
        output_change=None,
        conversion=None,
        variants=variants,
        seconds=12.5,
        facts={},
        steps=(Step("simulate v75", "onnxruntime-qnn", "2.7.0", 12.0, 2**28),),
    )


def test_the_worst_variant_decides() -> None:
    report = built(v68=parity(20), v75=parity(0))
    assert report.variants["v75"].passed
    assert report.parity is report.variants["v68"]
    assert not report.passed
    assert any("v68 +0." in line and "v75 +0.0000" in line for line in report.explain())
    said = json.loads(report_text(report))["summary"]["lines"]
    assert any("parity failed" in line for line in said)
    assert not any("per variant" in line for line in said)  # the page has a table of them
    assert built(v68=parity(1), v75=parity(2)).passed


def test_the_page_is_not_told_in_lines_what_auto_tried_but_what_it_must_say_of_that() -> None:
    attempt = {
        "method": "percentile", "lifted": 0.0, "tensors": 0, "conversions": 0, "predicted": None,
        "agreement": 0.9, "good": False, "cost": None, "size": 9, "error": "",
    }  # fmt: skip
    search = {
        "goal": 0.995, "held_out": 4, "lifts_to": "16 bits", "cost_unit": "seconds", "attempts": [attempt],
        "chosen": 0, "reached": False, "biases": {"kept": False, "why": "too few images", "tried": []},
    }  # fmt: skip
    report = replace(built(v75=parity(0)), facts={"search": search})
    said = json.loads(report_text(report))["summary"]["lines"]
    assert [line.split(":")[1].strip() for line in report.explain()[:2]] == [
        "8 bits throughout, ranges by percentile",
        "bias correction",
    ]
    assert [line.split(":")[1].strip()[:15] for line in said] == ["bias correction", "nothing reached"]


def test_nothing_compiled_never_passes() -> None:
    report = replace(built(), check=replace(CHECK, violations=(REFUSAL,)))
    assert report.parity is None
    assert not report.passed
    assert any("the_erf" in line and "use Gelu" in line for line in report.explain())
    assert not replace(report, check=CHECK).passed
    assert to_json([])["passed"] is False


@pytest.mark.parametrize("report", [built(v75=parity(1)), built()], ids=["measured", "refused"])
def test_json_and_table_say_the_same(report: BuildReport) -> None:
    from rich.console import Console

    record = json.loads(json.dumps(to_json([report]), allow_nan=False))
    assert record["passed"] == report.passed
    assert (record["builds"][0]["parity"] is None) == (report.parity is None)
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(table([report]))
    shown = console.export_text()
    assert ("passed" in shown) == report.passed
    assert ("2.00 MiB" in shown) == (report.parity is not None)
    assert "mosaic" in shown


@pytest.mark.parametrize(
    ("untrained", "passes"), [(False, False), (True, True)], ids=["trained", "untrained"]
)
def test_random_weights_are_let_off_more(untrained: bool, passes: bool) -> None:
    almost = replace(parity(0), agreement=0.9995)
    assert Conversion(almost, "float32", untrained).passed is passes
    assert not Conversion(replace(almost, agreement=0.998), "float32", untrained).passed


def test_a_conversion_that_moves_pixels_fails_though_parity_holds() -> None:
    moved = Conversion(parity(1), "float32")
    assert moved.parity.passed
    assert not moved.passed
    assert Conversion(parity(1), "bfloat16").passed
    assert not Conversion(parity(20), "bfloat16").passed
    report = replace(built(v75=parity(0)), conversion=moved)
    assert not report.passed
    assert report.verdict == "conversion failed"
    assert any("1.00% of the pixels" in line for line in report.explain())
    assert to_json([report])["passed"] is False


def test_after_lossy_fixes_the_conversion_alone_is_judged() -> None:
    kept = Conversion(parity(1), "float32", fixed=parity(0))
    assert kept.passed
    assert kept.to_json()["agreement_with_fixed"] == 1.0
    broken = Conversion(parity(0), "float32", fixed=parity(1))
    assert not broken.passed
    report = replace(built(v75=parity(0)), conversion=broken)
    assert report.verdict == "conversion failed"
    assert any("1.00% of the pixels" in line for line in report.explain())


def test_losses_add_up_to_the_drop() -> None:
    report = replace(
        built(v75=parity(4)), conversion=Conversion(parity(1), "bfloat16"), output_change=parity(2)
    )
    losses, total = report.losses, report.parity
    assert losses is not None
    assert total is not None
    assert losses.output == parity(2).drop > losses.conversion == parity(1).drop > 0
    assert losses.output + losses.conversion + losses.quantisation == pytest.approx(total.drop)
    assert built().losses is None


FAILURE = Failure("mosaic", "gpu", "fp16", "no Vulkan driver: apt-get install it", 3)


@pytest.mark.parametrize(
    ("results", "code"),
    [
        ([built(v75=parity(0))], 0),
        ([built(v75=parity(20))], 1),
        ([built(v75=parity(0)), FAILURE], 3),
        ([FAILURE, built(v75=parity(20))], 1),
        ([FAILURE, replace(FAILURE, exit_code=1)], 1),
    ],
    ids=["passed", "gate", "missing", "gate-and-missing", "refused-and-missing"],
)
def test_exit_codes(results: list[BuildReport | Failure], code: int) -> None:
    assert exit_code(results) == code
    assert to_json(results)["passed"] is (code == 0)


def test_a_failure_stands_in_the_table_and_below_it() -> None:
    from rich.console import Console

    console = Console(width=160, record=True, file=io.StringIO())
    console.print(table([built(v75=parity(0)), FAILURE]))
    assert "no verdict" in console.export_text()
    assert explain([FAILURE]) == ["mosaic on gpu: no Vulkan driver: apt-get install it"]
    assert to_json([FAILURE])["failures"] == [FAILURE.to_json()]


def constant() -> ParityReport:
    road = np.ones((10, 10), np.uint8)
    return measure([(None, road, road)], labels=LABELS, dataset="toy", tolerance=0.05)


def test_one_class_everywhere_is_undecided_and_no_pass() -> None:
    report = built(v75=constant())
    assert (report.passed, report.verdict, exit_code([report])) == (False, "undecided", 4)
    assert "says nothing, the float network gives class road on 100 % of the pixels" in report.explain()[-1]
    assert "nan" not in " ".join(report.explain())
    assert report.to_json()["undecided"]
    assert exit_code([report, built(v75=parity(20))]) == 1
    assert exit_code([report, built(v75=parity(0))]) == 4
    assert exit_code([report, Failure("m", "t", "r", "no tool", 3)]) == 3


def test_labels_that_are_all_ignored_end_without_nan() -> None:
    truth, ids = np.full((10, 10), 255, np.uint8), np.zeros((10, 10), np.uint8)
    nothing = measure([(truth, ids, ids)], labels=LABELS, dataset="toy", tolerance=0.05)
    report = replace(built(), conversion=Conversion(nothing, "float32"))
    assert (report.verdict, exit_code([report])) == ("undecided", 4)
    assert "nan" not in " ".join(report.explain())


def test_fixes_and_fallback_are_told() -> None:
    step = FixStep(
        "gelu_tanh", "Gelu by tanh", exact=False, nodes=("a", "b"), node_error=0.01, output_error=0.02
    )
    facts = {"fallback": {"operators": {"HARD_SWISH": 21}, "macs_share": 0.0, "time_share": 0.13}}
    report = replace(built(v75=parity(0)), fixes=(step,), facts=facts)
    lines = report.explain()
    assert "fixed by gelu_tanh (lossy, 0.02 of the range at the output): 2 nodes" in lines
    assert any("21 HARD_SWISH, 0.0% of the multiply-accumulates, 13.0% of the time" in line for line in lines)
    assert report.to_json()["fallback"] == facts["fallback"]


def test_a_lost_class_is_named_where_the_drop_alone_would_pass() -> None:
    truth = np.zeros((10, 10), np.uint8)
    truth[0, :3] = 1
    seen = np.zeros((10, 10), np.uint8)
    seen[0, 0] = 1
    report = built(v75=measure([(None, truth, seen)], labels=LABELS, dataset="toy", tolerance=0.05))
    (line,) = [line for line in report.explain() if line.startswith("parity failed")]
    assert "lost against the float network" in line
    assert "road (IoU 0.33)" in line
    assert "sky" not in line


def test_the_method_that_trials_told_is_said_with_what_each_gave() -> None:
    tried = {"percentile": {"flips": 0.02, "lost": 0.01}, "entropy": {"flips": 0.01, "lost": 0.002}}
    (said,) = given_ranges({"tensors": 9, "given": 0, "method": "entropy", "tried": tried})
    gave = "percentile 2.00%, entropy 1.00%"
    assert said == f"ranges: by entropy; pixels with another class on images held out: {gave}"
    assert given_ranges({"tensors": 9, "given": 0}) == []
