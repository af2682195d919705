"""Paths as a repository's tools name them: from its top, and never out of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a file in the repository."""

    path: str
    """From the top, with ``/``."""
    number: int
    """From 1."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A folder that paths are named from."""

    root: Path
    """Resolved."""

    def name(self, path: Path) -> str:
        """The path from the top with ``/``, or the whole path of what lies outside."""
        inside = self.inside(path)
        return path.resolve().as_posix() if inside is None else inside

    def inside(self, path: Path) -> str | None:
        """The path from the top with ``/``, or None for what lies outside."""
        try:
            whole = path.resolve()
        except (OSError, RuntimeError, ValueError):  # links in a circle, a NUL in the name
            return None
        return whole.relative_to(self.root).as_posix() if whole.is_relative_to(self.root) else None

    def line(self, source: str) -> Line | None:
        """Find the ``file:line`` that a model's metadata names; None if there is no such file in here.

        The text comes with the model, so it may say anything.
        """
        file, _, number = source.rpartition(":")
        if not file or not (number.isascii() and number.isdigit()) or not 0 < len(number) < 8:
            return None
        for start in (self.root, self.root / "src"):
            path = start / file
            inside = self.inside(path)
            try:
                if inside is not None and int(number) > 0 and path.is_file():
                    return Line(inside, int(number))
            except (OSError, ValueError):
                continue
        return None


def find_repository(start: Path) -> Repository:
    """The nearest folder, from ``start`` upwards, with a ``.git``; else ``start`` itself."""
    start = start.resolve()
    tops = (folder for folder in (start, *start.parents) if (folder / ".git").exists())
    return Repository(next(tops, start))
