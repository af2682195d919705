"""Time artifacts beside each other and beside the float network they came from, on this machine's CPU.

round 1:  float, a, b, c      each in a process of its own, never two at once
round 2:  a, b, c, float      the order moves on, so that no one always follows another
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mosaic_deploy.artifact.bench.entries import (
    BenchEntry,
    BenchRequest,
    Look,
    Stage,
    TimedArtifact,
    choose_image,
    open_all,
)
from mosaic_deploy.artifact.bench.guard import Suspect, complaints
from mosaic_deploy.artifact.bench.latency import Latencies, Ratio, ratio
from mosaic_deploy.artifact.bench.report import BenchReport, Machine, Row, Timed
from mosaic_deploy.artifact.manifest import MANIFEST
from mosaic_deploy.artifact.open import workspace
from mosaic_deploy.backends.protocol import Timing
from mosaic_deploy.backends.reference import TOOLCHAIN as REFERENCE_TOOLCHAIN
from mosaic_deploy.errors import ToolError
from mosaic_deploy.files import sha256_of
from mosaic_deploy.specs.toolchain import require_toolchain
from mosaic_deploy.workers.progress import StageProgress, silent

_SEED = 0
_SCATTERED = 1.5
"""p90 over median from which on times are not to be trusted."""


@dataclass(frozen=True, slots=True)
class _Measured:
    """All figures, by the networks' names."""

    floats: Mapping[str, Timed]
    """By the sha256 of their files."""
    artifacts: Mapping[str, Timed]
    looks: Mapping[str, Look]

    def row(self, subject: TimedArtifact, baseline: str | None, subjects: Sequence[TimedArtifact]) -> Row:
        opened, timed, look = subject.opened, self.artifacts[subject.name], self.looks.get(subject.name)
        digest = None if opened.float_onnx is None else opened.float_onnx.sha256
        float_baseline = None if digest is None else self.floats[digest]
        other = None if baseline is None or baseline == subject.name else self.artifacts[baseline]
        return Row(
            timed=timed,
            folder=str(opened.built.folder),
            manifest_sha256=sha256_of(opened.built.folder / MANIFEST),
            target=opened.target,
            recipe=opened.recipe,
            output=opened.contract.output,
            passed=opened.passed,
            float_baseline=None if float_baseline is None else float_baseline.name,
            to_float=_ratio(timed, float_baseline),
            to_versus=_ratio(timed, other),
            class_map_s=None if look is None else look.class_map_s,
            slow=() if look is None else complaints(self._suspect(subject, look, subjects, float_baseline)),
        )

    def _suspect(
        self, subject: TimedArtifact, look: Look, subjects: Sequence[TimedArtifact], baseline: Timed | None
    ) -> Suspect:
        """Beside the float artifact of the same runtime where one is timed too, else the float ONNX."""
        siblings = [
            other
            for other in subjects
            if other.kin == subject.kin and other.name in self.looks and _floats(self.looks[other.name])
        ]
        beside = self.artifacts[siblings[0].name] if siblings else baseline
        shares, fallback = look.facts.get("time_shares"), look.facts.get("fallback")
        return Suspect(
            precision=str(look.facts.get("precision", "")),
            output=subject.opened.contract.output,
            target=subject.opened.target,
            beside="" if beside is None else beside.name,
            ratio=_ratio(self.artifacts[subject.name], beside),
            time_shares=shares if isinstance(shares, Mapping) else {},
            fallback=fallback if isinstance(fallback, Mapping) else {},
        )


def bench(request: BenchRequest, *, progress: StageProgress = silent) -> BenchReport:
    """Time artifacts in turns, each round of each in a process of its own.

    Raises:
        UsageError: numbers that make no sense.
        ModelError: a folder that is no sound artifact.
        DataError: the image cannot be read.
        ToolError: a runtime is missing or failed.
    """
    request.require_sound()
    named, baseline = open_all(request)
    chains = (opened.load_backend().toolchain for opened in named.values())
    for name in dict.fromkeys((*chains, REFERENCE_TOOLCHAIN)):
        require_toolchain(name, progress)
    image, said = choose_image(request.image)
    machine = Machine.here()
    with workspace() as space:
        stage = Stage(request, image, space)
        subjects = stage.subjects(named)
        yardsticks = stage.yardsticks(named)
        contenders = [*yardsticks.values(), *(subject.contender() for subject in subjects)]
        timings = interleaved(contenders, rounds=request.rounds, progress=progress)
        timed = [_timed(c, found, request) for c, found in zip(contenders, timings, strict=True)]
        floats = dict(zip(yardsticks, timed, strict=False))
        artifacts = dict(zip(named, timed[len(yardsticks) :], strict=True))
        measured = _Measured(floats, artifacts, _looks(subjects, artifacts, progress))
    rows = tuple(measured.row(subject, baseline, subjects) for subject in subjects)
    return BenchReport(
        machine=machine,
        threads=request.threads,
        rounds=request.rounds,
        runs=request.runs_per_round,
        warm_up=request.warm_up,
        image=said,
        baseline=baseline,
        floats=tuple(floats.values()),
        rows=rows,
        notes=tuple(_notes(machine, request, rows)),
    )


