"""What refusals advise: each names a pass, an operator that the table takes, or what else to set."""

from __future__ import annotations

import re
from typing import get_args

import onnx
import pytest

from mosaic_deploy.gate.op_support.advice import ELSE, advice, fitting
from mosaic_deploy.gate.op_support.alternatives import ALTERNATIVES
from mosaic_deploy.gate.op_support.constraints import CONSTRAINTS
from mosaic_deploy.gate.op_support.load import load_table
from mosaic_deploy.gate.op_support.tables import OpRule, OpTable
from mosaic_deploy.graph.passes import PASSES
from mosaic_deploy.specs.precision import DType, Integers
from mosaic_deploy.specs.recipe import QuantRecipe
from mosaic_deploy.specs.registry import spec_names
from mosaic_deploy.specs.root import spec_root

TABLES = sorted(path.stem for path in (spec_root() / "targets" / "ops").glob("*.toml"))
NO_ADVICE = re.compile(r"other operators|replace it by operators|outside the network|leave out (?!the bias)")
TYPES = {*get_args(DType), *get_args(Integers)}
OPTION = re.compile(r"--(output|recipe|arch)|dynamic_shapes|torch\.onnx\.export|opset \d")
SETTING = re.compile(
    r"\b(ranks?|dimensions|version|dilations|strides|scale|zero point|axis|axes|bias|mask|batch|layout"
    r"|constant|shape|one row|bits|equation) ?"
)
SENTENCES = [c.sentence[:1].lower() + c.sentence[1:].rstrip(".") for c in CONSTRAINTS.values()]


def attributes() -> set[str]:
    return {name for schema in onnx.defs.get_all_schemas_with_history() for name in schema.attributes}


ATTRIBUTES = attributes()


def names_something(text: str, table: OpTable) -> bool:
    """Whether a pass, an accepted operator, an option, an attribute, a type or a constraint is named."""
    if "`check --fix`" in text:
        named = re.findall(r"[a-z0-9_]+", text.partition(": pass")[2].removeprefix("es"))
        return {name for name in named if name != "and"} <= {step.name for step in PASSES}
    words = {*re.findall(r"\w+", text)}
    accepted = {rule.op for rule in table.rules if rule.accepts}
    recipes = {*spec_names(QuantRecipe)}
    return bool(
        words & (accepted | TYPES | recipes | {name for name in ATTRIBUTES if f"{name} " in f"{text} "})
        or any(step.name in words for step in PASSES)
        or OPTION.search(text)
        or SETTING.search(text)
        or any(sentence in text for sentence in SENTENCES)
    )


@pytest.mark.parametrize("name", TABLES)
def test_every_refusal_says_what_to_do(name: str) -> None:
    table = load_table(name)
    refusals = [rule for rule in table.rules if not rule.accepts]
    assert [(rule.id, rule.fix) for rule in refusals if NO_ADVICE.search(rule.fix)] == []
    assert [(rule.id, rule.fix) for rule in refusals if not names_something(rule.fix, table)] == []


@pytest.mark.parametrize("name", TABLES)
def test_no_advice_changes_what_the_network_computes(name: str) -> None:
    refusals = [rule for rule in load_table(name).rules if not rule.accepts]
    assert [(rule.id, rule.fix) for rule in refusals if changes_the_network(rule)] == []


def changes_the_network(rule: OpRule) -> bool:
    """Whether the advice asks for another value of an attribute, or for training again."""
    setting = any(
        re.search(rf"(^|and |or )(use|leave out) {name}\b", rule.fix)
        for name in ATTRIBUTES - {"mode", "transA"}
    )
    setting = setting and "beforehand" not in rule.fix
    return setting or bool(re.search(r"\btrain (again|with)\b|approximate|comes near", rule.fix))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("use group 1", id="group"),
        pytest.param("use keepdims 0", id="keepdims"),
        pytest.param("leave out group", id="left-out"),
        pytest.param("use ConvTranspose, and train again", id="train"),
        pytest.param("approximate it by a polynomial: Mul and Add", id="near"),
    ],
)
def test_advice_that_changes_the_network_is_found(text: str) -> None:
    assert changes_the_network(refused("Conv", fix=text))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("write it with other operators", id="nothing"),
        pytest.param("`check --fix` rewrites it: pass hard_swish", id="no-such-pass"),
        pytest.param("write it as Acosh", id="refused-operator"),
        pytest.param("choose a network without attention", id="another-network"),
    ],
)
def test_what_is_no_advice_is_found(text: str) -> None:
    assert not names_something(text, load_table("qnn-htp"))


