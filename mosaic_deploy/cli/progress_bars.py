"""One progress bar per stage on stderr; plain lines where stderr is no terminal, or a dumb one."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self, final

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

_LINE_EVERY_S = 15.0
_WIDTH = 10
"""Of a stage's name; with its target before it, it may take twice that."""
_KNOWN_FROM = 0.02
"""Share of a stage from which on the rest of its time can be told,"""
_KNOWN_FROM_S = 2.0
"""and seconds."""


@final
class Bars:
    """Call it with a stage's name, the share done in [0, 1] and a note; use it as a context."""

    def __init__(self, *, quiet: bool, every_s: float = _LINE_EVERY_S) -> None:
        self._quiet = quiet
        self._every_s = every_s
        console = Console(stderr=True)
        self._plain = not console.is_terminal or console.is_dumb_terminal
        self._tasks: dict[str, TaskID] = {}
        self._started: dict[str, tuple[float, float]] = {}
        self._finished: set[str] = set()
        self._spoken = time.monotonic()
        self._progress = Progress(
            TextColumn("{task.description}", table_column=Column(no_wrap=True)),
            BarColumn(bar_width=20),
            TextColumn("{task.percentage:>3.0f}%", table_column=Column(no_wrap=True)),
            _Times(table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[note]}", table_column=Column(no_wrap=True, overflow="ellipsis")),
            console=console,
            disable=quiet or self._plain,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def __call__(self, stage: str, share: float, note: str) -> None:
        """Show how far a stage is; what is done has no note any more."""
        if self._quiet:
            return
        if self._plain:
            self._line(stage, share, note)
            return
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(_padded(stage), total=1.0, note="", first=share)
        shown = "" if share >= 1.0 else " ".join(note.split())
        self._progress.update(self._tasks[stage], completed=share, note=shown)

    def _line(self, stage: str, share: float, note: str) -> None:
        now = time.monotonic()
        begun, first = self._started.setdefault(stage, (now, share))
        if share >= 1.0:
            if stage in self._finished:
                return
            self._finished.add(stage)
            print(f"{_padded(stage)} done in {now - begun:.1f} s", file=sys.stderr, flush=True)
        elif now - self._spoken > self._every_s:
            self._spoken = now
            left = remaining(share, now - begun, first)
            about = "" if left is None else f", about {clock(left)} left"
            print(f"{_padded(stage)} {share:4.0%} {note}{about}", file=sys.stderr, flush=True)


@final
class _Times(ProgressColumn):
    """How long a stage has taken, and about how long it still will."""

    def render(self, task: Task) -> Text:
        """``0:41`` when done, ``0:41, 1:20 left`` before."""
        spent = task.finished_time if task.finished else task.elapsed
        left = None if task.finished else remaining(task.completed, spent or 0.0, task.fields["first"])
        return Text(clock(spent or 0.0) + ("" if left is None else f", {clock(left)} left"))


def remaining(share: float, spent_s: float, first: float = 0.0) -> float | None:
    """About how many seconds a stage still takes, were it to go on as it did; None while it is too early.

    ``first`` is the share at which it began: what goes on where it was stopped begins above 0.
    """
    done = share - first
    if done < _KNOWN_FROM or share >= 1.0 or spent_s < _KNOWN_FROM_S:
        return None
    return spent_s * (1 - share) / done


def clock(seconds: float) -> str:
    """``1:20``, and ``2:03:20`` from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _padded(stage: str) -> str:
    return stage.ljust(2 * _WIDTH if " " in stage else _WIDTH)
