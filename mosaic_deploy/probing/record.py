"""Outcomes kept in a file, one line of JSON per case, so that a long probe can be stopped and resumed.

    {"table": "qnn-htp", "version": "2.7.0 (QNN 2.51)"}
    {"case": "Relu/plain v14 float32 rank 4 float", "model": 3405691582, "outcomes": [...]}

``model`` is a checksum of the case's model and data: a case whose form was changed since is tried anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Self, final
from zlib import crc32

import numpy as np

from mosaic_deploy.backends.oracle.case import Case
from mosaic_deploy.backends.oracle.outcome import CaseOutcome
from mosaic_deploy.errors import UsageError


@final
class Record:
    """A file of outcomes, open for more; use it as a context."""

    def __init__(self, path: Path, *, table: str, version: str) -> None:
        """Read what is there, and drop half a last line; begin the file if there is none.

        Raises ``UsageError`` for a file that cannot be read or written, that is no record, or that is one of
        another table or version of the tool.
        """
        self._path = path
        self._held: dict[str, tuple[int, tuple[CaseOutcome, ...]]] = {}
        try:
            whole = _whole(path)
            if whole:
                self._read(whole, table, version)
            self._file = open(path, "ab")  # noqa: SIM115  # closed by __exit__
            if not whole:
                self._append({"table": table, "version": version})
        except OSError as err:
            raise UsageError(f"{path}: cannot be used as a record ({err.strerror})") from err

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def known(self) -> Mapping[str, tuple[CaseOutcome, ...]]:
        """Outcomes by the case's name."""
        return {name: outcomes for name, (_, outcomes) in self._held.items()}

    def current(self, cases: Iterable[Case], known: dict[str, tuple[CaseOutcome, ...]]) -> Iterator[Case]:
        """Pass cases on; what is known of one that has changed since is taken out of ``known`` before."""
        for case in cases:
            if case.name in self._held and self._held[case.name][0] != checksum(case):
                known.pop(case.name, None)
            yield case

    def add(self, case: Case, outcomes: Sequence[CaseOutcome]) -> None:
        """Append what came of a case, beside what is known of it on other devices, if any of it is new."""
        number = checksum(case)
        before, held = self._held.get(case.name, (number, ()))
        kept = {outcome.device: outcome for outcome in (*(held if before == number else ()), *outcomes)}
        entry = (number, tuple(kept.values()))
        if self._held.get(case.name) != entry:
            self._held[case.name] = entry
            said = [asdict(outcome) for outcome in entry[1]]
            self._append({"case": case.name, "model": number, "outcomes": said})

    def _append(self, line: Mapping[str, object]) -> None:
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()

    def _read(self, whole: bytes, table: str, version: str) -> None:
        head, *lines = whole.splitlines()
        try:
            first = json.loads(head)
            of = (str(first["table"]), str(first["version"]))
        except (ValueError, KeyError, TypeError) as err:
            raise UsageError(f"{self._path}: is not a probe's record: name another file") from err
        if of != (table, version):
            raise UsageError(
                f"{self._path}: is a record of {of[0]} by {of[1]}, and this is {table} by {version}: "
                "name another file"
            )
        for number, line in enumerate(lines, 2):
            try:
                entry = json.loads(line)
                outcomes = tuple(CaseOutcome(**outcome) for outcome in entry["outcomes"])
                self._held[entry["case"]] = (int(entry["model"]), outcomes)
            except (ValueError, KeyError, TypeError) as err:
                raise UsageError(f"{self._path}: line {number} is not a result: remove it") from err


def checksum(case: Case) -> int:
    """A number that changes when the case's model or data does."""
    total = crc32(case.model.SerializeToString(deterministic=True))
    for name in sorted(case.feeds):
        array = np.ascontiguousarray(case.feeds[name])
        total = crc32(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes(), total)
    return total


def _whole(path: Path) -> bytes:
    """The file's whole lines; what follows the last is cut off, as it was being written when all ended."""
    if not path.exists():
        return b""
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        if not whole and not data.startswith(b"{"):
            raise UsageError(f"{path}: is not a probe's record: name another file")
        with open(path, "r+b") as file:
            file.truncate(len(whole))
    return whole
