"""What a benchmark reports: one JSON object, or a table and a simulator's hot spots."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mosaic_deploy.artifact.bench.latency import Latencies, Ratio

SCHEMA = 1
HOT_SPOTS = 5
_MIB = 2**20
_NONE = "-"


@dataclass(frozen=True, slots=True)
class Machine:
    """What the figures are of."""

    cpu: str
    cores: int
    """That this process may use."""
    load: float
    """Processes that wanted a core, on average over the minute before the first run."""

    @classmethod
    def here(cls) -> Self:
        """This machine, now."""
        cpu = platform.machine()
        info = Path("/proc/cpuinfo")
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines() if info.is_file() else ():
            if line.startswith("model name"):
                cpu = line.partition(":")[2].strip()
                break
        return cls(cpu, len(os.sched_getaffinity(0)), os.getloadavg()[0])

    @property
    def busy(self) -> bool:
        """Whether more wants to run than there are cores."""
        return self.load > self.cores


@dataclass(frozen=True, slots=True)
class Timed:
    """One network, timed."""

    name: str
    latencies: Latencies | None
    """None on a simulator."""
    peak_bytes: int | None
    """Peak resident memory of the process, runtime and weights included; None on a simulator."""
    size_bytes: int
    ran_on: str
    threads: int
    hot_spots: tuple[tuple[str, float], ...] = ()
    """Node and its share of a simulator's cycles, the largest first."""

    def to_json(self) -> dict[str, object]:
        """The entry's keys; null stands for what a simulator cannot tell."""
        times = self.latencies
        return {
            "name": self.name,
            "ran_on": self.ran_on,
            "threads": self.threads,
            "simulator": times is None,
            "runs": 0 if times is None else times.seconds.size,
            "median_ms": None if times is None else 1e3 * times.median_s,
            "p90_ms": None if times is None else 1e3 * times.p90_s,
            "min_ms": None if times is None else 1e3 * times.least_s,
            "spread": None if times is None else times.spread,
            "rounds_ms": None if times is None else [[1e3 * s for s in runs] for runs in times.rounds],
            "peak_bytes": self.peak_bytes,
            "size_bytes": self.size_bytes,
            "hot_spots": [{"node": node, "share": share} for node, share in self.hot_spots],
        }


@dataclass(frozen=True, slots=True)
class Row:
    """One artifact beside what it is compared with."""

    timed: Timed
    folder: str
    target: str
    recipe: str
    output: str
    passed: bool
    float_baseline: str | None
    """Name of its float network's entry; None where that is not in the folder."""
    to_float: Ratio | None
    to_versus: Ratio | None
    class_map_s: float | None
    """Median time of turning the output into class ids at the input's size, by NumPy on one thread, which
    ``timed`` does not hold; None on a simulator."""
    manifest_sha256: str = ""
    """Of the artifact's ``manifest.json``, by which a report finds it again."""
    slow: tuple[str, ...] = ()
    """What makes an integer network not worth it, with the fix; empty where nothing was found."""

    def to_json(self) -> dict[str, object]:
        """The artifact's entry in ``--json``."""
        return {
            **self.timed.to_json(),
            "folder": self.folder,
            "manifest_sha256": self.manifest_sha256,
            "target": self.target,
            "recipe": self.recipe,
            "output": self.output,
            "passed": self.passed,
            "float": self.float_baseline,
            "x_float": None if self.to_float is None else self.to_float.to_json(),
            "x_versus": None if self.to_versus is None else self.to_versus.to_json(),
            "class_map_ms": None if self.class_map_s is None else 1e3 * self.class_map_s,
            "slow": list(self.slow),
        }


@dataclass(frozen=True, slots=True)
class BenchReport:
    """Artifacts timed side by side on one machine."""

    machine: Machine
    threads: int
    rounds: int
    runs: int
    """Of each artifact in each round, after the warm-up."""
    warm_up: int
    """Runs before each round's that do not count."""
    image: str
    """What the input was made of."""
    baseline: str | None
    floats: tuple[Timed, ...]
    """The float networks on ONNX Runtime: the baseline."""
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    """What a reader must know to read the figures rightly."""

    def to_json(self) -> dict[str, object]:
        """The object that ``bench --json`` prints."""
        return {
            "schema": SCHEMA,
            "cpu": self.machine.cpu,
            "cores": self.machine.cores,
            "load": self.machine.load,
            "threads": self.threads,
            "rounds": self.rounds,
            "runs": self.runs,
            "warm_up": self.warm_up,
            "image": self.image,
            "versus": self.baseline,
            "floats": [timed.to_json() for timed in self.floats],
            "artifacts": [row.to_json() for row in self.rows],
            "notes": list(self.notes),
        }

    def table(self) -> RenderableType:
        """One row per network, the float baselines first, and a simulator's hot spots below."""
        beside = None if self.baseline is None else Text(f"x vs: baseline {self.baseline}")
        view = Table(title=Text(self._title()), title_justify="left", caption=beside, caption_justify="left")
        for heading in ("network", "output"):
            view.add_column(heading, overflow="fold")
        for heading in ("median ms", "p90 ms", "p90 / median", "x float"):
            view.add_column(heading, justify="right")
        if self.baseline is not None:
            view.add_column("x vs", justify="right")
        for heading in ("class map ms", "peak MiB", "size MiB"):
            view.add_column(heading, justify="right")
        for timed in self.floats:
            cells = [_NONE] if self.baseline is None else [_NONE, _NONE]
            view.add_row(Text(timed.name), _NONE, *_times(timed), *cells, _NONE, *_sizes(timed), style="dim")
        for row in self.rows:
            ratios = [row.to_float] if self.baseline is None else [row.to_float, row.to_versus]
            after = _NONE if row.class_map_s is None else f"{1e3 * row.class_map_s:.1f}"
            cells = [_NONE if ratio is None else str(ratio) for ratio in ratios]
            view.add_row(
                Text(row.timed.name), row.output, *_times(row.timed), *cells, after, *_sizes(row.timed)
            )
        slow = (Text(f"slow: {row.timed.name}: {said}") for row in self.rows for said in row.slow)
        return Group(view, *slow, *(_hot_spots(row.timed) for row in self.rows if row.timed.hot_spots))

    def _title(self) -> str:
        return (
            f"{self.machine.cpu}, {self.threads} threads: {self.rounds} rounds of {self.runs} runs "
            f"after {self.warm_up} warm-up runs, on {self.image}"
        )


def _times(timed: Timed) -> list[str]:
    times = timed.latencies
    if times is None:
        return ["simulator", _NONE, _NONE]
    return [f"{1e3 * times.median_s:.2f}", f"{1e3 * times.p90_s:.2f}", f"{times.spread:.2f}"]


def _sizes(timed: Timed) -> list[str]:
    peak = _NONE if timed.peak_bytes is None else f"{timed.peak_bytes / _MIB:.0f}"
    return [peak, f"{timed.size_bytes / _MIB:.2f}"]


def _hot_spots(timed: Timed) -> Text:
    lines = [f"{timed.name}: hot spots, share of the simulated cycles, not a latency"]
    lines += [f"  {share:6.1%}  {node}" for node, share in timed.hot_spots[:HOT_SPOTS]]
    return Text("\n".join(lines))


__all__ = ["BenchReport", "Machine", "Row", "Timed"]
