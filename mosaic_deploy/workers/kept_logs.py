"""Logs of what failed, where they outlive the folder that the work was done in."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

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
