"""Cases tried in child processes, batch by batch, several at a time.

Compilers crash and hang. A child that does so loses only the case that it was at: a new child tries that case
once more, before all others, since an earlier one may be to blame; if it dies again, the case fails on every
device, and the child after it goes on with the rest.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import batched
from pathlib import Path
from queue import SimpleQueue
from threading import Event

from mosaic_deploy.backends.oracle.case import Case
from mosaic_deploy.backends.oracle.outcome import CaseOutcome
from mosaic_deploy.backends.oracle.registry import Compiler, load_compiler, module_of
from mosaic_deploy.backends.oracle.serve import serve
from mosaic_deploy.errors import ToolError
from mosaic_deploy.specs.toolchain import toolchain_python
from mosaic_deploy.workers.call import GIB, Call, call, stoppable

Tried = tuple[Case, tuple[CaseOutcome, ...]]
CaseTick = Callable[[int, str], None]
"""Hears how many cases are done, and the name of the last."""

_BATCH = 40
_BEGIN_S = 300.0
"""What a child may take for its imports, and to read and write."""
_NAME = "probe"
_ENDED = re.compile(
    rf"^{_NAME}: (?:killed by (?P<signal>\w+)|(?P<slow>ran longer)|(?P<large>needed more)"
    r"|ended (?:with status (?P<status>\d+)|without an answer))"
)


def try_all(
    table: str,
    cases: Iterable[Case],
    *,
    jobs: int,
    everywhere: bool,
    folder: Path,
    seconds: float | None = None,
    known: Mapping[str, tuple[CaseOutcome, ...]] | None = None,
    on_progress: CaseTick | None = None,
    batch: int = _BATCH,
) -> Iterator[Tried]:
    """Try every case and give each with its outcomes as it is done, in no particular order.

    Args:
        table: whose compiler.
        cases: drawn as they are needed; may be endless if whoever asks stops.
        jobs: children at a time.
        everywhere: whether on all devices, or on those that are enough for a random case.
        seconds: longest that a case may take; by default what the compiler gives a small model.
        folder: for what the children need; what is not removed is the log of one that failed.
        known: outcomes by case name; a case that has one of every device is not tried again.
        on_progress: progress.
        batch: cases that one child tries.

    Raises:
        UsageError: the table has no compiler here.
        ToolError: a child failed in a way that says nothing of a case: its start, its disk, a bug.
    """
    setting = _Setting(
        load_compiler(table),
        module_of(table),
        load_compiler(table).devices(everywhere=everywhere),
        folder,
        seconds or load_compiler(table).SECONDS,
        batch,
    )
    folder.mkdir(parents=True, exist_ok=True)
    for count, tried in enumerate(_results(setting, cases, jobs, known or {}), 1):
        if on_progress is not None:
            on_progress(count, tried[0].name)
        yield tried


@dataclass(frozen=True, slots=True)
class _Setting:
    """What all batches share."""

    compiler: Compiler
    module: str
    devices: tuple[str, ...]
    folder: Path
    seconds: float
    batch: int
    results: SimpleQueue[Tried | Future[None]] = field(default_factory=SimpleQueue)
    """What threads have for whoever asked: cases that are done, and themselves at their end."""
    stop: Event = field(default_factory=Event)


def _results(
    setting: _Setting, cases: Iterable[Case], jobs: int, known: Mapping[str, tuple[CaseOutcome, ...]]
) -> Iterator[Tried]:
    """Give known outcomes at once; keep every thread busy, and one batch ready for each."""
    done: list[Tried] = []
    batches = batched(_unknown(cases, setting.devices, known, done), setting.batch)
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        open_, number, more = 0, 0, True
        try:
            while more or open_:
                while more and open_ < 2 * jobs:
                    batch = next(batches, None)
                    more = batch is not None
                    if batch is not None:
                        job = pool.submit(_try_batch, setting, batch, setting.folder / f"batch{number}")
                        job.add_done_callback(setting.results.put)
                        open_, number = open_ + 1, number + 1
                    yield from done
                    done.clear()
                if not open_:
                    break
                result = setting.results.get()
                if isinstance(result, Future):
                    open_ -= 1
                    result.result()
                else:
                    yield result
        finally:
            setting.stop.set()
            pool.shutdown(wait=True, cancel_futures=True)


def _unknown(
    cases: Iterable[Case],
    devices: tuple[str, ...],
    known: Mapping[str, tuple[CaseOutcome, ...]],
    done: list[Tried],
) -> Iterator[Case]:
    """Let cases through that have to be tried; the others go to ``done``."""
    for case in cases:
        outcomes = tuple(o for o in known.get(case.name, ()) if o.device in devices)
        if {o.device for o in outcomes} == set(devices):
            done.append((case, outcomes))
        else:
            yield case


def _try_batch(setting: _Setting, batch: Sequence[Case], folder: Path) -> None:
    folder.mkdir()
    for index, case in enumerate(batch):
        case.write(folder, str(index))
    log = folder.with_suffix(".log")
    left = list(enumerate(batch))
    with stoppable(setting.stop):
        try:
            while left:
                left = _try_some(setting, left, folder, log)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    log.unlink(missing_ok=True)


def _try_some(
    setting: _Setting, cases: list[tuple[int, Case]], folder: Path, log: Path
) -> list[tuple[int, Case]]:
    """Let one child try cases until it is through or dies; return what is left to do for another."""
    answers = _Answers(folder / "answers.jsonl")
    answers.path.unlink(missing_ok=True)
    work = folder / "work"
    request = {
        "compiler": setting.module,
        "folder": str(folder.absolute()),
        "answers": str(answers.path.absolute()),
        "devices": list(setting.devices),
        "seconds": setting.seconds,
        "cases": [{"stem": str(i), "name": case.name, "precision": case.precision} for i, case in cases],
    }
    job = Call(
        serve,
        request,
        _BEGIN_S + setting.seconds * len(cases),
        setting.compiler.MEMORY_BYTES,
        log,
        work,
        setting.compiler.environment(),
        _NAME,
        toolchain_python(setting.compiler.TOOLCHAIN),
    )

    def collect() -> None:
        for index, outcomes in answers.read():
            setting.results.put((cases[index][1], outcomes))

    try:
        call(job, on_progress=lambda _share, _name: collect())
        collect()
    except ToolError as err:
        collect()
        return _after(err, setting, cases, answers)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return []


def _after(
    err: ToolError, setting: _Setting, cases: list[tuple[int, Case]], answers: _Answers
) -> list[tuple[int, Case]]:
    """What is left once a child has died; raises its error if that says nothing of a case."""
    reason = _reason(err, setting)
    if not reason or answers.begun is None:
        raise ToolError(_placed(err, cases, answers.begun)) from err
    at = answers.begun
    if at > 0 or answers.done:  # not the child's first: perhaps not its fault
        return cases[at + 1 if answers.done == at + 1 else at :]
    case = cases[at][1]
    failed = (CaseOutcome(case.name, device, "fails-to-compile", reason) for device in setting.devices)
    setting.results.put((case, tuple(failed)))
    return cases[at + 1 :]


def _placed(err: ToolError, cases: list[tuple[int, Case]], begun: int | None) -> str:
    place = f" at {cases[begun][1].name}" if begun is not None else ""
    return f"{_NAME}{place}{str(err).removeprefix(_NAME)}"


def _reason(err: ToolError, setting: _Setting) -> str:
    """What a case did to its child, or empty where it is no case's doing."""
    ended = _ENDED.match(str(err))
    if ended is None:
        return ""
    if ended["slow"] or ended["signal"] == "SIGALRM":
        return f"takes longer than {setting.seconds:g} s"
    if ended["large"]:
        return f"takes more than {setting.compiler.MEMORY_BYTES / GIB:g} GiB"
    return f"the compiler crashes ({ended['signal'] or f'exit status {ended["status"] or 0}'})"


class _Answers:
    """A child's file of answers, read as it grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.begun: int | None = None
        """The last case that was begun."""
        self.done = 0
        """How many are done."""
        self._offset = 0

    def read(self) -> Iterator[tuple[int, tuple[CaseOutcome, ...]]]:
        """Outcomes that are new, by the case's place in the batch."""
        if not self.path.exists():
            return
        with open(self.path, "rb") as file:
            file.seek(self._offset)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            said = json.loads(line)
            if "begun" in said:
                self.begun = int(said["begun"])
            else:
                self.done += 1
                yield int(said["done"]), tuple(CaseOutcome(**outcome) for outcome in said["outcomes"])
