"""Each constraint is found where it is written, and has a sentence and a test of its name."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest

from mosaic_deploy.gate.op_support import constraints
from mosaic_deploy.gate.op_support.constraints import CONSTRAINTS, Breach
from mosaic_deploy.gate.op_support.constraints._constraint import constraint
from mosaic_deploy.graph.attributes import Attribute
from mosaic_deploy.graph.facts import Node, QuantParams, Tensor
from tests.gate.op_support.constraints.judging import node

TESTS = Path(__file__).parent
SUBJECTS = Path(constraints.__file__).parent


def test_every_constraint_has_a_test_and_a_sentence() -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in TESTS.glob("test_*.py"))
    for name, found in CONSTRAINTS.items():
        assert f"\ndef test_{name}(" in tests, name
        assert found.name == name
        assert found.sentence.endswith(".")
        assert found.sentence[0].isupper()


def test_every_predicate_is_listed_and_no_two_share_a_name() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in SUBJECTS.glob("_[a-z]*.py"))
    assert source.count("\n@constraint(") == len(CONSTRAINTS)


def test_a_function_becomes_a_constraint_of_its_name() -> None:
    @constraint("It is called y.")
    def it_is_called_y(node: Node) -> Breach | None:
        return None if node.name == "y" else Breach(f"'{node.name}'")

    assert (it_is_called_y.name, it_is_called_y.sentence) == ("it_is_called_y", "It is called y.")
    relu = node("g (float[2] x) => (float[2] z) { z = Relu(x) }", op="Relu")
    assert it_is_called_y.breach(relu) == Breach("'z'")


ODD: tuple[Attribute, ...] = (-9, 0, 7, 0.5, "?", (), (0,), (-1, 3, 0), (1, 1, 1, 1), (2.0, 1.0), ("a",))
NAMES = (
    "axis", "axes", "pads", "kernel_shape", "strides", "dilations", "ceil_mode", "auto_pad", "group", "min",
    "max", "count_include_pad", "noop_with_empty_axes", "split", "num_outputs", "steps", "value", "exponent",
)  # fmt: skip


def hostile(draw: Random) -> Node:
    """A node of any number of inputs and outputs, whose attributes and shapes have nothing to do with it."""

    def tensor(i: int) -> Tensor:
        shape = None if draw.random() < 0.2 else tuple(draw.choices((0, 1, 2, 7), k=draw.randint(0, 6)))
        held = draw.choice((None, np.zeros(0), np.array(-5), np.array([3.5, -1.0]), np.full((2, 2), 2)))
        grid = draw.choice((None, QuantParams("uint8", None, None), QuantParams("int8", 0.0, 300)))
        return Tensor(
            f"t{i}", draw.choice(("float32", "int64", "", "bool")), shape, held is not None, held, grid
        )

    inputs = tuple(draw.choice((None, tensor(i))) for i in range(draw.randint(0, 7)))
    outputs = tuple(tensor(9 + i) for i in range(draw.randint(0, 6)))
    stated = {name: draw.choice(ODD) for name in draw.sample(NAMES, draw.randint(0, len(NAMES)))}
    version = draw.choice((1, 10, 18))
    return Node(
        "n", "X", "", version, stated, {}, inputs, outputs, draw.randint(1, 24), folded=False, source=""
    )


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_no_node_is_too_odd_to_judge(name: str) -> None:
    draw = Random(0)
    found = [CONSTRAINTS[name].breach(hostile(draw)) for _ in range(300)]
    assert all(breach is None or breach.found for breach in found)
    assert any(breach is not None for breach in found)
