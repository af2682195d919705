"""Readers of models that do what none may, for the test that the fuzzer's judge sees it."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import NoReturn

from mosaic_deploy.errors import ModelError, ToolError


def stumbles(model: Path) -> NoReturn:
    """Raise what is not ours."""
    raise ValueError(f"{len(str(model))} characters")


def talks(model: Path) -> NoReturn:
    """Say far too much."""
    raise ModelError(f"{model}: " + "very " * 200 + "bad")


def breaks_the_line(model: Path) -> NoReturn:
    """Say it in two lines."""
    raise ModelError(f"{model}:\nbad")


def blames_the_machine(model: Path) -> NoReturn:
    """Raise an error of ours that is not the model's."""
    raise ToolError(f"{model}: no space left on device")


def crashes(model: Path) -> NoReturn:
    """Die, unless asked for the file that is not there."""
    if model.exists():
        os.kill(os.getpid(), signal.SIGSEGV)
    raise ModelError("no such file")


def peeps(model: Path) -> NoReturn:
    """Read the file beside the model's folder."""
    if model.exists():
        (model.parent / "link.bin").read_bytes()
    raise ModelError("no such file")


def dawdles(model: Path) -> NoReturn:
    """Work for a third of a second."""
    end = sum(os.times()[:2]) + 0.3
    while model.exists() and sum(os.times()[:2]) < end:
        pass
    raise ModelError("no such file")


def hoards(model: Path) -> NoReturn:
    """Hold 200 MB for a moment."""
    hoard = bytearray(os.urandom(1000)) * (200_000 if model.exists() else 1)
    raise ModelError(f"{len(hoard)} bytes")
