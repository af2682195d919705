"""The bench as a whole: which trials are held, several side by side, and which are remembered."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock

from benchmarks.field.maker import folder, made
from benchmarks.field.recipes import Network
from benchmarks.field.records import folder_of, keep, key_of, recall
from benchmarks.field.trial import Terms, Trial, hold
from mosaic_deploy.errors import MosaicError
from mosaic_deploy.specs.root import spec_root
from mosaic_deploy.workers.call import stoppable

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Order:
    """What to try, and where the records go."""

    networks: tuple[Network, ...]
    targets: tuple[str, ...]
    terms: Terms
    out: Path
    jobs: int
    sources: str
    """Digest of the code that is tried."""


def hold_all(order: Order, say: Say) -> list[Trial]:
    """Hold every trial that is not on record, ``jobs`` at a time; in the order of networks and targets."""
    stop, lock, begun = Event(), Lock(), time.monotonic()
    pairs = [(network, target) for network in order.networks for target in order.targets]
    found: dict[tuple[str, str], Trial] = {}

    def one(network: Network, target: str) -> None:
        if stop.is_set():
            return
        with stoppable(stop):
            trial = _trial(network, target, order)
        with lock:
            found[network.name, target] = trial
            say(_news(trial, len(found), len(pairs), time.monotonic() - begun))

    with ThreadPoolExecutor(max_workers=order.jobs) as pool:
        try:
            for future in [pool.submit(one, *pair) for pair in pairs]:
                future.result()
        except BaseException:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return [found[network.name, target] for network, target in pairs]


def on_record(order: Order) -> list[Trial]:
    """Whatever trials are on record, of this code or an older one."""
    pairs = [(network.name, target) for network in order.networks for target in order.targets]
    trials = (recall(order.out, *pair, key=None) for pair in pairs)
    return [trial for trial in trials if trial is not None]


def calibration_data(count: int) -> str:
    """``folder:DIR`` with the first images of the street scenes to calibrate on: fewer than a build's 32."""
    place = folder() / f"calibration-{count}"
    images = place / "images"
    images.mkdir(parents=True, exist_ok=True)
    source = spec_root() / "calib_data" / "streets" / "calib" / "images"
    for path in sorted(source.iterdir())[:count]:
        if not (images / path.name).exists():
            shutil.copyfile(path, images / path.name)
    return f"folder:{place}"


def can_ask() -> bool:
    """Whether the ``check`` at hand has ``--unknown``."""
    argv = [sys.executable, "-P", "-m", "mosaic_deploy", "check", "--help"]
    told = subprocess.run(argv, capture_output=True, text=True, check=False)
    return "--unknown" in told.stdout and "--budget" in told.stdout


def _trial(network: Network, target: str, order: Order) -> Trial:
    key = key_of(network, target, order.terms, order.sources)
    kept = recall(order.out, network.name, target, key)
    if kept is not None:
        return kept
    try:
        onnx = made(network)
        trial = hold(onnx, target, order.terms, key=key, folder=folder_of(order.out, network.name, target))
    except MosaicError as err:
        return Trial(network=network.name, target=target, key="", verdict="error", error=str(err))
    keep(order.out, trial)
    return trial


def _news(trial: Trial, done: int, of: int, seconds: float) -> str:
    built = {None: "", True: ", built", False: ", not built"}[trial.built]
    share = "" if trial.agreement is None else f", agreement {trial.agreement:.1%}"
    error = f": {trial.error[:100]}" if trial.error else ""
    head = f"[{done}/{of} {seconds:.0f} s] {trial.network} on {trial.target}"
    return f"{head}: {trial.verdict}{built}{share}{error}"


def names(text: str | None, known: Sequence[str]) -> tuple[str, ...]:
    """``A,B`` as names; all that are known for nothing."""
    return tuple(name for name in text.split(",") if name) if text else tuple(known)