RUNS = {
    "op": "Relu", "versions": [14], "dtypes": ["float32"], "ranks": [4], "verdict": "runs",
    "evidence": {"cases": 1},
}  # fmt: skip


def runs(op: str, **fields: object) -> OpRule:
    return OpRule.model_validate({**RUNS, "id": op.lower(), "op": op, **fields})


def refused(op: str, **fields: object) -> OpRule:
    whole = {"id": "no", "op": op, "verdict": "wrong", "evidence": {"cases": 1}, "fix": "?", **fields}
    return OpRule.model_validate(whole)


@pytest.mark.parametrize(
    ("rule", "known", "says"),
    [
        pytest.param(refused("Relu", ranks=[5]), [runs("Relu")], "Reshape it to rank 4", id="rank"),
        pytest.param(refused("Relu", dtypes=["int8"]), [runs("Relu")], "use float32", id="type"),
        pytest.param(
            refused("Relu", versions=[6]),
            [runs("Relu")],
            "export it with version 14 of the operator",
            id="version",
        ),
        pytest.param(
            refused("Conv", attributes={"group": [2]}),
            [runs("Conv", versions=[11])],
            ELSE,
            id="another-value-is-another-network",
        ),
        pytest.param(
            refused("Conv", attributes={"group": [2]}),
            [runs("Conv", versions=[11]), runs("Split"), runs("Concat")],
            "Split the channels, one Conv per group, and Concat",
            id="attribute-alternative",
        ),
        pytest.param(
            refused("ConvTranspose", attributes={"output_shape": [8]}),
            [runs("ConvTranspose", versions=[11])],
            ELSE,
            id="attribute-without-default",
        ),
        pytest.param(
            refused("Acosh"),
            [runs("Mul"), runs("Add")],
            ELSE,
            id="nothing-computes-the-same",
        ),
        pytest.param(
            refused("Acosh"),
            [runs("Mul"), runs("Add"), runs("Log"), runs("Sqrt")],
            "write it as Log(x + Sqrt(x * x - 1)): Mul, Add, Sqrt, Log",
            id="written-in-others",
        ),
        pytest.param(refused("Acosh"), [runs("Mul")], ELSE, id="nothing-accepted"),
        pytest.param(
            refused("Relu", ranks=[5], evidence={"cases": 1, "devices": ["a"]}),
            [runs("Relu", evidence={"cases": 1, "devices": ["b"]})],
            ELSE,
            id="other-device",
        ),
    ],
)  # fmt: skip
def test_advice_follows_from_what_runs(rule: OpRule, known: list[OpRule], says: str) -> None:
    assert advice(rule, known) == says


def test_alternatives_speak_of_operators_and_attributes_that_exist() -> None:
    ops = {schema.name for schema in onnx.defs.get_all_schemas_with_history() if not schema.domain}
    for key, ways in ALTERNATIVES.items():
        op, _, attribute = key.partition(".")
        assert op in ops, key
        assert not attribute or attribute in ATTRIBUTES, key
        for way in ways:
            assert set(way.needs) <= ops, key
            named = [*way.needs, *([attribute] if attribute else ()), "--", "export", "train without"]
            assert any(name in way.text for name in named), key


@pytest.mark.parametrize("rank", [1, 2, 3, 4, 5])
def test_no_advice_asks_for_the_rank_that_a_node_has(rank: int) -> None:
    table = load_table("qnn-htp")
    refusals = [rule for rule in table.rules if not rule.accepts and (not rule.ranks or rank in rule.ranks)]
    assert refusals
    for rule in refusals:
        said = fitting(rule, table.rules, rank=rank)
        asked = re.search(r"(\d+) (?:dimensions )?or fewer", said)
        assert asked is None or rank > int(asked[1]), (rule.id, said)


def test_hard_sigmoid_on_v68_is_to_be_quantised() -> None:
    table = load_table("qnn-htp")
    (rule,) = (
        r for r in table.rules
        if (r.op, r.dtypes, r.evidence.devices) == ("HardSigmoid", ("float32",), ("v68",)) and not r.accepts
    )  # fmt: skip
    assert "quantise it to uint8" in fitting(rule, table.rules, rank=4)
    assert fitting(rule, table.rules, rank=None) == rule.fix
