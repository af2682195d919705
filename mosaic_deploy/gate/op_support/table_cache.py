"""Op tables kept as JSON that was checked once, so that ``check`` parses no TOML.

An entry lies in ``$XDG_CACHE_HOME/mosaic-deploy/op-tables`` under a digest of the table's text, the version
and the sources that read it; its first line is the digest of the rest. Whatever is wrong with an entry or
its folder, there is no entry.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from mosaic_deploy._version import __version__
from mosaic_deploy.files import write_whole
from mosaic_deploy.gate.op_support.tables import OpTable

_KEPT = 4
"""Entries of one table that stay: as many checkouts can be used in turn."""


def find(name: str, text: str) -> OpTable | None:
    """The table of that name whose file has this text, or None."""
    folder = _folder()
    if folder is None:
        return None
    try:
        digest, _, payload = (folder / _entry(name, text)).read_bytes().partition(b"\n")
    except OSError:
        return None
    return _read(payload) if digest == hashlib.sha256(payload).hexdigest().encode() else None


def keep(table: OpTable, text: str) -> None:
    """Write the entry of a table, made of this text, and remove the oldest of its others."""
    folder = _folder()
    payload = table.model_dump_json(by_alias=True, exclude_defaults=True).encode()
    if folder is None or _read(payload) != table:  # JSON has no infinity
        return
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        digest = hashlib.sha256(payload).hexdigest().encode()
        write_whole(folder / _entry(table.name, text), digest + b"\n" + payload)
        entries = sorted(folder.glob(f"{table.name}@*.json"), key=lambda entry: entry.stat().st_mtime_ns)
        for entry in entries[:-_KEPT]:
            entry.unlink()


def _read(payload: bytes) -> OpTable | None:
    try:
        return OpTable.model_validate_json(payload)
    except ValidationError:
        return None


def _folder() -> Path | None:
    stated = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if stated.is_absolute():  # a relative one is to be ignored, says the specification
        return stated / "mosaic-deploy" / "op-tables"
    with contextlib.suppress(RuntimeError):  # nobody's home
        return Path.home() / ".cache" / "mosaic-deploy" / "op-tables"
    return None


def _entry(name: str, text: str) -> str:
    digest = hashlib.sha256(f"{__version__}\n".encode())
    for line in _sources():
        digest.update(line.encode())
    digest.update(text.encode())
    return f"{name}@{digest.hexdigest()}.json"


def _sources() -> Iterator[str]:
    """Size and time of the modules that decide what a text means, for those who change them."""
    room = os.path.dirname(__file__)  # noqa: PTH120  # pathlib takes four times as long for so many
    for folder in (room, f"{room}/constraints"):
        with os.scandir(folder) as entries:
            found = sorted((entry.name, entry.stat()) for entry in entries if entry.name.endswith(".py"))
        for name, facts in found:
            yield f"{name} {facts.st_size} {facts.st_mtime_ns}\n"
