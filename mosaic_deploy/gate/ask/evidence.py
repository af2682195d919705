"""What compilers said of parts of models, kept so that nobody asks twice.

A file per op table, ``TABLE.jsonl``, a line of JSON per part, sorted, so that a repository can keep it:

    {"maker": "...", "ops": ["Conv"], "outcomes": [...], "precision": "w8a8", "structure": "...", "tool": ""}

``maker`` is a digest of the toolchain's packages and of the code here that drives them: after a change of
either, parts are asked anew. A file may come from strangers: it is bounded, and a line that is no outcome is
an error that names it. Whoever may write it decides what passes, as with a waiver.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, final, get_args

from mosaic_deploy.backends.oracle.outcome import CaseOutcome, Found
from mosaic_deploy.errors import UsageError
from mosaic_deploy.files import write_whole
from mosaic_deploy.specs.precision import Precision

FILE_BYTES = 64 << 20
"""Largest file that is read."""
_TEXT = 400
_HEX = frozenset("0123456789abcdef")

Key = tuple[str, Precision, str]
"""Maker, precision, structure."""
_Line = tuple[str, tuple[str, ...], tuple[CaseOutcome, ...]]
"""Tool, operators, outcomes."""


@final
class Evidence:
    """The outcomes of one op table's compiler."""

    def __init__(self, folder: Path, table: str) -> None:
        """Read what is there; raises ``UsageError`` for a file that cannot be read, or a bad line."""
        self.path = folder / f"{table}.jsonl"
        self._held: dict[Key, _Line] = _read(self.path)
        self._new: dict[Key, _Line] = {}

    def find(self, key: Key) -> tuple[CaseOutcome, ...] | None:
        """What is known of a part, per device."""
        found = self._new.get(key) or self._held.get(key)
        return found[2] if found else None

    def add(self, key: Key, *, tool: str, ops: Sequence[str], outcomes: Sequence[CaseOutcome]) -> None:
        """Remember what came of a part; ``write`` keeps it."""
        told = tuple(
            CaseOutcome("", o.device, o.found, o.error[:_TEXT], _rounded(o.difference)) for o in outcomes
        )
        self._new[key] = (tool, tuple(ops), told)

    def write(self) -> None:
        """Write what is new beside what the file holds by now; raises ``UsageError`` where that fails."""
        if not self._new:
            return
        whole = {**_read(self.path), **self._new}
        lines = sorted(_line(key, held) for key, held in whole.items())
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.path, "".join(f"{line}\n" for line in lines))
        except OSError as err:
            raise UsageError(f"{self.path}: evidence cannot be written ({err.strerror})") from err
        self._held, self._new = whole, {}


def _rounded(difference: float | None) -> float | None:
    return None if difference is None else float(f"{difference:.3g}")


def _line(key: Key, held: _Line) -> str:
    maker, precision, structure = key
    tool, ops, outcomes = held
    told = [{k: v for k, v in asdict(o).items() if k != "case"} for o in outcomes]
    record = {
        "structure": structure, "precision": precision, "maker": maker, "tool": tool, "ops": ops,
        "outcomes": told,
    }  # fmt: skip
    return json.dumps(record, sort_keys=True, allow_nan=False)


def _read(path: Path) -> dict[Key, _Line]:
    try:
        if not path.exists():
            return {}
        if path.stat().st_size > FILE_BYTES:
            raise UsageError(f"{path}: evidence of more than {FILE_BYTES >> 20} MiB: remove old lines")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as err:
        raise UsageError(f"{path}: cannot be read as evidence ({err})") from err
    held = {}
    for number, line in enumerate(text.splitlines(), 1):
        try:
            key, value = _parsed(json.loads(line))
        except (ValueError, KeyError, TypeError, RecursionError) as err:
            raise UsageError(f"{path}: line {number} is no outcome: remove it") from err
        held[key] = value
    return held


def _parsed(record: Any) -> tuple[Key, _Line]:
    """Check a line, field by field; raises ``ValueError``, ``KeyError`` or ``TypeError``."""
    structure, maker, precision = record["structure"], record["maker"], record["precision"]
    good = all(isinstance(text, str) and len(text) == 64 and set(text) <= _HEX for text in (structure, maker))
    if not good or precision not in get_args(Precision):
        raise ValueError
    outcomes = tuple(_outcome(one) for one in record["outcomes"])
    if not outcomes:
        raise ValueError
    return (maker, precision, structure), (_text(record["tool"]), tuple(map(_text, record["ops"])), outcomes)


def _outcome(record: Any) -> CaseOutcome:
    found, difference = record["found"], record["difference"]
    if found not in get_args(Found) or not (difference is None or isinstance(difference, int | float)):
        raise ValueError
    return CaseOutcome("", _text(record["device"]), found, _text(record["error"]), difference)


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _TEXT:
        raise ValueError
    return value
