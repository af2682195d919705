"""The GitHub Action, the pre-commit hook and the GitLab job, run here on repositories made for it."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.cli.check_program import GIT, GitRepository, path_with_program
from tests.gate.gate_models import ERF, GOOD, write

ROOT = Path(__file__).resolve().parents[2]
CONFIG = 'schema = 1\nmodels = ["nets/*.onnx"]\ntargets = ["dsp"]\n'
TWO_ERFS = "a = Erf (image) b = Relu (a) y = Erf (b)"

pytestmark = pytest.mark.skipif(GIT is None, reason="git is not installed")


@dataclass(frozen=True)
class Step:
    """A step of the action: its keys, and its ``env`` and ``with``."""

    keys: dict[str, str] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)


def read_action() -> tuple[dict[str, str], list[Step]]:
    """Read defaults of inputs, and steps: the little YAML that the file is written in."""
    defaults: dict[str, str] = {}
    steps: list[Step] = []
    name = ""
    for line in (ROOT / "action.yml").read_text(encoding="utf-8").splitlines():
        indent, text = len(line) - len(line.lstrip()), line.strip()
        key, _, value = text.removeprefix("- ").partition(":")
        value = re.sub(r'^"(.*)"$', r"\1", value.strip())
        if indent == 2 and not value:
            name = key
        elif indent == 4 and key == "default":
            defaults[name] = value
        if indent == 4 and text.startswith("- "):
            steps.append(Step())
        if steps and value and indent <= 6:
            steps[-1].keys[key] = value
        elif steps and value:
            steps[-1].env[key] = value
    return defaults, steps


def evaluate(text: str, values: Mapping[str, str]) -> str:
    """Fill in expressions: a value, or the first that is not empty of several."""

    def one(found: re.Match[str]) -> str:
        names = [name.strip() for name in found[1].split("||")]
        return next((values[name] for name in names if values.get(name)), "")

    return re.sub(r"\$\{\{(.*?)\}\}", one, text)


@dataclass(frozen=True)
class Ran:
    """What the action's steps did."""

    code: int
    out: str
    sarif: Path
    summary: str
    outputs: str