def interleaved(
    contenders: Sequence[BenchEntry], *, rounds: int, progress: StageProgress
) -> tuple[tuple[Timing, ...], ...]:
    """Time each once per round, one after the other; the order moves on by one each round.

    A simulator takes part in the first round only: its cycles are the same each time, and it takes long.
    """
    found: list[list[Timing]] = [[] for _ in contenders]
    taking_part = list(range(len(contenders)))
    for turn in range(rounds):
        first = turn % max(len(taking_part), 1)
        for place, index in enumerate((*taking_part[first:], *taking_part[:first])):
            progress("time", (turn + place / len(taking_part)) / rounds, contenders[index].name)
            found[index].append(contenders[index].time())
        taking_part = [index for index in taking_part if found[index][-1].seconds]
    progress("time", 1.0, "")
    return tuple(tuple(timings) for timings in found)


def _timed(contender: BenchEntry, timings: Sequence[Timing], request: BenchRequest) -> Timed:
    rounds = tuple(timing.seconds for timing in timings)
    simulator = not any(rounds)
    if not simulator and {len(seconds) for seconds in rounds} != {request.runs_per_round}:
        raise ToolError(f"{contender.name}: its runtime timed another number of runs than requested")
    facts = timings[0].facts
    threads = facts.get("threads")
    return Timed(
        name=contender.name,
        latencies=None if simulator else Latencies(rounds),
        peak_bytes=None if simulator else max(timing.peak_bytes for timing in timings),
        size_bytes=contender.size_bytes,
        ran_on=str(facts.get("ran_on", "")),
        threads=threads if isinstance(threads, int) else request.threads,
        hot_spots=timings[0].hot_spots,
    )


def _floats(look: Look) -> bool:
    return str(look.facts.get("precision", "")).startswith("float")


def _looks(
    subjects: Sequence[TimedArtifact], timed: Mapping[str, Timed], progress: StageProgress
) -> dict[str, Look]:
    found = {}
    running = [subject for subject in subjects if timed[subject.name].latencies is not None]
    for index, subject in enumerate(running):
        progress("class map", index / len(running), subject.name)
        found[subject.name] = subject.look()
    progress("class map", 1.0, "")
    return found


def _ratio(ours: Timed, theirs: Timed | None) -> Ratio | None:
    if theirs is None or ours.latencies is None or theirs.latencies is None:
        return None
    return ratio(ours.latencies, theirs.latencies, rng=np.random.default_rng(_SEED))


def _notes(machine: Machine, request: BenchRequest, rows: Sequence[Row]) -> list[str]:
    notes = ["measured on this machine's CPU: use it to rank artifacts, not as a phone's latency"]
    if machine.busy:
        notes.append(
            f"the machine was busy before the first run (load {machine.load:.1f} on {machine.cores} cores): "
            "the times are unreliable; run again when it is idle"
        )
    if request.threads > machine.cores:
        notes.append(f"{request.threads} threads on {machine.cores} cores compete with each other")
    for row in rows:
        name = row.timed.name
        if row.timed.threads != request.threads and row.timed.latencies is not None:
            notes.append(f"{name} ran on {row.timed.threads} threads")
        if row.timed.latencies is not None and row.timed.latencies.spread > _SCATTERED:
            notes.append(
                f"{name}: p90 is {row.timed.latencies.spread:.1f} times the median: another process "
                "or a clock change disturbed the runs; run again"
            )
        if row.float_baseline is None:
            notes.append(f"{name}: no float network in the artifact, so no float baseline")
        if not row.passed:
            notes.append(f"{name}: a check failed when it was built, so its results may be wrong")
    return notes


__all__ = ["BenchEntry", "BenchRequest", "bench", "interleaved"]
