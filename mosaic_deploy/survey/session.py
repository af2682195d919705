"""A survey as a whole: which trials are held, several side by side, and which are remembered.

First everything is checked and built; then, with nothing else running, what runs here as on the hardware it
is for is timed, one after the other.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from threading import Event, Lock

from mosaic_deploy.errors import MosaicError
from mosaic_deploy.specs.registry import load_spec
from mosaic_deploy.specs.target import TargetSpec
from mosaic_deploy.survey.cell import ARTIFACT, GIANT, SPARE, clock, discard, hold, limit_of, line
from mosaic_deploy.survey.child import MEMORY_BYTES
from mosaic_deploy.survey.figures import Figures, figures
from mosaic_deploy.survey.records import folder_of, keep, key_of, recall
from mosaic_deploy.survey.subject import Subject
from mosaic_deploy.survey.trial import Terms, Trial
from mosaic_deploy.workers.call import stoppable

Say = Callable[[str], None]
PEER = "ort-mobile"
"""Tried first: it runs the QDQ graph on ONNX Runtime, with which int8 agreement elsewhere is compared."""

_QUIET_S, _LOOK_S = 90.0, 3.0


@dataclass(frozen=True, slots=True)
class Order:
    """What to try, and where the records go."""

    subjects: tuple[Subject, ...]
    targets: tuple[str, ...]
    terms: Terms
    out: Path
    jobs: int
    sources: str
    """Digest of the code that is tried."""
    timed: bool = True
    """Whether what was built is timed."""
    broken: dict[str, MosaicError] = field(default_factory=dict)
    """Networks that could not be made or run, by digest: they are not tried again for the next target."""

    def pairs(self) -> list[tuple[Subject, str]]:
        """Every cell, a network's beside each other."""
        targets = sorted(self.targets, key=lambda name: name != PEER)
        return [(subject, target) for subject in self.subjects for target in targets]


@dataclass(slots=True)
class _Tally:
    """How far a survey is."""

    of: int
    say: Say
    begun: float = field(default_factory=time.monotonic)
    done: int = 0
    held: int = 0
    """Of those, the ones that were not on record."""
    lock: Lock = field(default_factory=Lock)

    def tell(self, trial: Trial, *, remembered: bool) -> None:
        with self.lock:
            self.done += 1
            self.held += not remembered
            self.say(f"[{self.done}/{self.of}, {self._left()}] {_news(trial, remembered=remembered)}")

    def _left(self) -> str:
        """The time left, if the rest is as quick as what was held so far."""
        if not self.held:
            return "time left unknown"
        passed = time.monotonic() - self.begun
        return f"{passed / self.held * (self.of - self.done) / 60:.0f} min left"


def hold_all(order: Order, say: Say) -> list[Trial]:
    """Hold every trial that is not on record, ``jobs`` at a time; in the order of networks and targets.

    One that fails, crashes or takes too long is a record like the others.
    """
    stop, pairs = Event(), order.pairs()
    tally = _Tally(len(pairs), say)
    found: dict[tuple[str, str], Trial] = {}

    def one(subject: Subject, target: str) -> None:
        if stop.is_set():
            return
        with stoppable(stop):
            trial, remembered = _outcome(subject, target, order)
        found[subject.name, target] = trial
        tally.tell(trial, remembered=remembered)

    def each(chain: list[tuple[Subject, str]]) -> None:
        for pair in chain:
            one(*pair)

    with ThreadPoolExecutor(max_workers=order.jobs) as pool:
        try:
            for future in [pool.submit(each, chain) for chain in _chains(order, pairs, say)]:
                future.result()
        except BaseException:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    if order.timed and not order.terms.check_only:
        _time_all(order, found, say)
    return [found[subject.name, target] for subject in order.subjects for target in order.targets]


