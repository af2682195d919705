"""One progress bar per stage on stderr; plain lines where stderr is no terminal."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self, final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

_LINE_EVERY_S = 15.0
_WIDTH = 10
"""Of a stage's name; with its target before it, it may take twice that."""


@final
class Bars:
    """Call it with a stage's name, the share done in [0, 1] and a note; use it as a context."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        console = Console(stderr=True)
        self._plain = not console.is_terminal
        self._tasks: dict[str, TaskID] = {}
        self._started: dict[str, float] = {}
        self._finished: set[str] = set()
        self._spoken = 0.0
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
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
        """Show how far a stage is."""
        if self._quiet:
            return
        if self._plain:
            self._line(stage, share, note)
            return
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(_padded(stage), total=1.0, note="")
        self._progress.update(self._tasks[stage], completed=share, note=note[:60])

    def _line(self, stage: str, share: float, note: str) -> None:
        now = time.monotonic()
        begun = self._started.setdefault(stage, now)
        if share >= 1.0:
            if stage in self._finished:
                return
            self._finished.add(stage)
            print(f"{_padded(stage)} done in {now - begun:.1f} s", file=sys.stderr, flush=True)
        elif now - self._spoken > _LINE_EVERY_S:
            self._spoken = now
            print(f"{_padded(stage)} {share:4.0%} {note}", file=sys.stderr, flush=True)


def _padded(stage: str) -> str:
    return stage.ljust(2 * _WIDTH if " " in stage else _WIDTH)
