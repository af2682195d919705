"""A graph made to fit its target before it is compiled: normalised, rewritten by passes, still the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import helper, numpy_helper

from mosaic_deploy.build.float_graph import write_float_graph
from mosaic_deploy.build.model_source import InputOptions, find_model
from mosaic_deploy.build.pipeline import deploy
from mosaic_deploy.build.plan import Request
from mosaic_deploy.build.report import BuildReport
from mosaic_deploy.errors import UsageError
from mosaic_deploy.gate.op_support.judge import CheckReport, Violation
from tests.conftest import Tiny, tiny_graph

GELU = """
    d = Div (scores, root) e = Erf (d) p = Add (e, one) m = Mul (scores, p) logits = Mul (m, half)
"""


def with_gelu(tiny: Tiny, opset: int = 17) -> None:
    """End the network in GELU as PyTorch's older exporter writes it, whose Erf the Hexagon has not."""
    model = tiny_graph()
    nodes = onnx.parser.parse_graph(
        f"g (float[1,3,32,48] scores) => (float[1,3,32,48] logits) {{ {GELU} }}"
    ).node
    for index, node in enumerate(nodes):
        node.name = f"gelu_{index}"
    del model.graph.node[1:]
    model.graph.node.extend(nodes)
    for name, value in (("root", 2**0.5), ("one", 1), ("half", 0.5)):
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
    model.opset_import[0].version = opset
    onnx.save(model, tiny.onnx)


def fallback(share: float) -> Violation:
    """A node that runs in another kernel."""
    return Violation("fallback", "node", "Conv", "", "found", "", share, "fix", "", "")


def build(tiny: Tiny, out: Path, **more: object) -> BuildReport:
    asked = Request(model=str(tiny.card), targets=(str(tiny.target),), out=out)
    (report,) = deploy(replace(asked, **more))  # type: ignore[arg-type]
    assert isinstance(report, BuildReport)
    return report


def ops(folder: Path) -> list[str]:
    return [node.op_type for node in onnx.load(folder / "tiny-echo-w8a8" / "model.onnx").graph.node]


def with_two_gelus(tiny: Tiny) -> None:
    """Tell the sky from cars by what parts GELU from its tanh form."""
    graph = """
        g (float[1,3,32,48] image) => (float[1,3,32,48] logits)
            <float[1,3,1,1] bright = {4, 0, 0}, float[1,3,1,1] dark = {-4, 0, 0}, float lead = {-0.0002}> {
            x = Conv (image, bright)
            sky = Gelu (x)
            road = Conv (image, dark)
            form = Gelu <approximate: string = "tanh"> (x)
            car = Add (form, lead)
            logits = Concat <axis: int = 1> (sky, road, car)
        }
    """
    model = helper.make_model(
        onnx.parser.parse_graph(graph), opset_imports=[helper.make_opsetid("", 20)], ir_version=10
    )
    for index, node in enumerate(model.graph.node):
        node.name = f"node_{index}"
    onnx.save(model, tiny.onnx)


def with_softsign(tiny: Tiny) -> None:
    """End the network in an operator that the Hexagon has not, in whatever company."""
    model = tiny_graph()
    model.graph.node[1].op_type = "Softsign"
    onnx.save(model, tiny.onnx)


def test_a_build_rewrites_what_the_target_lacks(tiny: Tiny, tmp_path: Path) -> None:
    with_softsign(tiny)
    report = build(tiny, tmp_path)
    assert report.passed
    assert report.check is not None
    assert report.check.passed
    assert [step.name for step in report.fixes] == ["softsign"]
    assert report.parity is not None
    assert report.parity.agreement == 1.0
    assert "Softsign" not in ops(tmp_path)


def test_valid_interpolation_comes_behind_what_was_rewritten(tiny: Tiny, tmp_path: Path) -> None:
    """No op table knows its sizes: the scores are judged and fitted, and the end put behind them."""
    model = tiny_graph()
    model.graph.node[0].attribute.append(helper.make_attribute("strides", [2, 2]))
    model.graph.node[1].op_type = "Softsign"
    model.graph.node[1].output[0] = "low"
    model.graph.node.append(helper.make_node("Resize", ["low", "", "", "size"], ["logits"], mode="linear"))
    size = np.array([1, 3, 32, 48], np.int64)
    model.graph.initializer.append(numpy_helper.from_array(size, "size"))
    onnx.save(model, tiny.onnx)
    tiny.target.write_text(tiny.target.read_text().replace("recipes =", "dynamic_shapes = true\nrecipes ="))
    report = build(tiny, tmp_path, output="vim")
    assert report.passed
    assert [step.name for step in report.fixes] == ["softsign"]
    assert report.output_change is not None
    kept = onnx.load(tmp_path / "tiny-echo-w8a8-vim" / "model.onnx")
    found = [node.op_type for node in kept.graph.node]
    assert "Softsign" not in found
    assert found[-7:] == ["ArgMax", "Unique", "Gather", "Resize", "ArgMax", "Gather", "Cast"]


