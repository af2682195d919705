"""Finding a Vulkan driver for LiteRT's GPU accelerator, and what its child processes need to load it.

A driver is a JSON file that names a library. One that the person names, in ``MOSAIC_VULKAN_DRIVER`` or
``VK_DRIVER_FILES``, is taken as it is; otherwise SwiftShader is looked for, the software driver that comes
with Chromium and what is built on it. Hardware is never chosen unasked: results would depend on the machine.
"""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mosaic_deploy.errors import ToolError

NAMED_IN = ("MOSAIC_VULKAN_DRIVER", "VK_DRIVER_FILES", "VK_ICD_FILENAMES")
"""Variables in which a person may name drivers, the strongest first; the last is what old loaders read."""
PLACES = (
    "/usr/lib/chromium*",
    "/usr/lib64/chromium*",
    "/usr/lib/*/chromium*",
    "/opt/google/chrome*",
    "/opt/chromium*",
    "/opt/microsoft/msedge*",
    "/opt/brave.com/brave*",
    "/snap/chromium/current/usr/lib/chromium-browser",
    "/usr/lib/electron*",
    "/usr/share/code",
    "/usr/share/vulkan/icd.d",
    "/usr/local/share/vulkan/icd.d",
    "/etc/vulkan/icd.d",
)
"""Folders, as patterns from the root, in which SwiftShader's JSON file may lie."""
SYSTEM_DRIVERS = ("/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d")
LOADER = "libvulkan.so.1"
INSTALL = "apt-get install --no-install-recommends chromium-common libvulkan1"
_FILE = "vk_swiftshader_icd.json"
_SOFTWARE = ("swiftshader", "lvp", "lavapipe", "llvmpipe")


@dataclass(frozen=True, slots=True)
class Driver:
    """A Vulkan driver."""

    manifests: tuple[Path, ...]
    """The JSON files to be offered to the loader."""
    named_in: str = ""
    """The variable that named it; empty where it was found."""

    @property
    def software(self) -> bool:
        """Whether it computes on the CPU, by its name."""
        return all(any(word in path.name.lower() for word in _SOFTWARE) for path in self.manifests)


def missing() -> str | None:
    """Say in one line what keeps Vulkan from working here and the line that installs it, or None."""
    found = driver()
    if found is None:
        return _no_driver()
    for manifest in found.manifests:
        wrong = _wrong_with(manifest)
        if wrong is not None:
            origin = f"{found.named_in} names " if found.named_in else ""
            return f"{origin}{manifest}, {wrong}; SwiftShader: {INSTALL}"
    if _loader(found) is None:
        return f"the Vulkan loader {LOADER} is missing: {INSTALL}"
    return None


def driver() -> Driver | None:
    """The driver to use: the one that is named, else SwiftShader, else None."""
    for name in NAMED_IN:
        manifests = tuple(_manifests(os.environ.get(name, "").split(os.pathsep)))
        if manifests:
            return Driver(manifests, name)
    for pattern in PLACES:
        for folder in sorted(Path("/").glob(pattern.lstrip("/"))):
            if (folder / _FILE).is_file():
                return Driver((folder / _FILE,))
    return None


def environment(scratch: Path) -> dict[str, str]:
    """Variables for a child process that uses Vulkan; makes a private folder in ``scratch``.

    Raises ``ToolError`` where ``missing`` has something to say.
    """
    problem, found = missing(), driver()
    if problem is not None or found is None:
        raise ToolError(problem or _no_driver())
    private = scratch.resolve() / "vulkan"
    private.mkdir(parents=True, exist_ok=True)
    private.chmod(0o700)  # the loader and drivers refuse, or warn of, a folder that others can read
    files = os.pathsep.join(str(path.resolve()) for path in found.manifests)
    variables = {
        "VK_DRIVER_FILES": files,
        "VK_ICD_FILENAMES": files,
        "XDG_RUNTIME_DIR": str(private),
        # Overlays and recorders that a desktop adds to every program that draws.
        "VK_LOADER_LAYERS_DISABLE": "~implicit~",
    }
    beside = _loader(found)
    if isinstance(beside, Path):
        # Only this one library: a browser's folder holds others that must not be picked up.
        link = private / LOADER
        if not link.exists():
            link.symlink_to(beside)
        paths = [str(private), os.environ.get("LD_LIBRARY_PATH", "")]
        variables["LD_LIBRARY_PATH"] = os.pathsep.join(path for path in paths if path)
    return variables


def _manifests(entries: Iterable[str]) -> Iterable[Path]:
    """The JSON files of a list of files and folders, as the loader reads one."""
    for entry in filter(None, entries):
        path = Path(entry)
        if path.is_dir():
            yield from sorted(path.glob("*.json"))
        else:
            yield path


def _wrong_with(manifest: Path) -> str | None:
    """Why a driver cannot be loaded, as far as its files show; or None."""
    if not manifest.is_file():
        return "which is not a file"
    try:
        library = str(json.loads(manifest.read_text())["ICD"]["library_path"])
    except (OSError, ValueError, KeyError, TypeError):
        return "which is not the JSON file of a Vulkan driver"
    # A bare name is left to the system's search; a path counts from the file's own folder.
    if "/" in library and not (manifest.parent / library).is_file():
        return f"whose library '{library}' is missing"
    return None


def _loader(found: Driver) -> Path | str | None:
    """The loader's name where the system has it, its path where only the driver's folder does, else None."""
    try:
        ctypes.CDLL(LOADER)  # it loads no driver before it is called
    except OSError:
        beside = (path.resolve().parent / LOADER for path in found.manifests)
        return next((path for path in beside if path.is_file()), None)
    return LOADER


def _no_driver() -> str:
    others = [p.name for folder in SYSTEM_DRIVERS for p in sorted(Path(folder).glob("*.json"))]
    if not others:
        return f"no Vulkan driver for the GPU accelerator: {INSTALL}"
    software = [name for name in others if any(word in name.lower() for word in _SOFTWARE)]
    if len(software) == len(others):
        return f"the only Vulkan driver here is Mesa's lavapipe, which the GPU accelerator refuses: {INSTALL}"
    hardware = next(name for name in others if name not in software)
    return f"SwiftShader is missing: {INSTALL}; or name a driver such as {hardware} in {NAMED_IN[0]}"
