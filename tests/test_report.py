import io
import json
from dataclasses import replace

import numpy as np
import pytest

from mosaic_deploy.artifact import Entry
from mosaic_deploy.backends import Step
from mosaic_deploy.check import CheckReport, Violation
from mosaic_deploy.datasets.samples import LabelSpace
from mosaic_deploy.parity import ParityReport, measure
from mosaic_deploy.report import BuildReport, table, to_json

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
    entries = (Entry("v75/a.bin", "context-binary", 2 * 2**20, "0" * 64), Entry("a", "log", 9, "1" * 64))
    steps = (Step("simulate v75", "onnxruntime-qnn", "2.7.0", 12.0, 2**28),)
    return BuildReport("mosaic", "dsp", "w8a8", "build/x", entries, CHECK, variants, 12.5, {}, steps)


def test_the_worst_variant_decides() -> None:
    report = built(v68=parity(20), v75=parity(0))
    assert report.variants["v75"].passed
    assert report.parity is report.variants["v68"]
    assert not report.passed
    assert any("v68 +0." in line and "v75 +0.0000" in line for line in report.explain())
    assert built(v68=parity(1), v75=parity(2)).passed


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
    assert "2.0 MiB" in shown
    assert "mosaic" in shown
