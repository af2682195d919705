"""Files and folders that appear whole or not at all: written beside their place, then moved in.

What ends a block early, an error or Ctrl-C, removes what was written; what lay at the place stays as it was.
What a killed process could not remove, the next one that writes beside it does: a hidden folder that nobody
holds the lock of.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from mosaic_deploy.errors import ToolError, UsageError

_NEARLY_NOTHING = 1 << 20
"""Below this many free bytes a short write, which NumPy reports without a code, means a full disk."""
_SCRATCH = ".mosaic-"
_SCRATCH_NAME = re.compile(r"\.mosaic-[a-z0-9_]{8}")
_WITHIN = "logs"
"""What is made first in every scratch folder: by it a folder is known for one of ours."""
_OF_A_BUILD = ("scratch", "model.onnx")
"""One of these lies beside it in a build's own folder."""


@contextmanager
def moved_in(*places: Path) -> Iterator[tuple[Path, ...]]:
    """Give a path beside each place, with its suffix; move all of them in if the block ends well.

    Raises ``OSError`` as the block or the move does; ``disk_trouble`` puts it into words.
    """
    parts = tuple(place.with_name(f".{place.stem}.part{place.suffix}") for place in places)
    try:
        yield parts
        for part, place in zip(parts, places, strict=True):
            os.replace(part, place)
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


def write_whole(place: Path, data: str | bytes) -> None:
    """Write a file, text as UTF-8; raises ``OSError`` where that is impossible, and changes nothing then."""
    with moved_in(place) as (part,):
        part.write_bytes(data.encode() if isinstance(data, str) else data)


@contextmanager
def moved_in_folder(place: Path, *, force: bool) -> Iterator[Path]:
    """Give a folder to write into, and move it to ``place`` if the block ends well.

    The folder is ``.NAME.part`` beside the place, locked while in use. Whatever ends the block early
    removes it; one that a killed process left behind is taken over.

    Raises:
        UsageError: ``place`` exists and not ``force``; or another process is writing the same.
        ToolError: the folder cannot be written, the disk is full.
    """
    part = place.with_name(f".{place.name}.part")
    _bring_back(place)
    require_free(place, force=force)
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
        require_free(place, force=force)  # somebody may have put something there meanwhile
        _move_in(part, place)
    except OSError as err:
        raise _as_tool_error(err, place) from err
    finally:
        shutil.rmtree(part, ignore_errors=True)
        os.close(lock)
        _remove_empty(made)


@contextmanager
def scratch_folder(beside: Path) -> Iterator[Path]:
    """Give a hidden folder with a folder ``logs`` in it, locked while in use and removed at the end.

    Before that, what killed processes left in ``beside`` is removed. Raises ``OSError`` where none can be
    made.
    """
    remove_leftovers(beside)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=beside))
        lock = _try_lock(folder)
        if lock is not None and folder.exists():
            break
        if lock is not None:  # another process took it for a leftover before it was locked
            os.close(lock)
    try:
        (folder / _WITHIN).mkdir()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def remove_leftovers(folder: Path) -> tuple[Path, ...]:
    """Remove the scratch folders in ``folder`` that no living process holds, and return them.

    An old artifact whose replacement never arrived goes back to its place.
    """
    removed = []
    for path in sorted(folder.glob(".*")) if folder.is_dir() else ():
        if path.is_symlink() or not path.is_dir():
            continue
        if path.name.endswith(".old") and (path / "manifest.json").is_file():
            place = path.with_name(path.name[1:].removesuffix(".old"))
            _bring_back(place)
            ours = place.is_dir() and path.is_dir()
        elif path.name.endswith(".part"):
            ours = (path / _WITHIN).is_dir() and any((path / name).exists() for name in _OF_A_BUILD)
        else:
            ours = bool(_SCRATCH_NAME.fullmatch(path.name)) and _is_scratch(path)
        if ours and _remove_unheld(path):
            removed.append(path)
    return tuple(removed)


def require_free(place: Path, *, force: bool) -> None:
    """Raise ``UsageError`` for a place that is taken."""
    if place.exists() and not force:
        raise UsageError(f"{place}: exists already: add --force to replace it, or choose another --out")


def require_free_file(place: Path, *, force: bool) -> None:
    """Raise ``UsageError`` for a place where no file can be put, before anything is computed for it."""
    if not place.parent.is_dir():
        raise UsageError(f"{place}: {place.parent} is not a folder: create it first")
    if place.exists() and not (force and place.is_file()):
        raise UsageError(f"{place}: exists already: add --force to replace it, or choose another name")


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


def sha256_of(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _make_parents(folder: Path) -> list[Path]:
    """Create the folder and return those that were missing, innermost first."""
    missing = [p for p in (folder, *folder.parents) if not p.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, FileExistsError) as err:
        raise UsageError(f"{folder}: cannot be created ({err.strerror}): choose another --out") from err
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
            f"{place}: another process is writing it right now: wait for it, or choose another --out"
        ) from err
    return handle


def _try_lock(folder: Path) -> int | None:
    """The locked folder's descriptor; None where another process holds it, or it is gone."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def _is_scratch(folder: Path) -> bool:
    """Whether a folder of that name was made by ``scratch_folder``: it has ``logs``, or nothing yet."""
    with suppress(OSError):
        return (folder / _WITHIN).is_dir() or not any(folder.iterdir())
    return False


def _remove_unheld(folder: Path) -> bool:
    lock = _try_lock(folder)
    if lock is None:
        return False
    shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)
    return not folder.exists()


def _bring_back(place: Path) -> None:
    """Undo the first half of a replacement whose process was killed before the second."""
    old, part = (place.with_name(f".{place.name}.{end}") for end in ("old", "part"))
    if place.exists() or not old.is_dir() or old.is_symlink():
        return
    lock = _try_lock(part)
    if lock is None and part.exists():
        return  # it is just being replaced
    with suppress(OSError):
        os.rename(old, place)
    if lock is not None:
        os.close(lock)


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
