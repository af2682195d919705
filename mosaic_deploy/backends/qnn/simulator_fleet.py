"""The simulations of several compiled architectures: which images run on which, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mosaic_deploy.backends.qnn.simulator import simulate
from mosaic_deploy.specs.toolchain import toolchain_python
from mosaic_deploy.workers.call import GIB, Call, Outcome, call_all
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject

if TYPE_CHECKING:
    from mosaic_deploy.specs.contract import Contract

_PROBES = 2
_SESSION_S = 300.0
_IMAGE_S = 900.0
_MEMORY = 8 * GIB


@dataclass(frozen=True, slots=True)
class Fleet:
    """Compiled contexts and what it takes to run them."""

    contexts: dict[int, Path]
    """Architecture -> context, the main one (whose outputs count) first."""
    source: JsonObject
    result: JsonObject
    """Quantisation parameters of input and output."""
    contract: Contract
    scratch: Path
    logs: Path
    parallel: int
    """Processes at a time."""


@dataclass(frozen=True, slots=True)
class Flight:
    """What the simulations gave."""

    outputs: tuple[Path, ...]
    """Of the main architecture, one ``.npy`` per input."""
    others: dict[str, tuple[Path, ...]]
    """The same of each architecture that computes otherwise."""
    costs: dict[int, tuple[float, int]]
    """Architecture -> seconds of its processes, added up, and the largest peak memory in bytes."""
    facts: JsonObject
    """Per architecture: images run, and how its outputs compare with the main one's."""


def simulate_all(fleet: Fleet, inputs: Sequence[Path], *, on_progress: OnProgress) -> Flight:
    """Run the first two images on every architecture, and the rest on each that differs from the others.

    Raises ``ToolError`` as ``tools.call_all`` does.
    """
    probes = range(min(_PROBES, len(inputs)))
    rest = range(len(probes), len(inputs))
    costs = dict.fromkeys(fleet.contexts, (0.0, 0))
    share = len(probes) / max(len(inputs), 1)
    jobs = [(arch, _job(fleet, arch, inputs, probes)) for arch in fleet.contexts]
    _run(fleet, jobs, costs, lambda s, text: on_progress(share * s, text))
    alike = _alike(fleet, inputs, probes)
    leaders = tuple(dict.fromkeys(alike.values()))
    slices = [rest[start :: fleet.parallel] for start in range(fleet.parallel)]
    jobs = [(arch, _job(fleet, arch, inputs, part)) for arch in leaders for part in slices if part]
    _run(fleet, jobs, costs, lambda s, text: on_progress(share + (1 - share) * s, text))
    main = leaders[0]
    facts: JsonObject = {}
    for arch, leader in alike.items():
        images = range(len(inputs)) if arch == leader else probes
        facts[f"v{arch}"] = _compare(fleet, arch, [inputs[i] for i in images], main)
        if arch != leader:
            facts[f"v{arch}"]["alike"] = f"v{leader}"
    outputs = {leader: tuple(_place(fleet, leader, path) for path in inputs) for leader in leaders}
    others = {f"v{arch}": paths for arch, paths in outputs.items() if arch != main}
    return Flight(outputs[main], others, costs, facts)


def _job(fleet: Fleet, arch: int, inputs: Sequence[Path], images: range) -> Call:
    chosen = [inputs[index] for index in images]
    request = {
        "context": str(fleet.contexts[arch]),
        "inputs": [str(path.resolve()) for path in chosen],
        "outputs": [str(_place(fleet, arch, path)) for path in chosen],
        "input": fleet.source,
        "output": fleet.result,
    }
    name = f"simulate v{arch}"
    word = f"v{arch}-{chosen[0].stem}"
    _place(fleet, arch, Path()).mkdir(parents=True, exist_ok=True)
    return Call(
        simulate,
        request,
        timeout_s=_SESSION_S + _IMAGE_S * len(chosen),
        memory_bytes=_MEMORY,
        log=fleet.logs / f"qnn-simulate-{word}.log",
        cwd=fleet.scratch / word,
        environment={"OMP_NUM_THREADS": "1"},
        name=name,
        interpreter=toolchain_python("qnn"),
    )


def _place(fleet: Fleet, arch: int, path: Path) -> Path:
    return fleet.scratch / f"outputs-v{arch}" / path.name


def _run(
    fleet: Fleet, jobs: list[tuple[int, Call]], costs: dict[int, tuple[float, int]], on_progress: OnProgress
) -> None:
    outcomes: tuple[Outcome, ...] = call_all(
        [job for _, job in jobs], parallel=fleet.parallel, on_progress=on_progress
    )
    for (arch, _), outcome in zip(jobs, outcomes, strict=True):
        seconds, peak = costs[arch]
        costs[arch] = (seconds + outcome.seconds, max(peak, outcome.peak_bytes))


def _alike(fleet: Fleet, inputs: Sequence[Path], probes: range) -> dict[int, int]:
    """Architecture -> the first one that gave the same bits on the probes, often itself."""
    found: dict[bytes, int] = {}
    alike = {}
    for arch in fleet.contexts:
        bits = b"".join(_place(fleet, arch, inputs[index]).read_bytes() for index in probes)
        alike[arch] = found.setdefault(bits, arch)
    return alike


def _compare(fleet: Fleet, arch: int, images: Sequence[Path], main: int) -> JsonObject:
    """Agreement of class maps (a share of the pixels) and the largest difference in steps of the output."""
    size = (fleet.contract.height, fleet.contract.width)
    equal = pixels = 0
    largest = 0.0
    for path in images:
        ours, theirs = (np.load(_place(fleet, a, path), allow_pickle=False) for a in (arch, main))
        maps = [fleet.contract.class_map(values, size) for values in (ours, theirs)]
        equal += int((maps[0] == maps[1]).sum())
        pixels += maps[0].size
        largest = max(largest, float(np.abs(ours.astype(np.float64) - theirs).max()))
    return {
        "images": len(images),
        "agreement": equal / pixels if pixels else 1.0,
        "largest_difference_steps": round(largest / (fleet.result["scale"] or 1.0)),
    }
