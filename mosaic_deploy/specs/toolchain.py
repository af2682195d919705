"""Toolchains: the packages that compile and run networks for one vendor's hardware, pinned to the byte."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from mosaic_deploy.errors import SpecError
from mosaic_deploy.specs.fields import Name, Spec
from mosaic_deploy.specs.root import spec_root
from mosaic_deploy.specs.toml import nearest, read_toml
from mosaic_deploy.workers.environments import Environment, Pin, cache_folder, forbidden, make, ready
from mosaic_deploy.workers.progress import OnProgress, StageProgress

_FOLDER = ("targets", "toolchains")
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Package(Spec):
    """One package of a toolchain, as its wheel for Linux on x86-64."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    version: str
    sha256: Sha256
    size: Annotated[int, Field(gt=0)]
    """Bytes to download."""


class SystemLibrary(Spec):
    """What no Python package brings."""

    what: str
    apt: str
    """The line that installs it on Debian and Ubuntu."""


class Toolchain(Spec):
    """The packages of one environment, and why they are together."""

    schema_version: Literal[1] = Field(alias="schema")
    name: Name
    summary: str
    """What it is for."""
    licence: str
    python: Annotated[str, Field(pattern=r"^3\.\d+$")]
    requires: Annotated[tuple[str, ...], Field(min_length=1)]
    """``NAME==VERSION`` of what decides results; an environment that has these is used as it is."""
    host: tuple[str, ...]
    """``NAME==VERSION`` of what mosaic-deploy itself imports in its children, where any version does."""
    installed_mb: Annotated[int, Field(gt=0)]
    """Measured on disk, in units of 10^6 bytes."""
    system: tuple[SystemLibrary, ...] = ()
    only_by_name: bool = False
    """Whether ``doctor --install all`` leaves it out: no command needs it."""
    packages: Annotated[tuple[Package, ...], Field(min_length=1)]
    """Everything that is installed."""

    def digest(self) -> str:
        """Hex digest of Python's version and of every package's bytes: what a build depends on."""
        return _digest(self.python, [[p.name, p.version, p.sha256] for p in self.packages])

    @property
    def download_bytes(self) -> int:
        """What making it from nothing downloads."""
        return sum(package.size for package in self.packages)

    def version(self, package: str) -> str:
        """The pinned version of one of its packages; raises ``KeyError`` for another."""
        return {pinned.name: pinned.version for pinned in self.packages}[package]

    def environment(self) -> Environment:
        """Say what ``workers.environments`` needs to make it."""
        return Environment(
            name=self.name,
            digest=self.digest(),
            python=self.python,
            pins=tuple(Pin(p.name, p.version, p.sha256, p.size) for p in self.packages),
            why=self.summary,
            installed_bytes=self.installed_mb * 10**6,
        )


def toolchain_names() -> tuple[str, ...]:
    """All toolchains that the project knows, sorted."""
    return tuple(sorted(path.stem for path in spec_root().joinpath(*_FOLDER).glob("*.toml")))


@cache
def load_toolchain(name: str) -> Toolchain:
    """Read a toolchain by its name; raises ``SpecError`` for an unknown one, with the nearest."""
    known = toolchain_names()
    if name not in known:
        raise SpecError(f"no toolchain '{name}'{nearest(name, known)}; known: {', '.join(known)}")
    return read_toml(Toolchain, spec_root().joinpath(*_FOLDER, f"{name}.toml"))


@cache
def is_here(name: str) -> bool:
    """Tell whether this very environment has the packages that a toolchain asks for."""
    return all(_installed(*pin.split("==")) for pin in load_toolchain(name).requires)


def toolchain_python(name: str, *, on_progress: OnProgress | None = None) -> Path | None:
    """Return the interpreter for a toolchain's child processes; None stands for the one that runs now.

    That is this environment where it has the pinned packages, else one of the toolchain's own, which is
    made on first use. ``on_progress`` hears how that goes.

    Raises ``ToolError`` where it cannot be made, or must not be (``MOSAIC_NO_INSTALL``).
    """
    return None if is_here(name) else make(load_toolchain(name).environment(), on_progress=on_progress)


def require_toolchain(name: str, progress: StageProgress) -> None:
    """Make a toolchain ready before its first child, shown as the stage ``install NAME``.

    Raises ``ToolError`` as ``toolchain_python`` does.
    """
    toolchain_python(name, on_progress=lambda fraction, note: progress(f"install {name}", fraction, note))


def unavailable(name: str) -> str | None:
    """Say why a toolchain cannot be had on this machine and what to do about it, or None."""
    if is_here(name):
        return None
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        system = f"{platform.system()} on {platform.machine()}"
        return f"toolchain {name} is for Linux on x86-64, and this is {system}"
    return forbidden(load_toolchain(name).environment())


def made_python(name: str) -> Path | None:
    """Return the interpreter of a toolchain's own environment, if that is made already."""
    return ready(load_toolchain(name).environment())


def toolchain_record(name: str) -> dict[str, str]:
    """What a manifest says of a toolchain: its name and the digest of the packages that were really used."""
    chain = load_toolchain(name)
    if not is_here(name):
        return {"name": name, "digest": chain.digest()}
    found = [
        [p.name, _version(p.name), p.sha256 if _installed(p.name, p.version) else ""] for p in chain.packages
    ]
    return {"name": name, "digest": _digest(chain.python, found)}


def toolchain_folder(name: str) -> Path:
    """Where a toolchain's own environment lies, or would."""
    return cache_folder() / load_toolchain(name).environment().folder_name


def _digest(python: str, packages: list[list[str]]) -> str:
    held = json.dumps({"python": python, "packages": packages}, sort_keys=True)
    return hashlib.sha256(held.encode()).hexdigest()


def _installed(package: str, version: str) -> bool:
    return _version(package) == version


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package).partition("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return ""
