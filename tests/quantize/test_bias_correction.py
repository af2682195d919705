"""Biases that take up what rounding shifts: kept where another domain confirms them, else refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mosaic_deploy.graph.execute import Session
from mosaic_deploy.quantize.bias_correction import correct, helps
from mosaic_deploy.quantize.bias_shifts import shifted
from mosaic_deploy.quantize.cpu_style import CPU_STYLE
from mosaic_deploy.quantize.method_trial import Tried
from mosaic_deploy.quantize.stepwise import stepwise
from mosaic_deploy.specs.recipe import QuantRecipe
from mosaic_deploy.specs.registry import load_spec

SIDE, CHANNELS = 16, 32
STEP = 1.27 / 127
"""Of the weights that lead to the first class: all but one of them are less than half of it."""
BRIGHT, DARK = 0.8, 0.3
THRESHOLD = 0.075
"""Score of the second class; the first one's is about a tenth of the brightness."""


def network() -> onnx.ModelProto:
    """image -> Conv -> 32 channels, one of them silent -> Conv -> the sum of all, and a constant.

    The silent channel's weight is so large that the others round to nothing: what they give is lost.
    """
    rng = np.random.default_rng(0)
    spread = np.full((CHANNELS, 3, 1, 1), 1 / 3)
    spread[0] = 0
    total = rng.uniform(0.3, 0.45, (2, CHANNELS, 1, 1)) * STEP
    total[0, 0], total[1] = 1.27, 1e-5
    weights = {"w0": spread, "w1": total, "b1": np.array([0, THRESHOLD])}
    nodes = [
        helper.make_node("Conv", ["image", "w0"], ["h"], "spread"),
        helper.make_node("Conv", ["h", "w1", "b1"], ["scores"], "total"),
    ]
    return model_of(nodes, weights, [1, 3, SIDE, SIDE], [1, 2, SIDE, SIDE])


def model_of(
    nodes: list[onnx.NodeProto], weights: dict[str, NDArray[Any]], taken: list[int], given: list[int]
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, taken)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, given)],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def images(folder: Path, name: str, brightness: float, count: int = 3) -> list[str]:
    rng = np.random.default_rng(1)
    paths = [folder / f"{name}{index}.npy" for index in range(count)]
    for path in paths:
        values = brightness + rng.uniform(-0.02, 0.02, (1, 3, SIDE, SIDE))
        np.save(path, values.astype(np.float32))
    return [str(path) for path in paths]


def quiet(_share: float, _text: str) -> None:
    pass


def corrected(folder: Path, elsewhere: float, **more: object) -> dict[str, Any]:
    onnx.save(network(), folder / "net.onnx")
    return correct(
        CPU_STYLE,
        {
            "onnx": str(folder / "net.onnx"),
            "calibration": images(folder, "calibration", BRIGHT),
            "held_out": images(folder, "held-out", BRIGHT),
            "elsewhere": images(folder, "elsewhere", elsewhere),
            "recipe": load_spec(QuantRecipe, "w8a8").model_dump(mode="json", by_alias=True),
            "pixels": None,
            "threads": 1,
            **more,
        },
        quiet,
    )


def test_what_rounding_lost_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = corrected(tmp_path, BRIGHT)
    total = numpy_helper.to_array(network().graph.initializer[1])[0, 1:].sum()
    plain, even = found["variants"]
    assert (plain["pairs"], even["pairs"]) == (0, 1)
    assert set(plain["shifts"]) == set(even["shifts"]) == {"h", "scores"}
    assert plain["shifts"]["scores"][0] == pytest.approx(BRIGHT * total, abs=2e-3)
    for fold in ("held_out", "elsewhere"):
        assert found[fold]["flips"] == 1
        assert plain[fold]["flips"] == even[fold]["flips"] == 0
    assert plain["helps"]
    assert even["helps"]


def test_what_another_domain_does_not_confirm_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = corrected(tmp_path, DARK)
    plain = found["variants"][0]
    assert plain["held_out"]["flips"] == 0
    assert found["elsewhere"]["flips"] == 0
    assert plain["elsewhere"]["flips"] == 1
    assert not any(variant["helps"] for variant in found["variants"])


def test_ranges_of_channels_as_they_are_leave_them_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = corrected(tmp_path, BRIGHT, ranges={"h": [0.0, 1.0]})
    assert [variant["pairs"] for variant in found["variants"]] == [0]


def test_it_must_lose_a_tenth_less_elsewhere_and_no_more_at_home() -> None:
    before, tenth, hair = Tried(0.1, 0.010), Tried(0.1, 0.0089), Tried(0.1, 0.0091)
    loss = {"held_out": before, "elsewhere": before}
    assert helps(loss, {"held_out": before, "elsewhere": tenth})
    assert not helps(loss, {"held_out": before, "elsewhere": hair})
    assert not helps(loss, {"held_out": Tried(0.1, 0.0101), "elsewhere": tenth})
    nothing = {"held_out": Tried(0.0, 0.0), "elsewhere": Tried(0.0, 0.0)}
    assert not helps(nothing, nothing)


@pytest.mark.parametrize("beta", [1.0, 0.5])
@pytest.mark.parametrize("bias", ["none", "own", "shared", "computed"])
def test_a_shift_is_added_whatever_bias_there_is(bias: str, beta: float) -> None:
    rng = np.random.default_rng(2)
    weights = {"w": rng.normal(size=(4, 3)), "v": rng.normal(size=(4, 4)), "b": rng.normal(size=4)}
    named = {"none": [], "own": ["b"], "shared": ["b"], "computed": ["c"]}[bias]
    nodes = [helper.make_node("Abs", ["b"], ["c"], "abs")] if bias == "computed" else []
    nodes += [
        helper.make_node("Gemm", ["image", "w", *named], ["first"], "first", transB=1, beta=beta),
        helper.make_node("Gemm", ["first", "v", *(["b"] if bias == "shared" else [])], ["scores"], "second"),
    ]
    model = model_of(nodes, weights, [2, 3], [2, 4])
    image = rng.normal(size=(2, 3)).astype(np.float32)
    shift = np.array([1, -2, 3, 0.5], np.float32)
    before = Session(model).run({"image": image})[0]
    after = Session(shifted(model, {"first": shift})).run({"image": image})[0]
    np.testing.assert_allclose(after, before + shift @ weights["v"], rtol=1e-4, atol=1e-4)
    assert np.abs(after - before).max() > 0.1


def test_a_graph_in_pieces_gives_the_same_and_passes_changes_on() -> None:
    model = network()
    image = np.random.default_rng(3).normal(size=(1, 3, SIDE, SIDE)).astype(np.float32)
    whole = Session(model).run({"image": image})[0]
    for more in (0.0, 1.0):
        for cut, held in stepwise(model, {"h", "scores"}, [{"image": image}], threads=1):
            if cut == "h":
                assert "image" not in held[0]
                held[0][cut] = held[0][cut] + np.float32(more)
        gained = more * numpy_helper.to_array(model.graph.initializer[1]).sum(axis=1).reshape(1, 2, 1, 1)
        np.testing.assert_allclose(held[0]["scores"], whole + gained, rtol=1e-4, atol=1e-4)
