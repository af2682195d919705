"""``probe`` with a compiler of its own: a table that tells the truth passes, one that lies does not."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx
import pytest

from mosaic_deploy.backends.oracle import fleet
from mosaic_deploy.backends.oracle import registry as oracles
from mosaic_deploy.cli import app
from mosaic_deploy.gate.op_support.table_file import read_table
from mosaic_deploy.workers import call as calls
from tests.backends.oracle import fake_compiler

HEAD = """
schema = 1
name = "fake"
summary = "a compiler of the tests"
tool = "fake-tool"
version = "1.0"
devices = ["old", "new"]
fallback = false
folds_constants = true
"""
RULE = """
[ops.@op]
versions = [1, 6, 13, 14]
dtypes = ["float32", "float16", "bfloat16", "float64", "int8", "int16", "int32", "int64", "uint8"]
quantized_dtypes = ["uint8"]
ranks = [0, 1, 2, 3, 4, 5, 6]
rules = [{ id = "@id", verdict = "@verdict", cases = 1, fix = "leave it out" }]
"""
TARGET = """
schema = 1
name = "@name"
summary = "s"
backend = "echo"
ops = "@ops"
recipes = ["w8a8"]
"""


def rule(op: str, verdict: str) -> str:
    return RULE.replace("@id", op.lower()).replace("@op", op).replace("@verdict", verdict)


TRUE = HEAD + rule("Relu", "runs") + rule("Sigmoid", "wrong")
TOO_KIND = HEAD + rule("Relu", "runs") + rule("Sigmoid", "runs")
TOO_STRICT = HEAD + rule("Relu", "fails-to-compile") + rule("Sigmoid", "wrong")


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


Probe = Callable[..., Ended]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose only compiler is the fake one."""
    tables = tmp_path / "targets" / "ops"
    tables.mkdir(parents=True)
    (tables / "fake.toml").write_text(TRUE)
    for name, ops in (("chip", "fake"), ("paper", "documents")):
        text = TARGET.replace("@name", name).replace("@ops", ops)
        (tmp_path / "targets" / f"{name}.toml").write_text(text)
    for place in ("specs.root", "specs.registry", "gate.op_support.load", "probing.evidence", "probing.run"):
        monkeypatch.setattr(f"mosaic_deploy.{place}.spec_root", lambda: tmp_path)
    monkeypatch.setattr(oracles, "COMPILERS", {fake_compiler.TABLE: fake_compiler.FULL_NAME})
    monkeypatch.setattr(fleet, "_BATCH", 1000)  # one child is enough
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def probe(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Probe:
    """The program's ``probe``, in this process, on Relu and Sigmoid."""

    def run(table: str, *arguments: str, ops: tuple[str, ...] = ("Relu", "Sigmoid")) -> Ended:
        (home / "targets" / "ops" / "fake.toml").write_text(table)
        named = [word for op in ops for word in ("--op", op)]
        monkeypatch.setattr(sys, "argv", ["mosaic-deploy", "probe", *arguments, *named])
        with pytest.raises(SystemExit) as end:
            app.main()
        out, err = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return Ended(end.value.code, out, err)

    return run


@pytest.mark.parametrize(
    ("table", "code", "says"),
    [
        pytest.param(TRUE, 0, "table confirmed: ", id="true"),
        pytest.param(TOO_KIND, 1, "false accept: Sigmoid/plain", id="too-kind"),
        pytest.param(TOO_STRICT, 1, "false reject: Relu/plain", id="too-strict"),
    ],
)
def test_verify_fails_where_the_table_lies(table: str, code: int, says: str, probe: Probe) -> None:
    done = probe(table, "chip", "--verify")
    assert done.code == code
    assert says in done.err
    assert ("table contradicted" in done.err) is bool(code)
    assert "fake-tool" in done.out


def test_verify_tries_the_operators_of_the_table_alone(probe: Probe) -> None:
    done = probe(TRUE, "fake", "--verify", "--json", ops=())
    assert done.code == 0, done.err
    agreement = json.loads(done.out)["agreement"]
    assert agreement["cases"] == agreement["counts"]["agrees"] > 10


@pytest.mark.parametrize(
    ("table", "code", "kind"),
    [
        pytest.param(TRUE, 0, "agrees", id="true"),
        pytest.param(TOO_KIND, 1, "false_accept", id="too-kind"),
        pytest.param(TOO_STRICT, 1, "false_reject", id="too-strict"),
    ],
)
def test_random_cases_find_a_lie(table: str, code: int, kind: str, probe: Probe) -> None:
    done = probe(table, "chip", "--random", "30", "--seed", "2", "--json")
    assert done.code == code, done.err
    record = json.loads(done.out)
    assert (record["use"], record["seed"], record["passed"]) == ("random", 2, code == 0)
    assert record["agreement"]["cases"] == 30
    assert record["agreement"]["counts"][kind] > 0


def test_disagreeing_cases_are_saved(home: Path, probe: Probe) -> None:
    done = probe(TOO_KIND, "chip", "--verify", "--json", "--save", "saved")
    disagreeing = json.loads(done.out)["agreement"]["disagreeing"]
    models = sorted((home / "saved").glob("*.onnx"))
    assert len(models) == len(disagreeing) > 0
    assert {item["rules"][0] for item in disagreeing} == {"sigmoid"}
    assert all(onnx.load(path).graph.node[0].op_type == "Sigmoid" for path in models)
    assert all(path.with_suffix(".npz").exists() for path in models)


def test_a_table_is_made_that_holds(home: Path, probe: Probe) -> None:
    done = probe(HEAD, "chip", "-o", "new.toml")
    assert done.code == 0, done.err
    text = (home / "new.toml").read_text()
    made = read_table(home / "new.toml")
    assert {(r.op, r.verdict) for r in made.rules} >= {("Relu", "runs")}
    assert not [r for r in made.rules if r.op == "Sigmoid" and r.accepts]
    assert probe(text, "chip", "--verify").code == 0


def test_a_table_goes_to_standard_output(probe: Probe) -> None:
    done = probe(HEAD, "chip", ops=("Relu",))
    assert done.code == 0, done.err
    assert "[ops.Relu]" in done.out
    assert "against fake-tool" not in done.out


def test_random_cases_help_to_make_a_table(probe: Probe) -> None:
    done = probe(HEAD, "chip", "--random", "5", "--output", "t.toml", "--json", ops=("Relu",))
    record = json.loads(done.out)
    assert (record["use"], record["seed"]) == ("make", 0)
    alone = json.loads(probe(HEAD, "chip", "--json", ops=("Relu",)).out)
    assert alone["seed"] is None
    assert record["agreement"]["cases"] == alone["agreement"]["cases"] + 5


def test_a_record_saves_the_work(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    first = probe(TRUE, "chip", "--verify", "--json", "--record", "r.jsonl")

    def no_call(job: object, *, on_progress: object = None) -> object:
        raise AssertionError("nothing is left to try")

    monkeypatch.setattr(calls, "call", no_call)
    again = probe(TOO_KIND, "chip", "--verify", "--json", "--record", "r.jsonl")
    assert (first.code, again.code) == (0, 1)
    cases = [json.loads(done.out)["agreement"]["cases"] for done in (first, again)]
    assert cases[0] == cases[1]


KEPT = "targets/ops/fake.evidence.jsonl.xz"


def test_what_is_kept_is_replayed_without_the_tool(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = probe(TRUE, "chip", "--verify", "--json", "--evidence", KEPT)
    monkeypatch.setattr(fake_compiler, "missing", lambda: "buy one")
    monkeypatch.setattr(calls, "call", None)
    again = probe(TRUE, "chip", "--replay", "--json")
    assert (tried.code, again.code) == (0, 0), again.err
    records = [json.loads(done.out) for done in (tried, again)]
    assert records[0]["agreement"] == records[1]["agreement"]
    assert [record["use"] for record in records] == ["verify", "replay"]
    assert probe(TOO_KIND, "chip", "--replay").code == 1


def test_evidence_grows_and_what_is_not_there_is_said(probe: Probe) -> None:
    assert probe(TRUE, "chip", "--verify", "--evidence", KEPT, ops=("Relu",)).code == 0
    missing = probe(TRUE, "chip", "--replay")
    assert missing.code == 0
    assert "nothing is kept of" in missing.err
    assert ": Sigmoid (" in missing.err
    assert "nothing is kept of these cases" in probe(TRUE, "chip", "--replay", ops=("Sigmoid",)).err
    assert probe(TRUE, "chip", "--verify", "--evidence", KEPT, ops=("Sigmoid",)).code == 0
    assert "nothing is kept of" not in probe(TRUE, "chip", "--replay").err


def test_a_rule_tells_the_cases_that_it_rests_on(probe: Probe) -> None:
    probe(TRUE, "chip", "--verify", "--evidence", KEPT)
    done = probe(TRUE, "chip", "--replay", "--rule", "sigmoid", ops=())
    assert done.code == 0
    first, *cases = [line for line in done.err.splitlines() if "igmoid" in line]
    assert first == f"rule sigmoid (wrong): {len(cases)} cases here, 1 when it was made"
    assert len(cases) > 3
    assert all(line.startswith("  Sigmoid/") and line.endswith(": wrong on old, new") for line in cases)
    again = probe(TRUE, "chip", "--verify", "--rule", "sigmoid", "--json", ops=())
    assert json.loads(again.out)["agreement"]["cases"] == len(cases)


def test_another_version_of_the_tool_is_said(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake_compiler, "version", lambda: "2.0")
    done = probe(TRUE, "chip", "--verify")
    assert done.code == 0
    assert "fake-tool 2.0 was run; the table's evidence is of 1.0" in done.err
    part = probe(TRUE, "chip", ops=("Relu",))
    assert part.code == 2
    assert "make all of it anew" in part.err


@pytest.mark.parametrize(
    ("arguments", "ops", "code", "says"),
    [
        pytest.param(["chop"], (), 2, "no target or table 'chop' (did you mean 'chip'?)", id="target"),
        pytest.param(["paper"], (), 2, "cannot be run: the table rests on documentation", id="paper"),
        pytest.param(["chip"], ("Reluu",), 2, "no test form makes it (did you mean 'Relu'?)", id="op"),
        pytest.param(["chip", "--verify", "--random", "3"], (), 2, "--verify cannot be combined", id="both"),
        pytest.param(["chip", "--verify", "-o", "x"], (), 2, "--verify cannot be combined with", id="output"),
        pytest.param(
            ["chip", "--verify", "--replay"], (), 2, "--verify and --replay cannot", id="tries-and-none"
        ),
        pytest.param(
            ["chip", "--replay", "--random", "3"], (), 2, "--replay cannot be combined", id="replay"
        ),
        pytest.param(["chip", "--rule", "relu"], (), 2, "--rule needs --verify", id="rule-alone"),
        pytest.param(["chip", "--verify", "--rule", "reul"], (), 2, "(did you mean 'relu'?)", id="rule"),
        pytest.param(
            ["chip", "--random", "2", "--evidence", "e"], (), 2, "--evidence records", id="evidence"
        ),
        pytest.param(
            ["chip", "--replay"], ("Relu",), 2, "--verify --evidence fake.evidence", id="no-evidence"
        ),
        pytest.param(["chip", "--jobs", "0"], (), 2, "--jobs", id="jobs"),
        pytest.param(["chip", "--record", "no/r"], ("Relu",), 2, "cannot be used as a record", id="record"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    arguments: list[str], ops: tuple[str, ...], code: int, says: str, probe: Probe
) -> None:
    done = probe(TRUE, *arguments, ops=ops)
    assert (done.code, done.out) == (code, "")
    assert says in done.err
    assert done.err.startswith("mosaic-deploy: ")
    assert done.err.count("\n") == 1


def test_a_tool_that_is_missing_is_exit_3(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake_compiler, "missing", lambda: "pip install fake-tool")
    done = probe(TRUE, "chip", "--verify")
    assert done.code == 3
    assert "pip install fake-tool" in done.err


def test_a_bug_in_a_child_is_exit_3_and_leaves_its_log(
    home: Path, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(home))
    done = probe(HEAD + rule("Ceil", "runs"), "chip", "--verify", ops=("Ceil",))
    assert done.code == 3
    assert "a bug of whoever" in done.err
    assert len(list(home.glob("mosaic-probe-*/*.log"))) >= 1


def test_the_reference_page_names_every_key(probe: Probe) -> None:
    def keys(value: object) -> set[str]:
        if isinstance(value, dict):
            return set(value).union(*map(keys, value.values()))
        return set().union(*map(keys, value)) if isinstance(value, list) else set()

    page = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "probe-report.md").read_text()
    found = keys(json.loads(probe(TOO_KIND, "chip", "--verify", "--json").out))
    assert {"difference", "false_accept"} <= found
    assert [key for key in sorted(found) if f"`{key}`" not in page] == []


@pytest.mark.parametrize("other", [["--verify"], ["--output", "t.toml"], ["--random", "3"]])
def test_a_network_is_not_probed_with_options_of_the_grid(other: list[str], probe: Probe) -> None:
    done = probe(TRUE, "chip", "--model", "net.onnx", *other, ops=())
    assert (done.code, done.out) == (2, "")
    assert "--model" in done.err


def test_a_budget_needs_a_network(probe: Probe) -> None:
    done = probe(TRUE, "chip", "--budget", "3", ops=())
    assert (done.code, done.out) == (2, "")
    assert "--model" in done.err
