"""Constants along an image on the way to onnx2tf: the same numbers, and right on XNNPACK."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from mosaic_deploy.backends.litert.oracle import convert
from mosaic_deploy.backends.litert.spread_constants import SPREAD_CONSTANTS
from mosaic_deploy.backends.oracle.case import Case
from mosaic_deploy.backends.oracle.fleet import try_all
from tests.graph.passes.agreement import agrees, image, leaves, ops, random

ROW, HALVES = ["Add"], ["Slice", "Add", "Slice", "Add", "Concat"]


def added(sides: tuple[int, ...], of: tuple[int, ...], *, first: bool = False) -> onnx.ModelProto:
    """An image plus a constant."""
    body = "y = Add (c, image)" if first else "y = Add (image, c)"
    return image(body, shape=",".join(map(str, sides)), c=random(*of))


@pytest.mark.parametrize(("sides", "of", "made", "given"), [
    ((1, 6, 6, 8), (1, 1, 6, 1), ROW, (1, 6, 6, 8)),
    ((1, 4, 6, 8), (6, 1), ROW, (1, 1, 6, 1)),
    ((1, 4, 8, 8), (8,), ROW, (1, 4, 8, 8)),
    ((1, 6, 6, 6), (1, 1, 6, 6), HALVES, (1, 6, 6, 3)),
])  # fmt: skip
@pytest.mark.parametrize("first", [True, False])
def test_before_and_after_agree(
    sides: tuple[int, ...], of: tuple[int, ...], made: list[str], given: tuple[int, ...], *, first: bool
) -> None:
    model = agrees(SPREAD_CONSTANTS, added(sides, of, first=first)).model
    assert ops(model) == made
    held = {i.name: tuple(i.dims) for i in model.graph.initializer}
    adds = [node for node in model.graph.node if node.op_type == "Add"]
    assert {held[name] for node in adds for name in node.input if name in held} == {given}


@pytest.mark.parametrize(("sides", "of"), [
    ((1, 4, 6, 8), (1, 1, 6, 1)),
    ((1, 4, 8, 8), (1, 4, 1, 1)),
    ((1, 4, 8, 8), (4, 1, 1)),
    ((1, 4, 8, 8), (1,)),
    ((4, 8, 8), (8, 1)),
])  # fmt: skip
def test_what_cannot_be_mistaken_stays(sides: tuple[int, ...], of: tuple[int, ...]) -> None:
    leaves(SPREAD_CONSTANTS, added(sides, of))


@pytest.mark.skipif(bool(convert.missing()), reason=convert.missing())
def test_rows_are_no_channels(tmp_path: Path) -> None:
    """As they are, these differ by 40 to 60 % of the range."""
    cases = [positioned(sides, of) for sides, of in [((16, 32), (1, 1, 16, 1)), ((16, 16), (1, 1, 16, 16))]]
    tried = try_all("litert-xnnpack", cases, jobs=1, everywhere=True, folder=tmp_path)
    found = [(outcome.found, (outcome.difference or 0) < 0.02) for _, (outcome,) in tried]
    assert found == [("runs", True)] * len(cases)


def positioned(sides: tuple[int, int], of: tuple[int, ...]) -> Case:
    """16 channels, to which a position is added, between two convolutions."""
    rng = np.random.default_rng(0)
    shape = ",".join(map(str, sides))
    model = onnx.parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 18]> net (float[1, 3, {shape}] x) => (float[1, 6, {shape}] y) {{
            deep = Conv<pads = [1, 1, 1, 1]>(x, w) placed = Add(deep, c) y = Conv(placed, head) }}
    """)
    held = {
        "w": rng.normal(0, 0.3, (16, 3, 3, 3)),
        "c": rng.normal(0, 1, of),
        "head": rng.normal(0, 0.3, (6, 16, 1, 1)),
    }
    for name, value in held.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(value.astype(np.float32), name))
    feeds = {"x": rng.normal(0, 1, (1, 3, *sides)).astype(np.float32)}
    return Case(f"position {shape}", "chain", "plain", "chain", model, feeds, "float")
