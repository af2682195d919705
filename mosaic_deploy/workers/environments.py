"""Python environments of their own for child processes, made by ``uv`` on first use.

An environment lies in the user's cache folder under its name and the digest of its packages, so that
versions of the project lie beside each other. It is made beside its place and moved in; a second process
waits for the first; what a stopped download fetched is kept by uv.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from mosaic_deploy.errors import ToolError
from mosaic_deploy.files import disk_trouble
from mosaic_deploy.workers.call import GIB, Call, call
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject

NO_INSTALL = "MOSAIC_NO_INSTALL"
"""The environment variable that forbids making environments, whatever it holds."""
_TIMEOUT_S = 3600.0
_MEMORY = 4 * GIB
_DONE = "complete"
_PASSED_ON = ("UV_", "PIP_", "SSL_CERT_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "XDG_")
_FETCHED = re.compile(r"^\s*Downloaded (\S+)")


@dataclass(frozen=True, slots=True)
class Pin:
    """One package, and the only bytes of it that are taken."""

    name: str
    version: str
    sha256: str
    size: int
    """Bytes to download."""


@dataclass(frozen=True, slots=True)
class Environment:
    """What an environment holds."""

    name: str
    digest: str
    python: str
    """``3.12`` and the like."""
    pins: tuple[Pin, ...]
    """Everything that is installed: nothing is resolved."""
    why: str
    """What it is for, in a few words."""
    installed_bytes: int

    @property
    def folder_name(self) -> str:
        """What its folder is called in the cache."""
        return f"{self.name}-{self.digest[:12]}"

    @property
    def sizes(self) -> str:
        """What making it costs, in words."""
        return f"{self.download_bytes / 1e6:.0f} MB to download, {self.installed_bytes / 1e6:.0f} MB on disk"

    @property
    def download_bytes(self) -> int:
        """What making it from nothing downloads."""
        return sum(pin.size for pin in self.pins)


def cache_folder() -> Path:
    """Where environments lie: ``mosaic-deploy/toolchains`` in the user's cache folder."""
    stated = os.environ.get("XDG_CACHE_HOME", "")
    home = Path(stated) if stated and Path(stated).is_absolute() else Path.home() / ".cache"
    return home / "mosaic-deploy" / "toolchains"


def ready(wanted: Environment) -> Path | None:
    """Return the interpreter of an environment that is made; None where it is not."""
    folder = cache_folder() / wanted.folder_name
    python = folder / "bin" / "python"
    return python if (folder / _DONE).is_file() and python.exists() else None


def forbidden(wanted: Environment) -> str | None:
    """Say that an environment is not there and must not be made, and what to do; else None."""
    if NO_INSTALL not in os.environ or ready(wanted) is not None:
        return None
    return (
        f"toolchain {wanted.name} is not installed, and installing is forbidden ({wanted.sizes}): "
        f"run mosaic-deploy doctor --install {wanted.name}"
    )


def make(wanted: Environment, *, on_progress: OnProgress | None = None) -> Path:
    """Return the interpreter of an environment, which is made where it is not there yet.

    Raises ``ToolError`` where that is forbidden, uv is missing or fails, or the disk is full; then nothing
    half-made is left.
    """
    python = ready(wanted)
    if python is not None:
        return python
    refusal = forbidden(wanted)
    if refusal is not None:
        raise ToolError(refusal)
    tell = on_progress or _silent
    tell(0.0, f"toolchain {wanted.name}, {wanted.why}: {wanted.sizes}")
    root = cache_folder()
    with disk_trouble(root):
        root.mkdir(parents=True, exist_ok=True)
        with _locked(root / f".{wanted.folder_name}.lock", wanted.name, tell):
            return ready(wanted) or _make(wanted, root / wanted.folder_name, tell)


def _make(wanted: Environment, place: Path, on_progress: OnProgress) -> Path:
    part = place.with_name(f".{place.name}.part")
    _remove(part)
    with TemporaryDirectory(prefix="mosaic-toolchain-") as scratch:
        request = {
            "uv": _find_uv(wanted.name),
            "folder": str(part),
            "python": _interpreter(wanted.python),
            "pins": [[pin.name, pin.version, pin.sha256, pin.size] for pin in wanted.pins],
        }
        log = Path(scratch) / "uv.log"
        try:
            call(
                Call(
                    install,
                    request,
                    _TIMEOUT_S,
                    _MEMORY,
                    log,
                    Path(scratch) / "work",
                    _passed_on(),
                    f"toolchain {wanted.name}",
                ),
                on_progress=on_progress,
            )
            (part / _DONE).write_text(f"{wanted.digest}\n", encoding="ascii")
            _remove(place)
            os.rename(part, place)
        except ToolError as err:
            raise ToolError(
                f"{str(err).partition('; log:')[0]}; when the network is back, run "
                f"mosaic-deploy doctor --install {wanted.name}"
            ) from err
        finally:
            _remove(part)
    python = ready(wanted)
    if python is None:
        raise ToolError(
            f"toolchain {wanted.name}: uv made no interpreter in {place}: remove it, and try again"
        )
    return python