class Action:
    """The action in a repository, as a runner would run it."""

    def __init__(self, repository: GitRepository, work: Path) -> None:
        self.repository, self.work = repository, work
        self.path = path_with_program(work / "bin")

    def run(self, base: str = "", **inputs: str) -> Ran:
        """Run the check's step with these inputs; ``_`` in their names stands for ``-``."""
        defaults, steps = read_action()
        given = {**defaults, **{key.replace("_", "-"): value for key, value in inputs.items()}}
        values = {f"inputs.{key}": value for key, value in given.items()}
        values["github.event.pull_request.base.sha"] = base
        (step,) = [s for s in steps if s.keys.get("id") == "check"]
        summary, outputs = self.work / "summary.md", self.work / "outputs"
        for place in (summary, outputs):
            place.write_text("", encoding="utf-8")
        environment = {
            **os.environ,
            **{key: evaluate(value, values) for key, value in step.env.items()},
            "PATH": self.path,
            "GITHUB_ACTION_PATH": str(ROOT),
            "GITHUB_STEP_SUMMARY": str(summary),
            "GITHUB_OUTPUT": str(outputs),
        }
        done = subprocess.run(
            ["bash", "-e", "-c", step.keys["run"]],
            cwd=self.repository.root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        sarif = self.repository.root / given["sarif"]
        return Ran(
            done.returncode, done.stdout + done.stderr, sarif, summary.read_text(), outputs.read_text()
        )


@pytest.fixture
def example(tmp_path: Path) -> GitRepository:
    """A repository with a config, a good and a bad model, committed."""
    repository = GitRepository(tmp_path / "example")
    write(repository.root / "nets" / "good.onnx", GOOD)
    write(repository.root / "nets" / "bad.onnx", ERF)
    (repository.root / "mosaic-deploy.toml").write_text(CONFIG, encoding="utf-8")
    repository.commit()
    return repository


@pytest.fixture
def action(example: GitRepository, tmp_path: Path) -> Action:
    return Action(example, tmp_path / "work")


def checked(ran: Ran) -> set[str]:
    """The models that the log tells of."""
    return set(re.findall(r"^mosaic-deploy: (\S+\.onnx) on dsp: ", ran.out, re.MULTILINE))


def test_the_action_reads_as_it_should() -> None:
    defaults, steps = read_action()
    assert defaults["models"] == "changed"
    assert [step.keys["name"] for step in steps] == ["Python", "Install", "Check", "Upload"]
    for step in steps:
        assert "uses" in step.keys or step.keys["shell"] == "bash"
        assert "${{" not in step.keys.get("run", "")  # inputs reach a shell through its environment only


def test_the_action_installs_itself(tmp_path: Path) -> None:
    _, steps = read_action()
    (step,) = [s for s in steps if s.keys["name"] == "Install"]
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "GITHUB_ACTION_PATH": "/an action"}
    done = subprocess.run(
        ["bash", "-e", "-c", step.keys["run"]], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "-m pip install --quiet /an action\n"
    assert (ROOT / "pyproject.toml").is_file()  # what pip finds there


def test_the_action_checks_all_and_reports(action: Action) -> None:
    ran = action.run(models="all")
    assert ran.code == 1, ran.out
    assert checked(ran) == {"nets/good.onnx", "nets/bad.onnx"}
    assert "::error file=nets/bad.onnx,title=unsupported on dsp%3A Erf::" in ran.out
    results = json.loads(ran.sarif.read_text(encoding="utf-8"))["runs"][0]["results"]
    assert {r["ruleId"] for r in results} == {"qnn-htp/erf"}
    assert ran.summary.startswith("### mosaic-deploy check failed\n")
    assert ran.outputs == "sarif=mosaic-deploy.sarif\n"


def test_the_action_checks_what_changed(action: Action, example: GitRepository) -> None:
    base = example.git("rev-parse", "HEAD").strip()
    write(example.root / "nets" / "with space.onnx", GOOD)
    write(example.root / "-dash.onnx", GOOD)
    example.commit()
    ran = action.run(base)
    assert ran.code == 0, ran.out
    assert "mosaic-deploy: nets/with space.onnx on dsp: supported" in ran.out
    assert checked(ran) == {"-dash.onnx"}


def test_weights_beside_a_model_change_it(action: Action, example: GitRepository) -> None:
    base = example.git("rev-parse", "HEAD").strip()
    (example.root / "nets" / "good.onnx.data").write_bytes(b"weights")
    example.commit()
    assert checked(action.run(base)) == {"nets/good.onnx"}


def test_no_model_is_no_failure(action: Action, example: GitRepository) -> None:
    base = example.git("rev-parse", "HEAD").strip()
    (example.root / "README").touch()
    example.commit()
    ran = action.run(base)
    assert (ran.code, ran.outputs) == (0, "")
    assert "no ONNX file" in ran.out


@pytest.mark.parametrize("base", [pytest.param("", id="none"), pytest.param("0" * 40, id="first-push")])
def test_without_a_base_all_are_checked(base: str, action: Action) -> None:
    assert checked(action.run(base)) == {"nets/good.onnx", "nets/bad.onnx"}


def test_only_what_is_new_fails_where_that_is_asked(action: Action, example: GitRepository) -> None:
    base = example.git("rev-parse", "HEAD").strip()
    assert action.run(base, models="config", new_only="true").code == 0
    write(example.root / "nets" / "bad.onnx", TWO_ERFS)
    example.commit()
    ran = action.run(base, models="config", new_only="true")
    assert ran.code == 1
    states = [
        r["baselineState"] for r in json.loads(ran.sarif.read_text(encoding="utf-8"))["runs"][0]["results"]
    ]
    assert sorted(states) == ["new", "unchanged"]
    assert example.git("worktree", "list").count("\n") == 1


def test_inputs_are_no_shell(action: Action, example: GitRepository) -> None:
    ran = action.run(targets="$(touch owned)", models="`touch owned` ;touch owned")
    assert ran.code == 2
    assert not (example.root / "owned").exists()


def test_the_action_hands_on_what_becomes_of_unknown_nodes(action: Action, tmp_path: Path) -> None:
    assert action.run(models="all").code == 1
    ran = action.run(models="all", unknown="perhaps", evidence=str(tmp_path / "evidence"))
    assert ran.code == 2


def read_hooks() -> list[dict[str, str]]:
    """The hooks' keys: one list of flat mappings."""
    hooks: list[dict[str, str]] = []
    for line in (ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8").splitlines():
        if line.startswith("- "):
            hooks.append({})
        key, _, value = line[2:].partition(": ")
        hooks[-1][key] = value
    return hooks


@pytest.mark.parametrize("hook", read_hooks(), ids=lambda hook: hook["id"])
def test_a_hook_checks_staged_models(hook: dict[str, str], example: GitRepository, tmp_path: Path) -> None:
    environment = {**os.environ, "PATH": path_with_program(tmp_path / "bin")}

    def commit() -> subprocess.CompletedProcess[str]:
        example.git("add", "--all")
        staged = example.git("diff", "--cached", "--name-only", "-z").split("\0")
        files = [name for name in staged if name and re.search(hook["files"], name)]
        return subprocess.run(
            [*shlex.split(hook["entry"]), *files],
            cwd=example.root, env=environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    assert set(hook) == {"id", "name", "description", "entry", "language", "files", "require_serial"}
    write(example.root / "nets" / "new.onnx", GOOD)
    (example.root / "notes.onnx.txt").touch()
    good = commit()
    assert (good.returncode, "nets/new.onnx" in good.stdout, "bad.onnx" in good.stdout) == (0, True, False)
    write(example.root / "nets" / "new.onnx", ERF)
    assert commit().returncode == 1


def test_the_gitlab_job_runs(example: GitRepository, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "how-to" / "ci-gate.md").read_text(encoding="utf-8")
    (job,) = [block for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "junit:" in block]
    script = re.findall(r"^    - (.*)$", job.split("  script:\n")[1].split("\n  artifacts:")[0], re.MULTILINE)
    commands = [line for line in script if "pip install" not in line]
    assert commands
    environment = {**os.environ, "PATH": path_with_program(tmp_path / "bin")}
    codes = [
        subprocess.run(
            ["bash", "-c", line],
            cwd=example.root,
            env=environment,
            capture_output=True,
            timeout=60,
            check=False,
        ).returncode
        for line in commands
    ]
    assert codes[-1] == 1
    (report,) = re.findall(r"junit: (\S+)", job)
    assert ElementTree.parse(example.root / report).getroot().attrib["failures"] == "1"
