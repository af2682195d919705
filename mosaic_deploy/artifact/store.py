"""An artifact is a folder: it is written beside its place, described by a manifest, and moved in whole."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mosaic_deploy.backends.protocol import File
from mosaic_deploy.errors import ToolError, UsageError

_NEARLY_NOTHING = 1 << 20
"""Below this many free bytes a short write, which NumPy reports without a code, means a full disk."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of an artifact as its manifest lists it."""

    path: str
    kind: str
    bytes: int
    sha256: str
    ships: bool = False
    """Whether a device loads it."""
    part_of: str = ""
    """What the files that only together are a network have in common."""


@contextmanager
def staged(place: Path, *, force: bool) -> Iterator[Path]:
    """Give a folder to write into, and move it to ``place`` if the block ends well.

    The folder is ``.NAME.part`` beside the place, locked while in use. Whatever ends the block early
    (an error, Ctrl-C) removes it; one that a killed process left behind is taken over.

    Raises:
        UsageError: ``place`` exists and not ``force``; or another process is building the same.
        ToolError: the folder cannot be written, the disk is full.
    """
    require_free(place, force=force)
    part = place.with_name(f".{place.name}.part")
    made = _make_parents(place.parent)
    try:
        part.mkdir(exist_ok=True)
        lock = _lock(part, place)
    except OSError as err:
        _remove_empty(made)
        raise _as_tool_error(err, place) from err
    try:
        _empty(part)
        yield part
        _move_in(part, place)
    except OSError as err:
        raise _as_tool_error(err, place) from err
    finally:
        shutil.rmtree(part, ignore_errors=True)
        os.close(lock)
        _remove_empty(made)


def require_free(place: Path, *, force: bool) -> None:
    """Raise ``UsageError`` for a place that is taken."""
    if place.exists() and not force:
        raise UsageError(f"{place}: exists already: add --force to replace it, or choose another --out")


@contextmanager
def disk_trouble(place: Path) -> Iterator[None]:
    """Say in one line of a ``ToolError`` what the disk refused; ``place`` is what was being made."""
    try:
        yield
    except OSError as err:
        raise _as_tool_error(err, place) from err


def existing(place: Path) -> Path:
    """The innermost folder around a place that is there."""
    return next(folder for folder in (place, *place.absolute().parents) if folder.is_dir())


def entries(folder: Path, files: Sequence[File]) -> tuple[Entry, ...]:
    """Measure and hash the files of an artifact, in their order."""
    return tuple(_entry(folder, file) for file in files)


def shipped_bytes(listed: Sequence[Entry]) -> int:
    """Size of the largest network that a device loads; where none is made, of everything."""
    sizes: dict[str, int] = defaultdict(int)
    for entry in listed:
        if entry.ships:
            sizes[entry.part_of or entry.path] += entry.bytes
    return max(sizes.values(), default=sum(entry.bytes for entry in listed))


def write_json(path: Path, record: Mapping[str, object]) -> None:
    """Write one JSON object, indented, with a final newline; NaN is refused."""
    path.write_text(json.dumps(record, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def sha256_of(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _entry(folder: Path, file: File) -> Entry:
    path = folder / file.path
    return Entry(file.path, file.kind, path.stat().st_size, sha256_of(path), file.ships, file.part_of)


def _make_parents(folder: Path) -> list[Path]:
    """Create the folder and return those that were missing, innermost first."""
    missing = [p for p in (folder, *folder.parents) if not p.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, FileExistsError) as err:
        raise UsageError(f"{folder}: cannot be made ({err.strerror}): choose another --out") from err
    return missing


def _remove_empty(folders: Sequence[Path]) -> None:
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return


def _lock(part: Path, place: Path) -> int:
    handle = os.open(part, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as err:
        os.close(handle)
        raise UsageError(
            f"{place}: another build is writing it right now: wait for it, or choose another --out"
        ) from err
    return handle


def _empty(part: Path) -> None:
    for child in part.iterdir():
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child)
        else:
            child.unlink()


def _move_in(part: Path, place: Path) -> None:
    if not place.exists():
        os.rename(part, place)
        return
    old = place.with_name(f".{place.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    os.rename(place, old)
    try:
        os.rename(part, place)
    except OSError:
        os.rename(old, place)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _as_tool_error(err: OSError, place: Path) -> ToolError:
    short = err.errno is None and shutil.disk_usage(existing(place)).free < _NEARLY_NOTHING
    if short or err.errno in (errno.ENOSPC, errno.EDQUOT):
        return ToolError(f"{place}: the disk is full: free some space, or choose another --out")
    return ToolError(f"{place}: cannot be written ({err.strerror or err})")
