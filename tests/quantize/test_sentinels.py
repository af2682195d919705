"""Masks in constants before a Softmax: bounded, run on real compilers, and left alone where they are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from mosaic_deploy.backends.oracle.fleet import try_all
from mosaic_deploy.backends.oracle.registry import load_compiler
from mosaic_deploy.quantize.histogram import Ranges
from mosaic_deploy.quantize.sentinels import bound_sentinels, margin, without_infinities
from tests.backends.litert.odd_networks import FIRST, MASKS, SHAPE, case, odd

SCORES: Ranges = {
    "c": (np.float32(-3), np.float32(5)),
    "a": (np.float32(-1e9), np.float32(5)),
}


def masked(body: str, value: float) -> onnx.ModelProto:
    mask = np.zeros(SHAPE)
    mask[..., 1] = value
    return odd(f"{FIRST} {body}", k=mask)


@pytest.mark.parametrize("table", ["ort-mobile", "qnn-htp"])
def test_masked_scores_keep_their_grid(table: str, tmp_path: Path) -> None:
    assert load_compiler(table).missing() == ""
    cases = [case(name, model) for name, model in MASKS.items()]
    tried = try_all(table, cases, jobs=1, everywhere=False, folder=tmp_path)
    found = {f"{one.name} {o.device}": o for one, outcomes in tried for o in outcomes}
    assert len(found) >= len(MASKS)
    assert {n: o.error for n, o in found.items() if o.found != "runs"} == {}
    assert {n: o.difference for n, o in found.items() if (o.difference or 0) > 0.02} == {}


def test_a_mask_is_as_low_as_it_must_be() -> None:
    model = masked("a = Add(c, k) y = Softmax(a)", -1e9)
    found = bound_sentinels(model, SCORES)
    low = -3 - margin(int(np.prod(SHAPE)))
    assert [float(end) for end in found["a"]] == [pytest.approx(low), 5]
    assert found["c"] == SCORES["c"]
    add = next(node for node in model.graph.node if node.op_type == "Add")
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    assert np.unique(constants[add.input[1]]).tolist() == [pytest.approx(low - 5), 0]
    assert constants["k"].min() == np.float32(-1e9)  # another may read it


@pytest.mark.parametrize(
    ("body", "value"),
    [
        pytest.param("a = Add(c, k) y = Softmax(a)", -50.0, id="no sentinel"),
        pytest.param("a = Add(c, k) y = Relu(a)", -1e9, id="no softmax"),
        pytest.param("a = Add(c, k) s = Softmax(a) y = Add(s, a)", -1e9, id="read by another"),
        pytest.param("a = Mul(c, k) y = Softmax(a)", -1e9, id="a product"),
    ],
)
def test_what_is_no_mask_is_left_alone(body: str, value: float) -> None:
    model = masked(body, value)
    before = model.SerializeToString()
    assert bound_sentinels(model, SCORES) == SCORES
    assert model.SerializeToString() == before


def test_infinities_become_numbers_once() -> None:
    model = masked("a = Add(c, k) y = Softmax(a)", -np.inf)
    assert without_infinities(model) == 1
    assert without_infinities(model) == 0
    kept = next(onnx.numpy_helper.to_array(t) for t in model.graph.initializer if t.name == "k")
    assert np.unique(kept).tolist() == [np.float32(-1e9), 0]
