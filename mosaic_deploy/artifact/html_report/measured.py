"""What other commands measured of an artifact after its build: files that the user names, of one schema.

``sensitivity --out`` states of which network it is, ``bench --json`` of which artifacts: each record goes to
those and to no other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mosaic_deploy.errors import UsageError

_BYTES = 1 << 26
_MOST = 100_000
Share = Annotated[float, Field(ge=0, le=1)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Part(BaseModel):
    """A part of a record; what the page does not show is left alone."""

    model_config = ConfigDict(frozen=True)


class TensorRecord(_Part):
    """What 8 bits of one tensor do."""

    name: str
    op: str
    flips: Share
    """Of the pixels that change their class."""
    lost: Share
    """The same, weighed by margins."""
    drop: Annotated[float, Field(ge=-1, le=1)] | None = None
    """Of mIoU; None without labels."""


class LiftRecord(_Part):
    """What the worst activations more finely would give."""

    lifted: Share
    conversions: int
    agreement: Share


class SensitivityRecord(_Part):
    """What ``sensitivity --out`` wrote."""

    network: Sha256
    """Of the float ONNX that was compiled."""
    target: str
    recipe: str
    data: str
    images: int
    lifts_to: str
    agreement: Share
    activations: Annotated[tuple[TensorRecord, ...], Field(max_length=_MOST)]
    weights: Annotated[tuple[TensorRecord, ...], Field(max_length=_MOST)] = ()
    lifts: tuple[LiftRecord, ...] = ()


class RatioRecord(_Part):
    """One time over another."""

    ratio: float
    interval: tuple[float, float] | None = None


class TimeRecord(_Part):
    """An artifact's row of ``bench --json``."""

    manifest_sha256: Sha256
    threads: int
    runs: int
    median_ms: float | None
    """None on a simulator."""
    p90_ms: float | None
    x_float: RatioRecord | None = None


class BenchRecord(_Part):
    """What ``bench --json`` printed."""

    cpu: str
    cores: int
    load: float
    """Processes that wanted a core before the first run."""
    artifacts: tuple[TimeRecord, ...]


def read_measured(path: Path) -> SensitivityRecord | BenchRecord:
    """Read a file of either kind; raises ``UsageError`` for another and for one that cannot be read."""
    try:
        with open(path, "rb") as file:
            text = file.read(_BYTES)
    except OSError as err:
        raise UsageError(f"{path}: cannot be read ({err.strerror})") from err
    for kind in (SensitivityRecord, BenchRecord):
        try:
            return kind.model_validate_json(text)
        except (ValidationError, RecursionError):
            continue
    raise UsageError(f"{path}: is not what this version's 'sensitivity --out' or 'bench --json' wrote")
