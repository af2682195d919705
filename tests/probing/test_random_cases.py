from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import islice

import onnxruntime as ort
import pytest

from mosaic_deploy.backends.oracle.case import Case
from mosaic_deploy.probing.form import Form
from mosaic_deploy.probing.forms import FORMS
from mosaic_deploy.probing.random_cases import random_cases
from mosaic_deploy.probing.record import checksum
from mosaic_deploy.probing.sketch import Sketch, UnfitError
from mosaic_deploy.specs.precision import Precision

PRECISIONS: tuple[Precision, ...] = ("float", "w8a8", "w8a16")


def draw(count: int, seed: int = 0, **options: Mapping[str, tuple[Form, ...]]) -> list[Case]:
    return list(islice(random_cases(seed, PRECISIONS, **options), count))


@pytest.fixture(scope="module")
def drawn() -> list[Case]:
    return draw(600)


def test_a_seed_means_the_same_cases(drawn: list[Case]) -> None:
    again = draw(40)
    assert [(c.name, checksum(c)) for c in again] == [(c.name, checksum(c)) for c in drawn[:40]]
    assert not {c.name for c in draw(40, seed=1)} & {c.name for c in again}


def test_names_are_unique_and_sorts_are_mixed(drawn: list[Case]) -> None:
    assert len({case.name for case in drawn}) == len(drawn)
    sorts = Counter(case.sort for case in drawn)
    assert set(sorts) == {"random", "chain"}
    assert 0.1 < sorts["chain"] / len(drawn) < 0.4
    assert {case.precision for case in drawn} == set(PRECISIONS)


def test_operators_are_drawn_evenly_whatever_their_forms(drawn: list[Case]) -> None:
    ops = Counter(case.op for case in drawn if case.sort == "random")
    assert set(ops) <= set(FORMS)
    assert len(ops) > 0.9 * len(FORMS)
    assert max(ops.values()) < 6 * sum(ops.values()) / len(FORMS)


def test_a_case_has_the_nodes_that_it_names(drawn: list[Case]) -> None:
    for case in drawn:
        ops = [node.op_type for node in case.model.graph.node]
        assert "+".join(ops) == case.op
        assert len(ops) == 1 if case.sort == "random" else 2 <= len(ops) <= 4
        assert {value.name for value in case.model.graph.input} == set(case.feeds)


def test_the_reference_runs_nearly_all(drawn: list[Case]) -> None:
    refused = []
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    for case in drawn[:200]:
        try:
            session = ort.InferenceSession(
                case.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
            session.run(None, dict(case.feeds))
        except Exception as err:  # noqa: BLE001  # what it raises has no common parent
            refused.append(f"{case.name}: {str(err)[:100]}")
    assert len(refused) <= 30, refused


def _plain(s: Sketch) -> None:
    s.node("Relu", [s.data()])


def _wide(s: Sketch) -> None:
    if not s.random or s["width"] == 9:
        raise UnfitError("too wide")
    s.node("LeakyRelu", [s.data()], alpha=0.1 * s["width"])


def _taken(s: Sketch) -> None:
    x = s.data()
    s.node("ArgMax", [x], axis=-1)


def test_more_values_and_ranks_beyond_are_drawn() -> None:
    form = Form("LeakyRelu", "w", _wide, (2, 3), axes={"width": (1, 2)}, more={"width": (3, 9)})
    cases = [c for c in draw(200, forms={"LeakyRelu": (form,)}) if c.sort == "random"]
    text = " ".join(case.name for case in cases)
    assert all(f"width={width}" in text for width in (1, 2, 3))
    assert "width=9" not in text
    ranks = Counter(case.feeds["in1"].ndim for case in cases)
    assert set(ranks) == {1, 2, 3, 4}
    assert ranks[1] + ranks[4] < 0.25 * len(cases)


def test_chains_take_only_what_fits() -> None:
    forms = {
        "Relu": (Form("Relu", "plain", _plain, (2, 3)),),
        "ArgMax": (Form("ArgMax", "last", _taken, (2, 3), quantized=False),),
    }
    chains = [case for case in draw(200, forms=forms) if case.sort == "chain"]
    assert {case.op for case in chains} >= {"Relu+Relu", "Relu+ArgMax", "Relu+Relu+Relu+Relu"}
    assert not [case.op for case in chains if "ArgMax+" in case.op]
    assert {case.precision for case in chains if "ArgMax" in case.op} == {"float"}
    assert {case.precision for case in chains if "ArgMax" not in case.op} == set(PRECISIONS)


def test_a_precision_needs_floats() -> None:
    form = Form("Abs", "integers", lambda s: s.node("Abs", [s.data()]), (2,), dtypes=("int32",))
    assert {case.precision for case in draw(20, forms={"Abs": (form,)})} == {"float"}
