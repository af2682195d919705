"""The search for a Vulkan driver, on machines made up of a few files."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from mosaic_deploy.backends.litert.gpu import vulkan
from mosaic_deploy.errors import ToolError


def a_driver(folder: Path, *, name: str = "vk_swiftshader_icd.json", library: str | None = None) -> Path:
    """A driver's JSON file, and its library if one is named."""
    folder.mkdir(parents=True, exist_ok=True)
    if library is not None:
        (folder / library).write_bytes(b"")
    text = json.dumps(
        {"file_format_version": "1.0.0", "ICD": {"library_path": f"./{library or 'absent.so'}"}}
    )
    (folder / name).write_text(text)
    return folder / name


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Return what makes a machine on which only the named folders are searched."""

    def searched(*places: Path, system: tuple[Path, ...] = (), loader: str = "libc.so.6") -> None:
        monkeypatch.setattr(vulkan, "PLACES", tuple(str(place) for place in places))
        monkeypatch.setattr(vulkan, "SYSTEM_DRIVERS", tuple(str(place) for place in system))
        monkeypatch.setattr(vulkan, "LOADER", loader)
        for name in vulkan.NAMED_IN:
            monkeypatch.delenv(name, raising=False)

    return searched


def test_no_driver_at_all_names_the_line_that_installs_one(bare: Callable[..., None], tmp_path: Path) -> None:
    bare()
    assert vulkan.missing() == f"no Vulkan driver for the GPU accelerator: {vulkan.INSTALL}"
    with pytest.raises(ToolError, match="apt-get install"):
        vulkan.environment(tmp_path)


@pytest.mark.parametrize(
    ("file", "says"),
    [
        pytest.param(
            "lvp_icd.x86_64.json", "lavapipe, which the GPU accelerator refuses: apt-get", id="lavapipe"
        ),
        pytest.param(
            "intel_icd.json", "or name a driver such as intel_icd.json in MOSAIC_VULKAN", id="hardware"
        ),
    ],
)
def test_other_drivers_are_said_to_be_there(
    bare: Callable[..., None], tmp_path: Path, file: str, says: str
) -> None:
    bare(system=(tmp_path,))
    a_driver(tmp_path, name=file)
    assert says in str(vulkan.missing())


def test_swiftshader_is_found_by_pattern(bare: Callable[..., None], tmp_path: Path) -> None:
    manifest = a_driver(tmp_path / "chromium-7", library="libvk_swiftshader.so")
    bare(tmp_path / "chromium*")
    assert vulkan.missing() is None
    assert vulkan.driver() == vulkan.Driver((manifest,))
    assert vulkan.Driver((manifest,)).software
    assert not vulkan.Driver((manifest.with_name("nvidia_icd.json"),)).software


@pytest.mark.parametrize("variable", vulkan.NAMED_IN)
def test_a_named_driver_wins(
    bare: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    a_driver(tmp_path / "found", library="libvk_swiftshader.so")
    named = a_driver(tmp_path / "named", name="mine.json", library="mine.so")
    bare(tmp_path / "found")
    monkeypatch.setenv(variable, str(named))
    assert vulkan.driver() == vulkan.Driver((named,), variable)
    variables = vulkan.environment(tmp_path / "scratch")
    assert variables["VK_DRIVER_FILES"] == variables["VK_ICD_FILENAMES"] == str(named)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param(None, "which is not a file", id="no-file"),
        pytest.param("{}", "which is not the JSON file of a Vulkan driver", id="no-driver"),
        pytest.param("[", "which is not the JSON file of a Vulkan driver", id="no-json"),
        pytest.param(
            '{"ICD": {"library_path": "./gone.so"}}',
            r"whose library './gone.so' is missing",
            id="no-library",
        ),
    ],
)
def test_a_named_driver_that_cannot_be_is_said(
    bare: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, says: str
) -> None:
    bare()
    manifest = tmp_path / "mine.json"
    if text is not None:
        manifest.write_text(text)
    monkeypatch.setenv("MOSAIC_VULKAN_DRIVER", str(manifest))
    problem = str(vulkan.missing())
    assert problem.startswith(f"MOSAIC_VULKAN_DRIVER names {manifest}, {says}; ")
    assert "\n" not in problem


def test_the_environment_is_private(bare: Callable[..., None], tmp_path: Path) -> None:
    a_driver(tmp_path / "chromium", library="libvk_swiftshader.so")
    bare(tmp_path / "chromium")
    variables = vulkan.environment(tmp_path / "scratch")
    private = Path(variables["XDG_RUNTIME_DIR"])
    assert private.is_relative_to(tmp_path / "scratch")
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert "LD_LIBRARY_PATH" not in variables
    assert vulkan.environment(tmp_path / "scratch") == variables


def test_a_loader_beside_the_driver_will_do(bare: Callable[..., None], tmp_path: Path) -> None:
    a_driver(tmp_path / "chromium", library="libvk_swiftshader.so")
    bare(tmp_path / "chromium", loader="libvulkan-of-nobody.so.1")
    assert vulkan.missing() == f"the Vulkan loader libvulkan-of-nobody.so.1 is missing: {vulkan.INSTALL}"
    (tmp_path / "chromium" / "libvulkan-of-nobody.so.1").write_bytes(b"")
    variables = vulkan.environment(tmp_path / "scratch")
    folder = Path(variables["LD_LIBRARY_PATH"].split(os.pathsep)[0])
    assert [path.name for path in folder.iterdir()] == ["libvulkan-of-nobody.so.1"]