def install(request: JsonObject, on_progress: OnProgress) -> JsonObject:
    """Make a virtual environment with exactly the stated packages: the child's part.

    Raises ``ToolError`` with uv's own words where it fails.
    """
    uv, folder = str(request["uv"]), Path(request["folder"])
    _run([uv, "venv", "--quiet", "--no-project", "--python", str(request["python"]), str(folder)])
    lines = [f"{name}=={version} --hash=sha256:{sha256}" for name, version, sha256, _ in request["pins"]]
    listed = Path("requirements.txt")
    listed.write_text("\n".join(lines) + "\n", encoding="ascii")
    sizes = {name: size for name, _, _, size in request["pins"]}
    total, fetched = sum(sizes.values()), 0
    argv = [uv, "pip", "install", "--python", str(folder / "bin" / "python"), "--require-hashes", "--no-deps"]
    process = subprocess.Popen(
        [*argv, "--only-binary", ":all:", "-r", str(listed)], stderr=subprocess.PIPE, text=True
    )
    said: list[str] = []
    assert process.stderr is not None
    for line in process.stderr:
        print(line, end="", flush=True)
        said.append(line.strip())
        found = _FETCHED.match(line)
        if found:
            fetched += sizes.get(found[1], 0)
            on_progress(min(0.99, fetched / total), f"fetched {found[1]}")
    if process.wait() != 0:
        raise ToolError(f"uv cannot install it: {_words(said)}")
    on_progress(1.0, "installed")
    return {}


def remove_others(kept: Collection[str]) -> Iterator[tuple[Path, int]]:
    """Remove all but the folders of these names, and yield each with the bytes that it held.

    What another process is making stays.
    """
    root = cache_folder()
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        if not folder.is_dir() or folder.name in kept:
            continue
        name = folder.name.removeprefix(".").removesuffix(".part")
        with _lock_or_none(root / f".{name}.lock") as free:
            if free:
                size = size_of(folder)
                _remove(folder)
                yield folder, size


def size_of(folder: Path) -> int:
    """Bytes that a folder's files hold."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def _run(argv: list[str]) -> None:
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    print(done.stderr, flush=True)
    if done.returncode != 0:
        raise ToolError(f"uv cannot make an environment: {_words(done.stderr.splitlines())}")


def _words(lines: list[str]) -> str:
    """What uv says is wrong, in one line without its decorations."""
    plain = [re.sub(r"^[\s×╰─▶├│error:]+", "", line).strip() for line in lines]
    told = [line for line in plain if line and not line.startswith(("Downloading", "Downloaded", "Resolved"))]
    return "; ".join(told[:3])[:300] or "it gives no reason"


def _find_uv(name: str) -> str:
    try:
        from uv import find_uv_bin
    except ModuleNotFoundError:
        found = shutil.which("uv")
    else:
        found = find_uv_bin()
    if not found:
        raise ToolError(f"toolchain {name} is made with uv, which is missing: pip install uv")
    return str(found)


def _interpreter(version: str) -> str:
    """The interpreter that runs now, where it is of that version; else uv looks for one, or fetches it."""
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    base = Path(sys.base_prefix) / "bin" / f"python{ours}"
    return str(base) if version == ours and base.exists() else version


def _passed_on() -> dict[str, str]:
    """Settings of uv, of proxies and of folders, which children otherwise do not inherit."""
    kept = {k: v for k, v in os.environ.items() if k.upper().startswith(_PASSED_ON)}
    return kept | {"UV_NO_CONFIG": "1", "UV_LINK_MODE": os.environ.get("UV_LINK_MODE", "hardlink")}


@contextmanager
def _locked(lock: Path, name: str, on_progress: OnProgress) -> Iterator[None]:
    with lock.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_progress(0.0, f"toolchain {name}: another process is making it, waiting")
            fcntl.flock(held, fcntl.LOCK_EX)
        yield


@contextmanager
def _lock_or_none(lock: Path) -> Iterator[bool]:
    with lock.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _silent(_fraction: float, _text: str) -> None:
    return
