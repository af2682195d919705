"""What a network costs on its device: sizes, operations, and what a vendor's tool or a clock said of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mosaic_deploy.artifact.html_report.figures import NONE, large, percent, plural, size
from mosaic_deploy.artifact.html_report.measured import BenchRecord, TimeRecord
from mosaic_deploy.artifact.html_report.record import Record
from mosaic_deploy.artifact.html_report.tensors import tried
from mosaic_deploy.artifact.manifest import Entry
from mosaic_deploy.artifact.store import shipped_bytes

_TRAFFIC = ("DDR read", "DDR written")
"""Which of the figures that are stated are all that goes over the memory bus."""


@dataclass(frozen=True, slots=True)
class Row:
    """A figure, and whose it is."""

    name: str
    value: str
    source: str


@dataclass(frozen=True, slots=True)
class Devices:
    """Figures that each device has its own of."""

    names: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    """The device, and its figures in the order of the names."""
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cost:
    """What stands under Cost."""

    rows: tuple[Row, ...]
    devices: Devices | None
    files: tuple[tuple[str, str], ...]
    """Path and size of each file that a device loads."""


@dataclass(frozen=True, slots=True)
class _Stated:
    """An entry of ``facts["cost"]``."""

    device: str
    name: str
    value: str
    source: str


def cost(record: Record) -> Cost | None:
    """What it costs on the device; None where nothing is known of that."""
    rows, check = [], record.build.check
    shipped = [entry for entry in record.manifest.files if entry.ships]
    if record.decisive is not None:
        rows.append(Row("Size of the network", size(shipped_bytes(record.manifest.files)), _of_whom(shipped)))
    if check is not None:
        rows.append(Row("Multiply-accumulates", large(check.macs), "counted in the ONNX graph"))
        rows.append(Row("Operators", f"{check.nodes:,}", "in the graph that was judged"))
    rows += _fallback(record.manifest.facts.get("fallback"))
    stated = _stated(record.manifest.facts.get("cost"))
    rows += [Row(each.name, each.value, each.source) for each in stated if not each.device]
    if record.decisive is not None:
        rows += _latency(record)
    files = tuple((entry.path, size(entry.bytes)) for entry in shipped)
    return Cost(tuple(rows), _devices(stated), files if len(files) > 1 else ()) if rows else None


def in_brief(record: Record) -> str:
    """What goes behind the size in a table of many: the measured time, or the most that a device moves."""
    if record.time is not None and record.time[1].median_ms is not None:
        return f", {record.time[1].median_ms:.1f}\u00a0ms"
    moved: dict[str, int] = {}
    for device, name, count in _moved(record.manifest.facts.get("cost")):
        moved[device] = moved.get(device, 0) + (count if name in _TRAFFIC else 0)
    return f", {size(max(moved.values()))} over the bus" if any(moved.values()) else ""


def _moved(facts: object) -> Iterator[tuple[str, str, int]]:
    for each in facts if isinstance(facts, list) else []:
        if isinstance(each, Mapping) and type(each.get("value")) is int and each.get("unit") == "bytes":
            yield str(each.get("device", "")), str(each.get("name")), each["value"]


def _of_whom(shipped: Sequence[Entry]) -> str:
    networks = {entry.part_of or entry.path for entry in shipped}
    return "the largest of those for each device" if len(networks) > 1 else "what a device loads"


def _fallback(stated: object) -> list[Row]:
    if not isinstance(stated, Mapping):
        return []
    named = (("macs_share", "of the multiply-accumulates"), ("time_share", "of the measured time"))
    known = [(stated.get(key), words) for key, words in named]
    shares = [(percent(share, 1), words) for share, words in known if isinstance(share, int | float)]
    if not shares:
        return []
    (value, words), *more = shares
    return [Row("In fallback kernels", value, "; ".join((words, *(f"{v} {w}" for v, w in more))))]


def _latency(record: Record) -> list[Row]:
    """Time is of a clock or not there: a simulator's counts are of the machine that simulates."""
    target = record.manifest.target
    if record.time is not None:
        return _timed(*record.time)
    if getattr(target, "times", None) is True:
        found = tried(record)
        taken = None if found is None else found.attempts[found.chosen]
        if found is not None and taken is not None and found.cost_unit == "seconds" and taken.cost:
            said = "timed by recipe auto on the machine that built it; no phone's"
            return [Row("Latency", f"{1e3 * taken.cost:.1f}\u00a0ms", said)]
        return [Row("Latency", "not measured", "a build times nothing: mosaic-deploy bench does, see --with")]
    return [Row("Latency", "not measured", "what ran it here is not the device: measure there")]


def _timed(bench: BenchRecord, time: TimeRecord) -> list[Row]:
    if time.median_ms is None:
        return []
    late = "" if time.p90_ms is None else f"; nine of ten within {time.p90_ms:.1f} ms"
    busy = "; that machine was busy, so do not trust it" if bench.load > bench.cores else ""
    where = f"{bench.cpu}, {plural(time.threads, 'thread')}"
    said = f"median of {time.runs:,} runs on {where}{late}; no phone's{busy}"
    rows = [Row("Latency", f"{time.median_ms:.1f}\u00a0ms", said)]
    if time.x_float is not None:
        ends = time.x_float.interval
        within = "" if ends is None else f", 95 % interval {ends[0]:.2f} to {ends[1]:.2f}"
        beside = f"the float network on ONNX Runtime, timed in turns{within}"
        rows.append(Row("Time beside float", f"{time.x_float.ratio:.2f}\u00a0×", beside))
    return rows


def _stated(facts: object) -> tuple[_Stated, ...]:
    """What the backend states; an entry that is none is left out."""
    listed = facts if isinstance(facts, list) else []
    return tuple(
        _Stated(
            device=str(each.get("device", "")),
            name=str(each.get("name")),
            value=_value(each.get("value"), str(each.get("unit", ""))),
            source=str(each.get("source", "")),
        )
        for each in listed
        if isinstance(each, Mapping)
    )


def _value(value: object, unit: str) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return size(int(value)) if unit == "bytes" else f"{value:,g} {unit}".strip()


def _devices(stated: tuple[_Stated, ...]) -> Devices | None:
    own = [each for each in stated if each.device]
    names = tuple(dict.fromkeys(each.name for each in own))
    found = {(each.device, each.name): each.value for each in own}
    rows = tuple(
        (device, tuple(found.get((device, name), NONE) for name in names))
        for device in dict.fromkeys(each.device for each in own)
    )
    sources = tuple(dict.fromkeys(each.source for each in own if each.source))
    return Devices(names, rows, sources) if rows else None
