"""What every case of a table came out as, kept beside the table in one small file.

    targets/ops/NAME.evidence.jsonl.xz
    {"schema": 1, "table": "qnn-htp", "version": "2.7.0 (QNN 2.51)", "errors": ["...", ...]}
    ["Relu/plain v14 float32 rank 4 float", 3405691582, [["v68", "runs", 0, 0.0]], ...]

A line is a case: its name, the checksum of its model and data, and for each device what was found, the number
of what the tool said, and the difference to the reference. Cases are drawn again from their names' forms, so
nothing else is kept. The same outcomes make the same bytes.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mosaic_deploy.backends.oracle.case import Case
from mosaic_deploy.backends.oracle.outcome import CaseOutcome
from mosaic_deploy.errors import SpecError, UsageError
from mosaic_deploy.files import disk_trouble, write_whole
from mosaic_deploy.gate.op_support.rules import judge
from mosaic_deploy.gate.op_support.tables import OpRule, OpTable
from mosaic_deploy.graph.facts import nodes
from mosaic_deploy.probing.record import checksum
from mosaic_deploy.specs.root import spec_root

SCHEMA = 1
SUFFIX = ".evidence.jsonl.xz"
_DIGITS = 2  # of a difference: what is within a tolerance is clear from those
_MOST_BYTES = 64 << 20  # of a file unpacked

Outcomes = tuple[CaseOutcome, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """The outcomes of a table's cases."""

    table: str
    version: str
    """Of the tool that gave them."""
    outcomes: Mapping[str, tuple[int, Outcomes]]
    """By the case's name: the checksum of what was tried, and what came of it."""

    def known(self, case: Case) -> Outcomes:
        """What came of a case; nothing where it was not tried, or was another then."""
        number, outcomes = self.outcomes.get(case.name, (0, ()))
        return outcomes if outcomes and number == checksum(case) else ()


def evidence_path(table: str) -> Path:
    """Where the evidence of one of the project's tables lies."""
    return spec_root() / "targets" / "ops" / f"{table}{SUFFIX}"


def read_evidence(path: Path) -> Evidence:
    """Read a file of evidence.

    Raises ``UsageError`` where there is none, and ``SpecError`` for a file that is none.
    """
    try:
        packed = path.read_bytes()
    except OSError as err:
        raise UsageError(
            f"{path}: cannot be read ({err.strerror}): probe with --verify --evidence {path.name} to make it"
        ) from err
    try:
        head, *lines = _unpacked(packed).splitlines()
        first = json.loads(head)
        if first["schema"] != SCHEMA:
            raise ValueError(f"schema {first['schema']}")
        errors: list[str] = first["errors"]
        found = {
            name: (int(number), _outcomes(name, said, errors))
            for name, number, said in map(json.loads, lines)
        }
        return Evidence(str(first["table"]), str(first["version"]), found)
    except (lzma.LZMAError, ValueError, KeyError, TypeError, IndexError) as err:
        raise SpecError(
            f"{path}: is no evidence of a table ({err}): take it from version control again"
        ) from err


def write_evidence(path: Path, evidence: Evidence) -> None:
    """Write a file of evidence; raises ``ToolError`` where that is impossible."""
    errors = sorted({outcome.error for _, outcomes in evidence.outcomes.values() for outcome in outcomes})
    place = {error: number for number, error in enumerate(errors)}
    head = {"schema": SCHEMA, "table": evidence.table, "version": evidence.version, "errors": errors}
    lines: list[object] = [head]
    for name, (number, outcomes) in sorted(evidence.outcomes.items()):
        said = [[o.device, o.found, place[o.error], _rounded(o.difference)] for o in outcomes]
        lines.append([name, number, said])
    text = "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines)
    with disk_trouble(path):
        write_whole(path, lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))


def with_new(
    before: Evidence | None, tried: Iterable[tuple[Case, Outcomes]], *, table: str, version: str
) -> Evidence:
    """Evidence with further outcomes; what another version of the tool gave is dropped."""
    same = before is not None and (before.table, before.version) == (table, version)
    kept = dict(before.outcomes) if before is not None and same else {}
    for case, outcomes in tried:
        kept[case.name] = (checksum(case), outcomes)
    return Evidence(table, version, kept)


def resting(rule: OpRule, cases: Sequence[Case], table: OpTable) -> tuple[Case, ...]:
    """The cases that a rule decides on its own, chains left out."""
    devices = (rule.evidence.devices or table.devices)[:1]
    found = []
    for case in cases:
        if case.sort == "chain" or rule.op not in ("*", case.op):
            continue
        integers = table.made_of(case.precision)
        if judge(nodes(case.model)[0], [rule], integers=integers, devices=devices).decided:
            found.append(case)
    return tuple(found)


def _unpacked(packed: bytes) -> bytes:
    text = lzma.LZMADecompressor().decompress(packed, max_length=_MOST_BYTES + 1)
    if len(text) > _MOST_BYTES:
        raise ValueError("too large")
    return text


def _outcomes(name: str, said: Sequence[Sequence[Any]], errors: Sequence[str]) -> Outcomes:
    return tuple(CaseOutcome(name, device, found, errors[at], off) for device, found, at, off in said)


def _rounded(difference: float | None) -> float | None:
    return None if difference is None else float(f"{difference:.{_DIGITS}g}")
