"""Recipe ``auto``: what decides, what is taken, and where nothing will do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mosaic_deploy.backends.protocol import MixedBackend
from mosaic_deploy.backends.registry import load_backend
from mosaic_deploy.build.auto import held_out, size_shown
from mosaic_deploy.build.auto_biases import BY_ITSELF
from mosaic_deploy.build.auto_choice import Attempt, cheapest, closest
from mosaic_deploy.build.auto_record import Record
from mosaic_deploy.build.pipeline import deploy
from mosaic_deploy.build.plan import Request
from mosaic_deploy.build.report import BuildReport
from mosaic_deploy.build.report_words import searched
from mosaic_deploy.errors import UsageError
from mosaic_deploy.specs.model_card import ModelCard
from mosaic_deploy.specs.registry import load_spec
from mosaic_deploy.specs.root import spec_root
from tests.conftest import HEIGHT, WIDTH, Tiny, write_split

PLAIN = Attempt("percentile", 0.0, 0, 0, None, 0.99, good=True, cost=5.0, size=10)


def test_a_quarter_of_the_images_decides_at_most() -> None:
    assert held_out(32, 8) == (3, 7, 10, 14, 17, 21, 24, 28)
    assert held_out(4, 8) == (2,)
    for images in range(4, 60):
        chosen = held_out(images, 8)
        assert len({*chosen}) == len(chosen) <= images / 4
        assert all(0 <= index < images for index in chosen)


def test_the_cheapest_is_taken_and_of_unknown_costs_the_least_lifted() -> None:
    dear, unknown = replace(PLAIN, cost=9.0), replace(PLAIN, cost=None)
    assert cheapest({1: dear, 2: PLAIN}) == 2
    assert cheapest({1: unknown, 2: dear}) == 2
    assert cheapest({3: unknown, 1: unknown}) == 1
    assert cheapest({1: replace(PLAIN, cost=5.4), 2: PLAIN}) == 1  # a twelfth of a time is chance
    assert cheapest({1: replace(PLAIN, cost=5.6), 2: PLAIN}) == 2


def test_of_simulated_costs_the_least_lifted_is_taken_unless_it_costs_more_than_the_most() -> None:
    noisy, most = replace(PLAIN, cost=7.0), replace(PLAIN, cost=9.0)
    assert cheapest({1: noisy, 2: PLAIN, 3: most}, simulated=True) == 1
    assert cheapest({1: replace(PLAIN, cost=11.0), 2: PLAIN, 3: most}, simulated=True) == 2
    assert cheapest({1: replace(PLAIN, cost=None), 3: most}, simulated=True) == 1
    assert closest({0: replace(PLAIN, agreement=0.5), 1: noisy, 2: most}, simulated=True) == 1


def test_where_nothing_will_do_a_hair_of_agreement_is_worth_no_time() -> None:
    closer, far = replace(PLAIN, agreement=0.9905, cost=9.0), replace(PLAIN, agreement=0.9, cost=1.0)
    assert closest({0: PLAIN, 1: closer, 2: far}) == 0
    assert closest({0: PLAIN, 1: replace(closer, agreement=0.992), 2: far}) == 1


def test_what_was_tried_is_kept_and_a_damaged_record_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    record = Record.of({"model": "a"})
    assert record.kept("lift", lambda: {"agreement": 0.5}) == {"agreement": 0.5}
    assert Record.of({"model": "a"}).kept("lift", lambda: {"agreement": 1.0}) == {"agreement": 0.5}
    assert Record.of({"model": "b"}).kept("lift", lambda: {"agreement": 1.0}) == {"agreement": 1.0}
    record.place.write_text("{")
    assert record.kept("lift", lambda: {"agreement": 0.7}) == {"agreement": 0.7}


def test_too_few_images_to_hold_any_out(tiny: Tiny, tmp_path: Path) -> None:
    asked = Request(model=str(tiny.card), targets=("ort-mobile",), out=tmp_path / "out", recipe="auto")
    with pytest.raises(UsageError, match="needs 4 or more, and there are 2"):
        deploy(asked)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("resize", "rows"), [("letterbox", 32), ("stretch", 64)])
def test_padding_decides_nothing(resize: str, rows: int, tmp_path: Path) -> None:
    contract = load_spec(ModelCard, "mosaic").contract.model_copy(
        update={"height": 64, "width": 64, "resize": resize}
    )
    wide = np.random.default_rng(0).integers(0, 256, (100, 200, 3)).astype(np.uint8)
    np.save(tmp_path / "wide.npy", contract.prepare(wide))
    assert size_shown(contract, tmp_path / "wide.npy") == (rows, 64)


def _network() -> onnx.ModelProto:
    """image -> Conv 3x3 (32 channels) -> Conv (a loud channel beside the brightness) -> Conv -> scores.

    Beside the loud one the brightness, which decides, lies within one step of 8 bits.
    """
    first = np.zeros((32, 3, 3, 3), np.float32)
    first[:, :, 1, 1] = 1 / 3
    middle = np.zeros((2, 32, 1, 1), np.float32)
    middle[0], middle[1] = 40.0, 1 / 32
    last = np.array([[0, 1], [0, -1], [0, 0]], np.float32).reshape(3, 2, 1, 1)
    weights = {"w0": first, "w1": middle, "w2": last}
    nodes = [
        helper.make_node("Conv", ["image", "w0"], ["h"], "first", pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["h", "w1"], ["both"], "middle"),
        helper.make_node("Conv", ["both", "w2"], ["logits"], "last"),
    ]
    graph = helper.make_graph(
        nodes,
        "loud",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, HEIGHT, WIDTH])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3, HEIGHT, WIDTH])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def _dimmed() -> onnx.ModelProto:
    """image -> Conv (a silent channel, the brightness, thirty constants) -> Conv -> scores.

    The silent channel's weight is so large that those of the constants, an eighth together, round to nothing;
    and whether a dark pixel is of the first class depends on them.
    """
    first, last = np.zeros((32, 3, 1, 1), np.float32), np.zeros((3, 32, 1, 1), np.float32)
    first[1] = 1 / 3
    last[0, 0], last[0, 1] = 1.27, 1.0
    last[0, 2:, 0, 0] = np.random.default_rng(0).uniform(0.0037, 0.0047, 30)
    last[1:, 0] = 1.27
    constants = np.r_[0.0, 0.0, np.ones(30)].astype(np.float32)
    weights = {"w0": first, "b0": constants, "w1": last, "b1": np.array([0, -0.44, -9], np.float32)}
    nodes = [
        helper.make_node("Conv", ["image", "w0", "b0"], ["h"], "first"),
        helper.make_node("Conv", ["h", "w1", "b1"], ["logits"], "last"),
    ]
    graph = helper.make_graph(
        nodes,
        "dimmed",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, HEIGHT, WIDTH])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3, HEIGHT, WIDTH])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def _build(
    tiny: Tiny, out: Path, recipe: str, network: onnx.ModelProto | None = None, target: str = "ort-mobile"
) -> tuple[BuildReport, dict[str, Any]]:
    onnx.save(network or _network(), tiny.onnx)
    write_split(tiny.data / "more", images=12, seed=3)
    for kind in ("images", "labels"):
        for path in sorted((tiny.data / "more" / kind).iterdir()):
            path.rename(tiny.data / "calib" / kind / f"more-{path.name}")
    asked = Request(model=str(tiny.card), targets=(target,), out=out, recipe=recipe, tolerance=0.5)
    (report,) = deploy(asked)
    assert isinstance(report, BuildReport)
    found = report.facts["search"]
    assert isinstance(found, dict)
    return report, found


@pytest.mark.slow
@pytest.mark.parametrize("target", ["ort-mobile", "cpu", "openvino"])
def test_what_8_bits_lose_floats_keep_on_the_real_runtime(tiny: Tiny, tmp_path: Path, target: str) -> None:
    report, found = _build(tiny, tmp_path / "out", "auto", target=target)
    first, taken = found["attempts"][0], found["attempts"][found["chosen"]]
    assert not first["good"]
    assert first["agreement"] < 0.99
    assert found["reached"]
    assert taken["good"]
    assert 0 < taken["lifted"] < 1
    assert not [attempt["error"] for attempt in found["attempts"] if attempt["error"]]
    assert report.parity is not None
    assert report.parity.agreement >= 0.995
    assert any("<- taken" in line for line in report.explain())


@pytest.mark.slow
def test_where_less_may_be_lifted_than_is_needed_it_says_that_nothing_will_do(
    tiny: Tiny, tmp_path: Path
) -> None:
    stated = (spec_root() / "quant" / "auto.toml").read_text()
    little = tmp_path / "little.toml"
    little.write_text(stated.replace("0.1, 0.2, 0.33, 0.5, 1.0", "0.1, 0.2"))
    report, found = _build(tiny, tmp_path / "out", str(little))
    assert not found["reached"]
    assert not any(attempt["good"] for attempt in found["attempts"])
    assert any("nothing reached an agreement of 99.50%" in line for line in report.explain())
    assert report.parity is not None  # whose gate stands as ever, whatever this processor's integers give
    assert report.passed is (report.parity.verdict == "holds")


@pytest.mark.slow
@pytest.mark.parametrize("target", ["ort-mobile", "cpu", "dsp"])
def test_biases_that_another_domain_confirms_are_kept_on_the_real_runtime(
    target: str, tiny: Tiny, tmp_path: Path
) -> None:
    stated = (spec_root() / "quant" / "auto.toml").read_text()
    modest = tmp_path / "modest.toml"
    modest.write_text(stated.replace("0.995", "0.9"))
    report, found = _build(tiny, tmp_path / "out", str(modest), _dimmed(), target)
    first, taken = found["attempts"][0], found["attempts"][found["chosen"]]
    assert first["agreement"] < 0.9
    assert found["biases"]["kept"]
    assert taken["corrected"]
    assert taken["agreement"] > 0.9
    better = next(a for a in found["attempts"] if a["corrected"] and not a["lifted"])
    assert better["agreement"] > first["agreement"] + 0.02, better
    assert report.parity is not None
    assert report.parity.agreement > 0.9
    assert sum("bias correction of 2 layers" in line for line in report.explain()) == 2
    assert sum("not kept" in line for line in report.explain()) == 1


def test_a_quantiser_that_corrects_biases_itself_is_left_alone() -> None:
    backends = {name: load_backend(name) for name in ("openvino", "ort", "qnn", "tflite")}
    own = {name: backend for name, backend in backends.items() if isinstance(backend, MixedBackend)}
    assert own == backends
    assert [name for name, backend in own.items() if backend.corrects_biases] == ["openvino"]
    told = {"attempts": [], "reached": True, "biases": {"kept": False, "why": BY_ITSELF, "tried": []}}
    assert searched(told) == [f"auto: bias correction: not tried, {BY_ITSELF}"]