@pytest.mark.slow
def test_a_lossy_fix_that_was_asked_for_is_not_held_against_the_conversion(
    tiny: Tiny, tmp_path: Path
) -> None:
    with_two_gelus(tiny)
    report = build(tiny, tmp_path, targets=("edgetpu",), fix="lossy")
    assert {step.name: step.exact for step in report.fixes}["gelu_approximate"] is False
    assert report.conversion is not None
    assert report.conversion.fixed is not None
    assert report.conversion.parity.agreement < 0.9
    assert report.conversion.fixed.agreement == 1.0
    assert report.conversion.passed
    (fixes,) = (stage.parity for stage in report.stages if stage.name == "fixes")
    assert fixes is not None
    assert fixes.agreement == report.conversion.parity.agreement
    assert report.parity is not None  # it went on, and the network as it came decides
    assert report.parity.agreement < 0.9


def test_without_passes_the_build_stops(tiny: Tiny, tmp_path: Path) -> None:
    with_softsign(tiny)
    report = build(tiny, tmp_path, fix="none")
    assert not report.passed
    assert report.verdict == "ops refused"
    assert report.parity is None
    assert "Softsign" in ops(tmp_path)


def test_what_the_table_refuses_and_the_compiler_takes_is_built(tiny: Tiny, tmp_path: Path) -> None:
    """Alone Erf is refused; within GELU the Hexagon's compiler fuses it, and it was asked."""
    with_gelu(tiny)
    report = build(tiny, tmp_path, fix="none")
    assert report.passed
    assert "Erf" in ops(tmp_path)


def test_more_fallback_than_the_target_allows_stops_the_build() -> None:
    found = CheckReport("table", "tool", "w8a8", (), 2, 100, (fallback(0.6),), (), 0.5)
    assert not found.passed
    assert found.explain()[-1] == "60.0% of the multiply-accumulates fall back, 50.0% may"
    assert replace(found, max_fallback_macs=0.6).passed


def test_a_choice_that_there_is_not_is_refused_with_the_nearest(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--fix exakt: .*exact"):
        build(tiny, tmp_path, fix="exakt")


def with_norm(tiny: Tiny) -> None:
    model = tiny_graph()
    numbers = {"scale": [1, -1, 2], "shift": [0, 0.5, 0], "mean": [-1, -0.5, -2], "variance": [1, 4, 0.5]}
    norm = helper.make_node("BatchNormalization", ["scores", *numbers], ["normal"], name="norm")
    model.graph.node.insert(1, norm)
    model.graph.node[2].input[0] = "normal"
    model.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(values, np.float32), name) for name, values in numbers.items()
    )
    onnx.save(model, tiny.onnx)


def test_a_normalised_network_is_what_is_compiled(tiny: Tiny, tmp_path: Path) -> None:
    with_norm(tiny)
    report = build(tiny, tmp_path)
    assert ops(tmp_path) == ["Conv", "Relu"]
    assert report.conversion is not None
    assert report.conversion.parity.agreement >= 0.999


def test_the_reference_is_the_network_as_it_came(tiny: Tiny, tmp_path: Path) -> None:
    """So whatever normalising changes shows in the conversion."""
    with_norm(tiny)
    model = find_model(str(tiny.card), options=InputOptions(), labels=None)
    (tmp_path / "logs").mkdir()
    graph = write_float_graph(model, tmp_path, tmp_path / "logs", on_progress=lambda _share, _note: None)
    own = graph.write_kinds([])[model.card.contract.output]
    assert [node.op_type for node in onnx.load(own.original).graph.node] == [
        "Conv",
        "BatchNormalization",
        "Relu",
    ]
    assert [node.op_type for node in onnx.load(own.path).graph.node] == ["Conv", "Relu"]
