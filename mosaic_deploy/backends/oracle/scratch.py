"""A folder for what children need, that stays where a tool failed: the log that the error names is in it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mosaic_deploy.errors import ToolError


@contextmanager
def scratch_folder(prefix: str) -> Iterator[Path]:
    """Make a folder and remove it, but not behind a ``ToolError``."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        yield folder
    except ToolError:
        raise
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)
