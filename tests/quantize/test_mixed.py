from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mosaic_deploy.backends.qnn.quantize import quantize, rank
from mosaic_deploy.quantize.mixed import Mixed, island, without_clips
from mosaic_deploy.specs.recipe import QuantRecipe
from mosaic_deploy.specs.registry import load_spec


def network() -> onnx.ModelProto:
    """image -> Conv -> Relu -> MaxPool -> Conv -> Add(image's branch) -> scores."""
    rng = np.random.default_rng(0)
    weights = {
        "w0": rng.normal(size=(4, 3, 3, 3)), "b0": rng.normal(size=4), "w1": rng.normal(size=(3, 4, 1, 1)),
        "b1": rng.normal(size=3), "w2": rng.normal(size=(3, 3, 1, 1)), "b2": rng.normal(size=3),
    }  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["image", "w0", "b0"], ["c0"], "conv0", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c0"], ["r0"], "relu0"),
        helper.make_node("MaxPool", ["r0"], ["p0"], "pool0", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["p0", "w1", "b1"], ["c1"], "conv1"),
        helper.make_node("Conv", ["image", "w2", "b2"], ["c2"], "conv2"),
        helper.make_node("Add", ["c1", "c2"], ["scores"], "add"),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 3, 8, 8])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model)


def request(folder: Path, monkeypatch: pytest.MonkeyPatch, **more: object) -> dict[str, object]:
    monkeypatch.chdir(folder)
    onnx.save(network(), folder / "model.onnx")
    rng = np.random.default_rng(1)
    images = [folder / f"{index}.npy" for index in range(4)]
    for path in images:
        np.save(path, rng.normal(size=(1, 3, 8, 8)).astype(np.float32))
    return {
        "onnx": str(folder / "model.onnx"),
        "out": str(folder / "q.onnx"),
        "calibration": [str(path) for path in images[:2]],
        "held_out": [str(path) for path in images[2:]],
        "recipe": load_spec(QuantRecipe, "w8a8").model_dump(mode="json", by_alias=True),
        "pixels": None,
        "threads": 1,
        **more,
    }


def quiet(_share: float, _note: str) -> None:
    pass


def test_an_island_takes_the_operators_on_both_sides_and_what_moves() -> None:
    model = network()
    without_clips(model)
    assert [node.op_type for node in model.graph.node] == ["Conv", "MaxPool", "Conv", "Conv", "Add"]
    found = island(model, ["r0"])
    assert found.nodes == {"conv0", "pool0", "conv1"}
    assert found.sixteen == {"r0", "p0", "c1"}
    assert found.up == {"image": ("conv0",)}
    assert found.down == {"c1": ("add",)}
    assert island(model, ["p0"]) == found


def test_a_clip_behind_what_moves_stays() -> None:
    model = network()
    pooled = next(node for node in model.graph.node if node.op_type == "MaxPool")
    relu = next(node for node in model.graph.node if node.op_type == "Relu")
    pooled.input[0], pooled.output[0] = "c0", "p"  # conv0 -> pool0 -> relu0 -> conv1
    relu.input[0], relu.output[0] = "p", "p0"
    without_clips(model)
    assert [node.op_type for node in model.graph.node].count("Relu") == 1


def test_nothing_is_lifted_where_nothing_that_is_made_is_chosen() -> None:
    assert island(network(), ["image", "no such tensor"]).conversions == 0
    assert not island(network(), []).sixteen


def test_a_mixed_graph_has_what_was_chosen_and_its_conversions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = request(tmp_path, monkeypatch, kept_ranges=str(tmp_path))
    plain = quantize(asked, quiet)["precisions"]
    assert (plain["sixteen"], plain["conversions"]) == (0, 0)
    mixed = quantize({**asked, "mixed": Mixed(("r0",)).to_json()}, quiet)["precisions"]
    assert mixed["activations"] == plain["activations"]
    assert (mixed["sixteen"], mixed["conversions"]) == (3, 2)
    assert mixed["bytes"] > plain["bytes"]


def test_ranges_that_are_kept_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = request(tmp_path, monkeypatch, kept_ranges=str(tmp_path))
    quantize(asked, quiet)
    first = Path(str(asked["out"])).read_bytes()
    assert (tmp_path / "percentile.json").is_file()
    quantize({**asked, "calibration": []}, quiet)
    assert Path(str(asked["out"])).read_bytes() == first


def test_the_ranking_predicts_and_never_lifts_what_is_blocked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = request(tmp_path, monkeypatch, ranked=2, shares=[1.0], weights=True)
    found = rank(asked, quiet)
    assert {entry["name"] for entry in found["activations"]} >= {"image", "r0", "c1", "c2", "scores"}
    assert {entry["name"] for entry in found["weights"]} == {"w0", "w1", "w2", "b0", "b1", "b2"}
    assert 0.5 < found["agreement"] <= 1
    assert "r0" in found["steps"][0]["sixteen"]
    held = rank({**asked, "blocked": ["c1"]}, quiet)
    assert not {"c1", "r0", "p0"} & set(held["steps"][0]["sixteen"])


def test_each_step_adds_to_the_one_before_within_its_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = [0.2, 0.4, 0.6, 0.8, 1.0]  # of image, r0 with p0, c1, c2, scores; the image stays
    steps = rank(request(tmp_path, monkeypatch, ranked=2, shares=shares), quiet)["steps"]
    assert [step["lifted"] for step in steps] == shares[:4]
    for less, more in pairwise(steps):
        assert set(less["sixteen"]) < set(more["sixteen"])


def test_what_saves_most_for_what_it_brings_is_lifted_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = rank(request(tmp_path, monkeypatch, ranked=2, shares=[0.4, 1.0]), quiet)
    lost = {entry["name"]: entry["lost"] for entry in found["activations"]}
    alone = max(("r0", "c1", "c2"), key=lambda name: lost[name])  # each brings two, scores one
    first = "scores" if lost["scores"] > lost[alone] / 2 else alone
    assert first in found["steps"][0]["sixteen"]
