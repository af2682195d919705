"""The one door to other programs and to worker processes.

Native tools crash, hang and litter. Each piece of their work therefore runs in a child process: in a folder
that may be littered, in a session of its own, with limits of time and memory, and with everything it prints
in a log. A child dies with its parent, however the parent dies, and when the parent is interrupted. What
goes wrong there arrives here as one exception with one line of text.

The parent polls its children ten times a second and needs no threads of its own. Where it is called from a
thread, that thread must outlive the call: Linux ends a child together with the *thread* that started it.
"""

from __future__ import annotations

import os
import select
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from threading import Event

from mosaic_deploy.workers.child import Child, Outcome
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.spawn import GIB, Call
from mosaic_deploy.workers.worker import execute

_POLL_MS = 100
_STOP: ContextVar[Event | None] = ContextVar("stop", default=None)


@contextmanager
def stoppable(event: Event) -> Iterator[None]:
    """Let calls made in this block, in this thread, end with ``KeyboardInterrupt`` once the event is set.

    Ctrl-C reaches only the main thread; calls that wait in others learn of it this way.
    """
    token = _STOP.set(event)
    try:
        yield
    finally:
        _STOP.reset(token)


def call(job: Call, *, on_progress: OnProgress | None = None) -> Outcome:
    """Run one function in a child process.

    Raises:
        MosaicError: the function raised one: the same class, the same words.
        ToolError: it raised something else, crashed, took too long or too much memory, or the disk is
            full. One line: what, why, the last words of the log, and the log's path.
    """
    return call_all([job], parallel=1, on_progress=on_progress)[0]


def call_all(
    jobs: Sequence[Call], *, parallel: int, on_progress: OnProgress | None = None
) -> tuple[Outcome, ...]:
    """Run functions in child processes, at most ``parallel`` at a time; outcomes in the jobs' order.

    The first that fails ends them all and raises as ``call`` does. ``on_progress`` hears the mean share.
    """
    outcomes: dict[int, Outcome] = {}
    running: dict[int, Child] = {}
    shares = [0.0] * len(jobs)
    try:
        while len(outcomes) < len(jobs):
            begun = len(outcomes) + len(running)
            for index in range(begun, min(len(jobs), begun + max(parallel, 1) - len(running))):
                running[index] = Child(jobs[index])
                running[index].begin()
            _wait(running.values())
            stop = _STOP.get()
            if stop is not None and stop.is_set():
                raise KeyboardInterrupt
            for index, child in list(running.items()):
                ended = child.look()
                if child.news is not None:
                    shares[index], text = child.news
                    child.news = None
                    if on_progress is not None:
                        on_progress(sum(shares) / len(jobs), text)
                if ended:
                    outcomes[index], shares[index] = child.outcome(), 1.0
                    del running[index]
    finally:
        for child in running.values():
            child.kill()
    return tuple(outcomes[index] for index in range(len(jobs)))


def run_program(
    argv: Sequence[str], *, timeout_s: float, log: Path, cwd: Path, memory_bytes: int = 4 * GIB
) -> Outcome:
    """Run a program, found on PATH, as ``call`` runs a function.

    Raises ``ToolError`` as well if there is no such program or its exit status is not 0. Should this very
    process be killed outright, the program dies, but not what it may have started itself.
    """
    request = {"argv": list(argv)}
    name = Path(argv[0]).name
    return call(Call(execute, request, timeout_s, memory_bytes, log, cwd, {}, name))


def free_bytes() -> int:
    """Memory that can be had without swapping."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _wait(children: Iterable[Child]) -> None:
    """Sleep until a child has news or ends, a tenth of a second at most."""
    poll = select.poll()
    for child in children:
        for descriptor in child.descriptors:
            poll.register(descriptor, select.POLLIN)
    poll.poll(_POLL_MS)


__all__ = [
    "GIB",
    "Call",
    "OnProgress",
    "Outcome",
    "call",
    "call_all",
    "free_bytes",
    "run_program",
    "stoppable",
]
