"""Toolchains as the project states them, and what their digests stand for."""

from __future__ import annotations

import platform
import tomllib
from pathlib import Path

import pytest

from mosaic_deploy.backends.reference import TOOLCHAIN as REFERENCE
from mosaic_deploy.backends.registry import BACKENDS, load_backend
from mosaic_deploy.errors import SpecError
from mosaic_deploy.specs import toolchain
from mosaic_deploy.specs.root import spec_root
from mosaic_deploy.specs.toml import read_toml
from mosaic_deploy.specs.toolchain import (
    Toolchain,
    is_here,
    load_toolchain,
    toolchain_names,
    toolchain_record,
    unavailable,
)

EXTRAS = {"qnn": "qnn", "litert": "litert", "openvino": "openvino", "ort": "ort", "torch": "zoo"}
"""Toolchain -> the extra that brings the same packages into a person's own environment."""
GROUPS = {"field": "field"}
"""Toolchain -> the development group that holds its versions in the lock."""
FOLDER = spec_root() / "targets" / "toolchains"


def test_these_are_known() -> None:
    assert set(toolchain_names()) == {*EXTRAS, *GROUPS}
    assert {load_backend(name).toolchain for name in BACKENDS} <= set(EXTRAS)


@pytest.mark.parametrize("name", sorted({*EXTRAS, *GROUPS}))
def test_a_toolchain_holds_what_it_asks_for_and_no_address(name: str) -> None:
    chain = load_toolchain(name)
    held = {f"{package.name}=={package.version}" for package in chain.packages}
    assert {*chain.requires, *chain.host} <= held
    assert len({package.name for package in chain.packages}) == len(chain.packages)
    assert "://" not in (FOLDER / f"{name}.toml").read_text(encoding="utf-8")
    assert chain.installed_mb * 10**6 > chain.download_bytes


@pytest.mark.parametrize(("name", "extra"), sorted(EXTRAS.items()))
def test_toolchains_and_extras_pin_the_same_versions(name: str, extra: str) -> None:
    """Else a build in one's own environment would be another than one in the toolchain's."""
    project = tomllib.loads((spec_root() / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pinned = {line for line in project["optional-dependencies"][extra] if "==" in line}
    packages = (*load_toolchain(name).packages, *load_toolchain(REFERENCE).packages)
    assert pinned <= {f"{p.name}=={p.version}" for p in packages}


@pytest.mark.parametrize(("name", "group"), sorted(GROUPS.items()))
def test_toolchains_and_groups_pin_the_same_versions(name: str, group: str) -> None:
    project = tomllib.loads((spec_root() / "pyproject.toml").read_text(encoding="utf-8"))
    packages = {f"{p.name}=={p.version}" for p in load_toolchain(name).packages}
    assert set(project["dependency-groups"][group]) <= packages


def test_the_digest_is_of_every_byte(tmp_path: Path) -> None:
    text = (FOLDER / "ort.toml").read_text(encoding="utf-8")
    first = load_toolchain("ort").packages[0]
    other = tmp_path / "ort.toml"
    digests = {load_toolchain("ort").digest()}
    changes = (
        (first.sha256, "0" * 64),
        (f'"{first.version}"', '"9.9.9"'),
        ('python = "3.12"', 'python = "3.13"'),
    )
    for old, new in changes:
        other.write_text(text.replace(old, new, 1), encoding="utf-8")
        digests.add(read_toml(Toolchain, other).digest())
    assert len(digests) == 4
    other.write_text(text.replace("summary = ", 'summary = "reworded: " #', 1), encoding="utf-8")
    assert read_toml(Toolchain, other).digest() in digests


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(SpecError, match=r"no toolchain 'litrt' .did you mean 'litert'"):
        load_toolchain("litrt")


def test_an_environment_with_other_versions_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    is_here.cache_clear()
    monkeypatch.setattr(toolchain, "_version", lambda _: "0.0.1")
    assert not is_here("ort")
    assert toolchain_record("ort") == {"name": "ort", "digest": load_toolchain("ort").digest()}
    is_here.cache_clear()


def test_the_record_is_of_what_is_really_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One package of another version than pinned, and the build is another."""
    monkeypatch.setattr(toolchain, "is_here", lambda _: True)
    pinned = {package.name: package.version for package in load_toolchain("ort").packages}
    monkeypatch.setattr(toolchain, "_version", pinned.__getitem__)
    assert toolchain_record("ort")["digest"] == load_toolchain("ort").digest()
    monkeypatch.setattr(toolchain, "_version", {**pinned, "protobuf": "0"}.__getitem__)
    assert toolchain_record("ort")["digest"] != load_toolchain("ort").digest()


def test_other_machines_are_told_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "is_here", lambda _: False)
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert unavailable("qnn") == "toolchain qnn is for Linux on x86-64, and this is Linux on aarch64"
