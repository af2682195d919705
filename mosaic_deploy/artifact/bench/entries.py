"""Who takes part in a benchmark: artifacts, and the float networks that they were made from."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from mosaic_deploy.artifact.manifest import Entry
from mosaic_deploy.artifact.open import Artifact, open_artifact
from mosaic_deploy.backends import reference
from mosaic_deploy.backends.protocol import Backend, Timing, TimingConfig, WorkDir
from mosaic_deploy.datasets import open_data
from mosaic_deploy.datasets.images import read_image
from mosaic_deploy.errors import DataError, ModelError, UsageError
from mosaic_deploy.graph.ends.describe import describe
from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.specs.labels import Pixels

_CLASS_MAP_RUNS = 10
_MOST_RUNS, _MOST_THREADS = 100_000, 256
_NOISE = (480, 640, 3)
_SEED = 0


@dataclass(frozen=True, slots=True)
class BenchRequest:
    """What is to be timed, and how."""

    artifacts: tuple[Path, ...]
    baseline: Path | None = None
    """An artifact that all others are held against; it is timed with them."""
    runs: int = 100
    """Of each artifact in all rounds together; a whole number in each, so it may become a few more."""
    rounds: int = 5
    threads: int = 2
    warm_up: int = 5
    """Runs before each round's that do not count."""
    image: Path | None = None
    """None takes an embedded one; how long a network takes hardly depends on what it sees."""

    @property
    def runs_per_round(self) -> int:
        """At least 1."""
        return -(-self.runs // self.rounds)

    def require_sound(self) -> None:
        """Raise ``UsageError`` for numbers that make no sense."""
        if not self.artifacts:
            raise UsageError("name an artifact: a folder that 'mosaic-deploy build' wrote")
        limits = {
            "runs": (self.runs, 1, _MOST_RUNS),
            "rounds": (self.rounds, 1, self.runs),
            "threads": (self.threads, 1, _MOST_THREADS),
            "warm-up": (self.warm_up, 0, _MOST_RUNS),
        }
        for name, (value, least, most) in limits.items():
            if not least <= value <= most:
                raise UsageError(f"{name} {value} is out of range: {least} to {most}")


@dataclass(frozen=True, slots=True)
class BenchEntry:
    """Something that can be timed, a round at a time."""

    name: str
    size_bytes: int
    time: Callable[[], Timing]


@dataclass(frozen=True, slots=True)
class Look:
    """What one run of an artifact shows."""

    class_map_s: float
    """Median seconds that its output takes to become class ids at the input's size."""
    facts: Mapping[str, object]
    """Of its ``Run``."""


@dataclass(frozen=True, slots=True)
class TimedArtifact:
    """An artifact that is being timed."""

    name: str
    opened: Artifact
    backend: Backend
    space: WorkDir
    trial: TimingConfig

    @property
    def kin(self) -> tuple[str, str, str]:
        """What it has in common with the same network in another precision on the same runtime."""
        return self.opened.model, self.opened.target, self.opened.contract.output

    def contender(self) -> BenchEntry:
        """What times it."""
        call = partial(self.backend.time, self.opened.built, self.trial, space=self.space)
        return BenchEntry(self.name, self.opened.size_bytes, call)

    def look(self) -> Look:
        """Run it once, and time how its output becomes class ids at the input's size."""
        contract = self.opened.contract
        ran = self.backend.run(
            self.opened.built,
            contract,
            (self.trial.input,),
            space=self.space,
            on_progress=lambda _share, _note: None,
        )
        output = np.load(ran.outputs[0], allow_pickle=False)
        seconds = []
        for _ in range(_CLASS_MAP_RUNS + 1):
            begun = time.perf_counter()
            contract.class_map(output, (contract.height, contract.width))
            seconds.append(time.perf_counter() - begun)
        return Look(float(np.median(seconds[1:])), ran.facts)


def open_all(request: BenchRequest) -> tuple[dict[str, Artifact], str | None]:
    """Each artifact once, by the shortest name that tells it from the others; the name to compare with."""
    asked = [*request.artifacts, *([] if request.baseline is None else [request.baseline])]
    folders = {folder.resolve(): folder for folder in reversed(asked)}
    places = list(dict.fromkeys(folder.resolve() for folder in asked))
    often = Counter(place.name for place in places)
    names = {p: p.name if often[p.name] == 1 else str(folders[p]) for p in places}
    baseline = None if request.baseline is None else names[request.baseline.resolve()]
    return {names[place]: open_artifact(folders[place]) for place in places}, baseline


def choose_image(path: Path | None) -> tuple[Pixels, str]:
    """The image, and what it is in words."""
    if path is not None:
        return read_image(path, upright=True), str(path)
    try:
        sample = open_data("streets", split="val")[0]
    except DataError:
        noise = np.random.default_rng(_SEED).integers(0, 256, _NOISE, dtype=np.uint8)
        return noise, "noise"
    return sample.image, f"the embedded street scene {sample.name}"


@dataclass(frozen=True, slots=True)
class Stage:
    """What all contenders share."""

    request: BenchRequest
    image: Pixels
    space: WorkDir

    def subjects(self, named: Mapping[str, Artifact]) -> tuple[TimedArtifact, ...]:
        """The artifacts; raises ``ToolError`` where this machine lacks the runtime of one."""
        backends = {name: opened.load_backend() for name, opened in named.items()}
        return tuple(
            TimedArtifact(name, opened, backends[name], *self._trial(opened.contract))
            for name, opened in named.items()
        )

    def yardsticks(self, named: Mapping[str, Artifact]) -> dict[str, BenchEntry]:
        """The float networks by their sha256, so that one which several artifacts share is timed once.

        Raises ``ModelError`` where one takes other images than its artifact.
        """
        owners: dict[str, tuple[str, Artifact, Entry]] = {}
        for name, opened in named.items():
            entry = opened.float_onnx
            if entry is not None:
                owners.setdefault(entry.sha256, (name, opened, entry))
        kinds = Counter(opened.contract.output for _, opened, _ in owners.values())
        found = {}
        for digest, (owner, opened, entry) in owners.items():
            path = opened.path(entry)
            space, trial = self._trial(_float_contract(path, opened.contract))
            output = opened.contract.output
            name = f"float {output}" if kinds[output] == 1 else f"float {output} of {owner}"
            call = partial(reference.time, path, trial, space=space)
            found[digest] = BenchEntry(name, entry.bytes, call)
        return found

    def _trial(self, contract: Contract) -> tuple[WorkDir, TimingConfig]:
        """A space of its own for a contender, and the image prepared for it there."""
        scratch = Path(tempfile.mkdtemp(dir=self.space.scratch))
        logs = self.space.logs / scratch.name
        logs.mkdir()
        path = scratch / "input.npy"
        np.save(path, contract.prepare(self.image), allow_pickle=False)
        trial = TimingConfig(path, self.request.warm_up, self.request.runs_per_round, self.request.threads)
        return WorkDir(scratch, logs), trial


def _float_contract(path: Path, contract: Contract) -> Contract:
    """The contract in the layout that the float network takes; raises ``ModelError`` where it takes less."""
    takes = describe(path)
    if (takes.height, takes.width, takes.dtype) != (contract.height, contract.width, contract.dtype):
        raise ModelError(
            f"{path}: takes {takes.height}x{takes.width} {takes.dtype}, the artifact's contract states "
            f"{contract.height}x{contract.width} {contract.dtype}: build the artifact again"
        )
    return contract.model_copy(update={"layout": takes.layout})


__all__ = ["BenchEntry", "BenchRequest", "Look", "Stage", "TimedArtifact", "choose_image", "open_all"]
