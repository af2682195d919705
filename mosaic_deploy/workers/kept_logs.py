"""Logs of what failed, where they outlive the folder that the work was done in."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mosaic_deploy.errors import MosaicError

MOST = 50
"""Logs that are kept; the oldest go first."""


def logs_folder() -> Path:
    """``mosaic-deploy/logs`` in the user's state folder."""
    stated = os.environ.get("XDG_STATE_HOME", "")
    home = Path(stated) if stated and Path(stated).is_absolute() else Path.home() / ".local" / "state"
    return home / "mosaic-deploy" / "logs"


def keep_log(log: Path, name: str) -> Path:
    """Copy a log, and return the copy; the log itself where no copy can be made.

    Args:
        log: of a call that failed.
        name: the call's; the copy's name begins with it.
    """
    folder = logs_folder()
    stem = "".join(c if c.isalnum() else "-" for c in name)[:40]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, copy = tempfile.mkstemp(prefix=f"{stem}-", suffix=".log", dir=folder)
        with os.fdopen(handle, "wb") as to, open(log, "rb") as source:
            shutil.copyfileobj(source, to)
        _prune(folder, Path(copy))
    except OSError:
        return log
    return Path(copy)


@contextmanager
def kept_logs(logs: Path) -> Iterator[None]:
    """Keep a log of work whose folder goes when it fails: the error names where it lies then.

    It is the one in ``logs`` that the error names, else the one that was written to last while the block ran.
    """
    before = {path: path.stat().st_mtime_ns for path in logs.glob("*.log")} if logs.is_dir() else {}
    try:
        yield
    except MosaicError as err:
        text = _with_kept_log(str(err), logs, before)
        if text == str(err):
            raise
        raise type(err)(text) from err


def _with_kept_log(text: str, logs: Path, before: dict[Path, int]) -> str:
    for path in sorted(logs.glob("*.log")) if logs.is_dir() else ():
        for spelled in {str(path), str(path.resolve())}:
            named = re.search(re.escape(spelled) + r"(?![^\s,;)])", text)
            if named:
                return text.replace(spelled, str(keep_log(path, path.stem)))
    if "; log: " in text:
        return text
    written = [p for p in logs.glob("*.log") if p.stat().st_size and before.get(p) != p.stat().st_mtime_ns]
    if not written:
        return text
    last = max(written, key=lambda path: path.stat().st_mtime_ns)
    return f"{text}; log: {keep_log(last, last.stem)}"


def _prune(folder: Path, newest: Path) -> None:
    """Leave the newest ``MOST`` logs; somebody else may prune at the same time."""
    dated = []
    for path in folder.glob("*.log"):
        try:
            dated.append((path.stat().st_mtime_ns, path))
        except FileNotFoundError:
            continue
    others = sorted((entry for entry in dated if entry[1] != newest), reverse=True)
    for _, path in others[MOST - 1 :]:
        path.unlink(missing_ok=True)
