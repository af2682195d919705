"""What the core's packages alone are enough for: each command in a process that can import nothing else."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from mosaic_deploy.cli.app import _extra_of
from mosaic_deploy.specs.registry import spec_names
from mosaic_deploy.specs.root import spec_root
from mosaic_deploy.specs.target import TargetSpec
from tests.cli.check_program import PROGRAM
from tests.gate.gate_models import GOOD, write

CORE = ("numpy", "onnx", "pillow", "pydantic", "rich", "typer")
"""What ``check``, ``targets`` and every help text may import, with what these need."""

FORBIDDEN = (
    r"toolchain {0} is not installed, and installing is forbidden \(\d+ MB to download, \d+ MB on disk\): "
    r"run mosaic-deploy doctor --install {0}$"
)

HIDE = """
import re
import sys
from importlib.machinery import PathFinder
from importlib.metadata import DistributionFinder

class Core(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in {names!r} else super().find_spec(name, path, target)

    @classmethod
    def find_distributions(cls, context=DistributionFinder.Context()):
        found = super().find_distributions(context)
        return (d for d in found if re.sub("[-_.]+", "-", d.name).lower() in {allowed!r})

sys.meta_path[sys.meta_path.index(PathFinder)] = Core
"""


def closure(names: tuple[str, ...]) -> set[str]:
    """Distributions with all that they require without extras, by their normal names."""
    found: set[str] = set()
    left = list(names)
    while left:
        name = re.sub(r"[-_.]+", "-", left.pop()).lower()
        if name in found:
            continue
        try:
            required = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # for another Python or system
            continue
        found.add(name)
        left += [match[0] for r in required if "extra ==" not in r and (match := re.match(r"[\w.-]+", r))]
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models, and with what makes Python refuse to import more than the core."""
    folder = tmp_path_factory.mktemp("core-only")
    allowed = {*closure(CORE), "mosaic-deploy"}
    hidden = {
        module
        for module, owners in metadata.packages_distributions().items()
        if not allowed & {re.sub(r"[-_.]+", "-", owner).lower() for owner in owners}
    }
    assert {"pytest", "hypothesis"} <= hidden
    names = hidden | {"torch", "onnxruntime", "openvino", "nncf", "ai_edge_litert", "onnx2tf", "onnxsim"}
    (folder / "hook").mkdir()
    (folder / "hook" / "sitecustomize.py").write_text(
        HIDE.format(names=names, allowed=allowed), encoding="utf-8"
    )
    write(folder / "good.onnx", GOOD)
    write(folder / "curable.onnx", "a = Relu (image) y = Softsign (a)")
    return folder


def test_the_core_requires_no_more() -> None:
    project = tomllib.loads((spec_root() / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in project["dependencies"]}
    assert names == {*CORE, "jinja2", "uv"}  # which only a build loads


def run(*arguments: str, place: Path) -> subprocess.CompletedProcess[str]:
    """Run a command on the core alone, without a Vulkan driver, a toolchain, or leave to install one."""
    absent = {
        "MOSAIC_VULKAN_DRIVER": str(place / "no_driver.json"),
        "PYTHONPATH": str(place / "hook"),
        "XDG_CACHE_HOME": str(place / "cache"),
        "MOSAIC_NO_INSTALL": "1",
    }
    return subprocess.run(
        [*PROGRAM, *arguments], cwd=place, env={**os.environ, **absent},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_check_answers_for_every_target(place: Path) -> None:
    done = run("check", "good.onnx", "--target", "all", place=place)
    assert (done.returncode, done.stderr) == (0, "")
    names = spec_names(TargetSpec)
    assert len(names) >= 6
    found = re.findall(r"^  (\S+) \(.*\): ((?:un)?supported)", done.stdout, re.MULTILINE)
    assert found == [(name, "supported") for name in names]


@pytest.mark.parametrize("target", spec_names(TargetSpec))
def test_check_answers_for_one_target(target: str, place: Path) -> None:
    done = run("check", "good.onnx", "--target", target, place=place)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"  {target} (" in done.stdout


def test_fixes_are_told_of_and_their_proof_names_what_is_missing(place: Path) -> None:
    assert "supported after fixes" in run("check", "curable.onnx", "--target", "dsp", place=place).stdout
    done = run("check", "curable.onnx", "--target", "dsp", "--fix", "fixed.onnx", place=place)
    assert done.returncode == 3
    last = done.stderr.splitlines()[-1]
    assert re.search(FORBIDDEN.format("ort"), last)
    assert not (place / "fixed.onnx").exists()


@pytest.mark.parametrize(
    "arguments", ["--help", "check --help", "run --help", "build --help", "targets", "targets dsp"]
)
def test_other_commands(arguments: str, place: Path) -> None:
    done = run(*arguments.split(), place=place)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


@pytest.mark.parametrize(("target", "toolchain"), [("dsp", "qnn"), ("gpu", "litert"), ("ort-mobile", "ort")])
def test_a_build_says_what_to_install(target: str, toolchain: str, place: Path) -> None:
    done = run("build", "--target", target, place=place)
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1
    assert re.search(FORBIDDEN.format(toolchain), done.stderr)


def test_a_command_that_needs_an_extra_names_it(place: Path) -> None:
    done = run("train", "mosaic", "--data", "streets", "--out", "run", place=place)
    assert done.returncode == 3
    assert done.stderr == (
        "mosaic-deploy: No module named 'torch': pip install 'mosaic-deploy[zoo]' "
        "(in a clone: uv sync --inexact --extra zoo)\n"
    )


@pytest.mark.parametrize(
    ("module", "extra"),
    [
        ("ai_edge_litert.interpreter", "litert"),
        ("onnxruntime", "ort"),
        ("onnxruntime_qnn", "qnn"),
        ("openvino", "openvino"),
        ("torch", "zoo"),
        ("mosaic_deploy.nothing", None),
        (None, None),
    ],
)
def test_the_extra_of_a_module(module: str | None, extra: str | None) -> None:
    assert _extra_of(module) == extra


def test_nothing_else_can_be_imported(place: Path) -> None:
    done = run("check", "good.onnx", "--target", "dsp", "--verify", place=place)
    assert done.returncode == 3
    assert re.search(FORBIDDEN.format("qnn"), done.stderr)
