"""What a network costs on its device: sizes, operations, and what a vendor's tool or a clock said of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mosaic_deploy.artifact.html_report.figures import NONE, large, percent, size
from mosaic_deploy.artifact.html_report.record import Record
from mosaic_deploy.artifact.manifest import Entry
from mosaic_deploy.artifact.store import shipped_bytes


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


def _of_whom(shipped: Sequence[Entry]) -> str:
    networks = {entry.part_of or entry.path for entry in shipped}
    return "the largest of those for each device" if len(networks) > 1 else "what a device loads"


def _fallback(stated: object) -> list[Row]:
    if not isinstance(stated, Mapping):
        return []
    named = (("macs_share", "of the multiply-accumulates"), ("time_share", "of the measured time"))
    shares = [(stated.get(key), words) for key, words in named]
    return [
        Row("In fallback kernels", percent(s, 1), words) for s, words in shares if isinstance(s, int | float)
    ]


def _latency(record: Record) -> list[Row]:
    """Time is of a clock or not there: a simulator's counts are of the machine that simulates."""
    target = record.manifest.target
    if getattr(target, "times", None) is True:
        return [Row("Latency", "not measured", "a build times nothing: mosaic-deploy bench does")]
    return [Row("Latency", "not measured", "what ran it here is not the device: measure there")]


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
