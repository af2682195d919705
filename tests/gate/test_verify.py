"""``check --verify``: the compiler's word, and the smallest part that it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from mosaic_deploy.backends.oracle.case import Case
from mosaic_deploy.backends.oracle.outcome import CaseOutcome
from mosaic_deploy.gate.judging import find_subject
from mosaic_deploy.gate.narrow import Found, Limit, Search, TrySome
from mosaic_deploy.gate.report import GateReport, ModelResult, Verified
from mosaic_deploy.gate.verify import verify
from mosaic_deploy.graph.reader.read import read_model
from tests.gate.gate_models import write

CHAIN = """a = Relu (image) b = Neg (a) c = Abs (b) d = Exp (c)
    e = Sigmoid (d) f = Tanh (e) h = Neg (f) y = Abs (h)"""

Refuses = Callable[[list[str]], bool]


def pretend(refuses: Refuses) -> tuple[TrySome, list[int]]:
    """A compiler that decides by the operators in their order; and the sizes of what it was asked."""
    asked: list[int] = []

    def try_some(cases: Sequence[Case]) -> Iterator[tuple[Case, tuple[CaseOutcome, ...]]]:
        for case in reversed(cases):
            onnx.checker.check_model(case.model, full_check=True)
            ops = [node.op_type for node in case.model.graph.node]
            asked.append(len(ops))
            found = CaseOutcome(case.name, "d1", "fails-to-compile", "dies") if refuses(ops) else None
            yield (
                case,
                (
                    CaseOutcome(case.name, "d0", "runs", difference=0.01),
                    found or CaseOutcome(case.name, "d1", "runs"),
                ),
            )

    return try_some, asked


def search(text: str, refuses: Refuses, folder: Path) -> tuple[Found, list[int]]:
    try_some, asked = pretend(refuses)
    model = read_model(write(folder / "m.onnx", text))
    return Search(model, "float", try_some, folder, lambda _share, _note: None).run(), asked


def test_a_model_that_compiles_is_asked_about_once(tmp_path: Path) -> None:
    found, asked = search(CHAIN, lambda _ops: False, tmp_path)
    assert (found.refused, found.difference, found.parts) == ("", 0.01, [])
    assert asked == [8]


def test_a_node_that_is_refused_alone_stands_for_all_of_its_kind(tmp_path: Path) -> None:
    found, _ = search(CHAIN, lambda ops: "Neg" in ops, tmp_path)
    assert found.refused == "fails-to-compile on d1: dies"
    (part,) = found.parts
    assert [node.op_type for node in part.model.graph.node] == ["Neg"]
    assert part.nodes == ("b", "h")
    assert part.error == "dies"


def test_nodes_that_are_refused_only_together_are_found(tmp_path: Path) -> None:
    found, asked = search(CHAIN, lambda ops: {"Exp", "Tanh"} <= set(ops), tmp_path)
    (part,) = found.parts
    assert [node.op_type for node in part.model.graph.node] == [
        "Exp",
        "Tanh",
    ]  # Sigmoid between them is left out
    assert part.nodes == ("d", "f")
    assert len(asked) < 25


def test_other_numbers_are_no_compilation_and_are_narrowed_down(tmp_path: Path) -> None:
    def try_some(cases: Sequence[Case]) -> Iterator[tuple[Case, tuple[CaseOutcome, ...]]]:
        for case in cases:
            wrong = any(node.op_type == "Tanh" for node in case.model.graph.node)
            yield case, (CaseOutcome(case.name, "d", "runs", difference=0.31 if wrong else 0.01),)

    model = read_model(write(tmp_path / "m.onnx", CHAIN))
    found = Search(model, "w8a8", try_some, tmp_path, lambda *_: None, Limit(0.1)).run()
    assert (found.differs, found.refused) == (
        True, "largest difference 0.31 of the range on d, 0.1 allowed",
    )  # fmt: skip
    (part,) = found.parts
    assert [node.op_type for node in part.model.graph.node] == ["Tanh"]
    near = Search(model, "w8a8", try_some, tmp_path, lambda *_: None, Limit(0.4)).run()
    assert (near.refused, near.difference) == ("", 0.31)


@pytest.mark.parametrize(("fallback", "refused"), [(True, False), (False, True)])
def test_what_falls_back_is_refused_only_where_nothing_may(fallback: bool, refused: bool) -> None:
    left = CaseOutcome("c", "d", "falls-back", difference=0.01)
    assert Limit(0.1, fallback=fallback).broken_by(left) is refused


def test_what_fails_alone_and_compiles_in_company_is_not_blamed(tmp_path: Path) -> None:
    """As Erf within GELU: three nodes are one to the compiler, and Tanh is what it has not."""

    def refuses(ops: list[str]) -> bool:
        text = " ".join(ops)
        return "Tanh" in ops or "Neg" in text.replace("Relu Neg Abs", "")

    found, _ = search(CHAIN.replace("h = Neg (f) y = Abs (h)", "y = Abs (f)"), refuses, tmp_path)
    (part,) = found.parts
    assert part.nodes == ("f",)

    def dies(ops: list[str]) -> bool:
        text = " ".join(ops)
        return {"Exp", "Tanh"} <= set(ops) or "Neg" in text.replace("Relu Neg Abs", "")

    found, _ = search(CHAIN.replace("h = Neg (f) y = Abs (h)", "y = Abs (f)"), dies, tmp_path)
    (part,) = found.parts
    assert {"d", "f"} <= set(part.nodes)
    assert "b" not in part.nodes


def test_a_refusal_of_the_whole_alone_has_no_part(tmp_path: Path) -> None:
    found, _ = search(CHAIN, lambda ops: len(ops) == 8 and ops[0] == "Relu", tmp_path)
    assert found.refused
    assert [len(part.model.graph.node) for part in found.parts] == [8]


def test_a_target_without_a_compiler_is_not_verified(tmp_path: Path) -> None:
    subject = find_subject("dsp")
    assert subject.table is not None
    subject = replace(subject, table=subject.table.model_copy(update={"name": "edgetpu"}))
    model = read_model(write(tmp_path / "m.onnx", CHAIN))
    heard = verify(model, subject, stem="m", save=tmp_path, on_progress=lambda *_: None)
    assert heard.said == "no compiler"
    assert GateReport((ModelResult("m", (), verified=(heard,)),)).exit_code == 2


@pytest.mark.parametrize(("said", "code"), [("compiles", 0), ("refused", 1), ("differs", 1)])
def test_the_compilers_word_decides(said: str, code: int) -> None:
    heard = Verified("dsp", "tool", said)  # type: ignore[arg-type]  # one of the three
    assert GateReport((ModelResult("m", (), verified=(heard,)),)).exit_code == code


@pytest.mark.slow
def test_hexagons_compiler_is_asked_and_what_it_refuses_is_kept(tmp_path: Path) -> None:
    write(
        tmp_path / "m.onnx",
        "a = Relu (image) b = Erf (a) y = Neg (b)",
    )
    command = [
        sys.executable, "-m", "mosaic_deploy", "check", "m.onnx", "--target", "dsp", "--verify",
        "--save", "kept", "--format", "json",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1, done.stderr
    (model,) = json.loads(done.stdout)["models"]
    (heard,) = model["verified"]
    assert heard["said"] == "refused"
    (culprit,) = heard["culprits"]
    assert (culprit["nodes"], culprit["ops"]) == (["b"], ["Erf"])
    kept = onnx.load(tmp_path / culprit["file"])
    onnx.checker.check_model(kept, full_check=True)
    assert [node.op_type for node in kept.graph.node] == ["Erf"]


@pytest.mark.slow
def test_hexagons_compiler_takes_what_it_can_run(tmp_path: Path) -> None:
    write(tmp_path / "m.onnx", "a = Relu (image) y = Sigmoid (a)")
    command = [sys.executable, "-m", "mosaic_deploy", "check", "m.onnx", "--target", "dsp", "--verify"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout
    assert "compiles" in done.stdout
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.onnx"]
