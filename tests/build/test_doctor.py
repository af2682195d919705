"""What doctor says of toolchains, and what it makes and removes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from mosaic_deploy.build import doctor
from mosaic_deploy.build.doctor import Finding
from mosaic_deploy.errors import SpecError
from mosaic_deploy.specs.registry import spec_names
from mosaic_deploy.specs.target import TargetSpec
from mosaic_deploy.specs.toolchain import load_toolchain, toolchain_names
from mosaic_deploy.workers.environments import cache_folder


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def quiet(*_: object) -> None:
    return


def test_every_toolchain_has_a_line_with_its_size() -> None:
    lines = {f.name.partition(":")[0]: f for f in doctor.examine() if f.name.startswith("toolchain ")}
    assert set(lines) == {f"toolchain {name}" for name in toolchain_names()}
    assert all(finding.optional for finding in lines.values())


def test_one_that_is_not_there_says_its_size_and_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "is_here", lambda _: False)
    (found,) = (f for f in doctor.examine() if f.name.startswith("toolchain qnn"))
    sizes = load_toolchain("qnn").environment().sizes
    assert (found.ok, found.found) == (False, f"installed on first use: {sizes}")
    assert found.remedy == "mosaic-deploy doctor --install qnn"


@pytest.mark.parametrize(
    ("asked", "made"),
    [
        pytest.param(["qnn"], ["qnn"], id="toolchain"),
        pytest.param(["dsp"], ["qnn", "ort"], id="target"),
        pytest.param(["cpu", "gpu", "ort"], ["litert", "ort"], id="each-once"),
        pytest.param(["all"], [n for n in toolchain_names() if n != "field"], id="all"),
    ],
)
def test_targets_stand_for_what_their_builds_need(
    asked: list[str], made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []

    def note(name: str, *, on_progress: object) -> None:
        called.append(name)

    monkeypatch.setattr(doctor, "toolchain_python", note)
    said = doctor.install(asked, progress=quiet)
    assert called == made
    assert said == tuple(f"toolchain {name}: in this environment" for name in made)


def test_a_wrong_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(SpecError, match=r"no toolchain or target 'dps' .did you mean 'dsp'"):
        doctor.install(["dps"], progress=quiet)


def lacking(monkeypatch: pytest.MonkeyPatch, *targets: str) -> None:
    """Let these targets have no driver."""
    whole = doctor._targets

    def without(names: Sequence[str]) -> list[Finding]:
        found = whole(names)
        lame = [Finding(f.name, False, "not usable", "install a driver") for f in found]
        return [b if f.name.split()[1] in targets else f for f, b in zip(found, lame, strict=True)]

    monkeypatch.setattr(doctor, "_targets", without)


def test_a_driver_that_one_target_lacks_is_a_warning_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking(monkeypatch, "gpu")
    findings = {f.name: f for f in doctor.examine()}
    assert (findings["target gpu"].ok, findings["target gpu"].remedy) == (False, "install a driver")
    assert doctor.healthy(tuple(findings.values()))
    assert doctor.healthy(doctor.examine(["dsp"]))
    assert not doctor.healthy(doctor.examine(["gpu"]))
    assert not doctor.healthy(doctor.examine(["dsp", "gpu"]))


def test_no_target_at_all_is_not_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking(monkeypatch, *spec_names(TargetSpec))
    assert not doctor.healthy(doctor.examine())


def test_a_named_target_is_judged_with_its_toolchains_alone() -> None:
    names = [f.name.partition(":")[0] for f in doctor.examine(["dsp"])]
    assert [name for name in names if name.startswith("target")] == ["target dsp"]
    assert [name for name in names if name.startswith("toolchain")] == ["toolchain qnn", "toolchain ort"]
    with pytest.raises(SpecError, match="did you mean 'dsp'"):
        doctor.examine(["dps"])


def test_clean_keeps_what_this_version_needs() -> None:
    kept = load_toolchain("qnn").environment().folder_name
    for name in (kept, "qnn-000000000000"):
        (cache_folder() / name).mkdir(parents=True)
    assert doctor.clean() == (f"removed {cache_folder() / 'qnn-000000000000'}: 0 MB",)
    assert [path.name for path in cache_folder().iterdir() if path.is_dir()] == [kept]


def test_all_leaves_out_what_no_command_needs() -> None:
    assert "field" not in doctor._chains("all")
    assert {"qnn", "ort", "torch"} <= {*doctor._chains("all")}
    assert doctor._chains("field") == ("field",)