def _chains(order: Order, pairs: list[tuple[Subject, str]], say: Say) -> list[list[tuple[Subject, str]]]:
    """The cells, those of giants first and one after the other, or as many at a time as memory holds."""

    def giant(subject: Subject) -> bool:
        try:
            return _figures(subject, order).macs >= GIANT
        except Exception:  # noqa: BLE001  # the trial says what is wrong
            return False

    with ThreadPoolExecutor(max_workers=order.jobs) as pool:
        giants: dict[Subject, bool] = {}
        for subject, found in zip(order.subjects, pool.map(giant, order.subjects), strict=True):
            giants[subject] = found
            say(f"[sized {len(giants)}/{len(order.subjects)}] {subject.name}")
    large = [pair for pair in pairs if giants[pair[0]]]
    lanes = max(_memory_bytes() // MEMORY_BYTES, 1)
    chains = [large[lane::lanes] for lane in range(lanes)]
    return [chain for chain in chains if chain] + [[pair] for pair in pairs if not giants[pair[0]]]


def _memory_bytes() -> int:
    """Of the machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def on_record(order: Order) -> list[Trial]:
    """Whatever trials are on record, of this code or an older one."""
    names = [(subject.name, target) for subject in order.subjects for target in order.targets]
    trials = (recall(order.out, *pair, key=None) for pair in names)
    return [trial for trial in trials if trial is not None]


def _outcome(subject: Subject, target: str, order: Order) -> tuple[Trial, bool]:
    """A trial, and whether it was on record; one that could not be held is told and not remembered."""
    try:
        return _trial(subject, target, order)
    except MosaicError as err:
        error = line(str(err))
    except Exception as err:  # noqa: BLE001  # a bug costs one cell and not the night
        error = line(f"a bug in the survey: {type(err).__name__}: {err}")
    return Trial(
        subject.name, target, key="", verdict="error", untrained=subject.untrained, error=error
    ), False


def _trial(subject: Subject, target: str, order: Order) -> tuple[Trial, bool]:
    """A trial, and whether it was on record: one that came late counts unless it may now take longer."""
    key = key_of(subject, target, order.terms, order.sources)
    kept = recall(order.out, subject.name, target, key)
    if kept is not None and not kept.late:
        return kept, True
    cost = _figures(subject, order)
    if kept is not None and kept.limit_s >= limit_of(order.terms, cost):
        return kept, True
    place = folder_of(order.out, subject.name, target)
    trial = hold(subject, target, order.terms, cost, key=key, folder=place)
    if not load_spec(TargetSpec, target).times:
        discard(place)
    keep(order.out, trial)
    return trial, False


def _figures(subject: Subject, order: Order) -> Figures:
    if subject.digest in order.broken:
        raise order.broken[subject.digest]
    try:
        return figures(subject, order.out)
    except MosaicError as err:
        order.broken[subject.digest] = err
        raise


def _time_all(order: Order, found: dict[tuple[str, str], Trial], say: Say) -> None:
    """Time what still lies there, a network at a time."""
    waiting = [
        (pair, trial)
        for pair, trial in found.items()
        if (folder_of(order.out, *pair) / ARTIFACT).is_dir() and trial.key
    ]
    if waiting:
        _wait_for_quiet()
    networks = groupby(sorted(waiting, key=lambda item: item[0][0]), key=lambda item: item[0][0])
    done = 0
    for _, items in networks:
        pairs, trials = zip(*items, strict=True)
        places = [folder_of(order.out, *pair) for pair in pairs]
        for pair, timed, place in zip(pairs, clock(trials, places), places, strict=True):
            found[pair] = timed
            keep(order.out, timed)
            discard(place)
            done += 1
            say(f"[timed {done}/{len(waiting)}] {pair[0]} on {pair[1]}: {_milliseconds(timed)}")


def _wait_for_quiet() -> None:
    """Let what the survey itself did fade from the load; others' load is not waited for long."""
    until = time.monotonic() + _QUIET_S
    while os.getloadavg()[0] > len(os.sched_getaffinity(0)) + SPARE and time.monotonic() < until:
        time.sleep(_LOOK_S)


def _news(trial: Trial, *, remembered: bool) -> str:
    built = {None: "", True: ", built", False: ", not built"}[trial.built]
    share = "" if trial.agreement is None else f", agreement {trial.agreement:.1%}"
    error = f": {trial.error[:100]}" if trial.error else ""
    known = " (on record)" if remembered else ""
    return f"{trial.network} on {trial.target}: {trial.verdict}{built}{share}{error}{known}"


def _milliseconds(trial: Trial) -> str:
    if trial.time_ms is None:
        return trial.error or "no time"
    return f"{trial.time_ms:.1f} ms{', on a busy machine' if trial.busy else ''}"
