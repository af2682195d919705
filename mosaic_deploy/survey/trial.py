"""What became of one network on one target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

CONVERSION, UNTRAINED_CONVERSION = 0.9999, 0.999
"""A float conversion that keeps the class of fewer pixels changed the network: see ``build.report``."""
FLOAT16 = 0.01
"""How far the accelerator's agreement may lie below that of emulated float16, which costs what it costs."""
LOSS = 0.1
"""How far int8 agreement may lie below that of ONNX Runtime's QDQ of the same network."""
AFTER_LOSSY = "supported after lossy fixes"
CLEARED = ("supported", "supported after fixes", AFTER_LOSSY)


@dataclass(frozen=True, slots=True)
class Terms:
    """How trials are held."""

    images: int = 2
    """To validate on."""
    calibration: int = 8
    """Images that ranges are calibrated on."""
    archs: str = "75"
    """Hexagon architectures to compile for."""
    budget_s: float = 60.0
    """Seconds that asking a compiler may take."""
    limit_s: float = 900.0
    """Seconds that a trial may take in all; ten times that for a giant."""
    check_only: bool = False
    asks: bool = True
    """Whether compilers are asked about unknown nodes."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A network on a target; None stands for what was not measured."""

    network: str
    target: str
    key: str
    """Digest of all that it depends on."""
    verdict: str
    """Check's headline: ``supported``, ``supported after fixes``, ``unsupported``, ``undecided``; ``supported
    after lossy fixes`` where ``--fix lossy`` cures all that it refuses; ``error`` where there is none."""
    nodes: int | None = None
    parameters: int | None = None
    macs: int | None = None
    unknown: int | None = None
    """Nodes that the tables know nothing of."""
    unknown_asked: int | None = None
    """Those left after the compiler was asked."""
    check_cpu_s: float | None = None
    ask_s: float | None = None
    refused: tuple[str, ...] = ()
    """``OPERATOR: words (xN)``, the commonest first."""
    reproducers: tuple[str, ...] = ()
    """Files below the survey's folder: the smallest parts that a compiler refuses."""
    fixes: tuple[str, ...] = ()
    built: bool | None = None
    """Whether there is a network that ran; whether it is right is said by the figures below."""
    conversion: float | None = None
    """Share of the pixels that keep their class in the runtime's own format, in float."""
    agreement: float | None = None
    """Share of the pixels on which what was built gives the float network's class."""
    emulated: float | None = None
    """The same of float16 emulated on the CPU, where the backend has such a run."""
    reference_miou: float | None = None
    device_miou: float | None = None
    """Where the network is trained and measured on its own data; in [0, 1]."""
    data: str = ""
    """``N of DATASET``: what that was measured on."""
    untrained: bool = False
    degenerate: str = ""
    """``constant`` or ``ties``: why keeping the float network's classes means nothing."""
    precision: str = ""
    fallback_macs: float | None = None
    fallback_time: float | None = None
    size_bytes: int | None = None
    """Of the files that a device loads."""
    time_ms: float | None = None
    """Median, where the runtime here is that of the hardware."""
    busy: bool = False
    """Whether other programs wanted the cores meanwhile, so that the time is not to be trusted."""
    float_ms: float | None = None
    """The float network's on ONNX Runtime, beside it."""
    build_s: float | None = None
    build_cpu_s: float | None = None
    late: str = ""
    """What was going on when the time limit came."""
    limit_s: float = 0.0
    error: str = ""

    @property
    def cleared(self) -> bool:
        """Whether check let it pass."""
        return self.verdict in CLEARED

    def wrong(self, peer: float | None) -> str:
        """Say what is wrong with the numbers of what was built, or ''.

        ``peer`` is the agreement of ONNX Runtime's QDQ of the same network, None where it is not known.
        """
        if not self.built or self.degenerate:
            return ""
        limit = UNTRAINED_CONVERSION if self.untrained else CONVERSION
        if self.conversion is not None and self.conversion < limit:
            return f"conversion keeps {self.conversion:.2%}"
        if self.agreement is None:
            return "no agreement was measured"
        if "16" in self.precision and "8" not in self.precision:
            close = self.emulated is None or self.agreement >= self.emulated - FLOAT16
            return "" if close else f"agreement {self.agreement:.2%}, emulated float16 {self.emulated:.2%}"
        if peer is not None and self.agreement < peer - LOSS:
            return f"agreement {self.agreement:.2%}, ONNX Runtime's QDQ {peer:.2%}"
        return ""

    def to_json(self) -> dict[str, Any]:
        """The record as it is kept."""
        return asdict(self)


def from_json(record: Mapping[str, Any]) -> Trial:
    """Read a kept record; raises ``TypeError`` for one of another version of this file."""
    values = dict(record)
    for name in ("refused", "fixes", "reproducers"):
        values[name] = tuple(values.get(name, ()))
    return Trial(**values)
