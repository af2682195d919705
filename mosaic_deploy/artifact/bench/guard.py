"""Is an integer network worth it? What makes it slow is said, with what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mosaic_deploy.artifact.bench.latency import Ratio

_MOST_OF_THE_TIME = 0.5
"""Share from which on operators dominate."""
_MUCH = 0.2
"""Share of the time from which on float kernels are named as a cause."""
_END = frozenset(
    {"Resize", "Interpolate", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "ArgMax", "TopK", "ARG_MAX"}
)
"""What enlarges scores and decides, as ONNX Runtime, OpenVINO (whose ArgMax is a TopK) and LiteRT call it."""
_SMALL = ("lowres", "lowmap")
"""Outputs that are not enlarged."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """What is known of a timed artifact."""

    precision: str
    """What its arithmetic really was: ``int8`` and the like."""
    output: str
    target: str
    beside: str
    """Name of the float network that it is compared with."""
    ratio: Ratio | None
    """Its time over that network's; None where nothing can be compared."""
    time_shares: Mapping[str, float] = field(default_factory=dict)
    """Kind of operator -> share of the time of a run, in [0, 1]; empty where the runtime does not tell."""
    fallback: Mapping[str, object] = field(default_factory=dict)
    """``Run.facts["fallback"]``: ``operators`` in other kernels, and their ``time_share``."""


def complaints(suspect: Suspect) -> tuple[str, ...]:
    """Say what is slow about an integer network, and the fix; nothing about a float one.

    It is called slower than its float network where the whole 95 % interval of the ratio lies above 1; so
    less than three rounds never do.
    """
    if not suspect.precision.startswith("int"):
        return ()
    found = []
    if _slower(suspect.ratio):
        found.append(
            f"slower than {suspect.beside}, {suspect.ratio} times its time{_cause(suspect)}: {_fix(suspect)}"
        )
    kinds, share = _ends(suspect)
    if share >= _MOST_OF_THE_TIME:
        take = "take" if len(kinds) > 1 else "takes"
        found.append(f"{' and '.join(kinds)} {take} {share:.0%} of the time: {_smaller(suspect)}")
    return tuple(found)


def _slower(ratio: Ratio | None) -> bool:
    return ratio is not None and ratio.interval is not None and ratio.interval[0] > 1


def _ends(suspect: Suspect) -> tuple[tuple[str, ...], float]:
    """What enlarges and decides, and its share of the time as far as the runtime tells."""
    if suspect.time_shares:
        ends = {kind: share for kind, share in suspect.time_shares.items() if kind in _END}
        return tuple(sorted(ends, key=lambda kind: (-ends[kind], kind))), sum(ends.values())
    operators, share = suspect.fallback.get("operators"), suspect.fallback.get("time_share")
    if isinstance(operators, Mapping) and isinstance(share, float) and _END.issuperset(operators):
        return tuple(operators), share
    return (), 0.0


def _cause(suspect: Suspect) -> str:
    operators, share = suspect.fallback.get("operators"), suspect.fallback.get("time_share")
    if not isinstance(operators, Mapping) or not operators or not isinstance(share, float) or share < _MUCH:
        return ""
    return f" ({', '.join(operators)} in other kernels, {share:.0%} of it)"


def _fix(suspect: Suspect) -> str:
    if _cause(suspect):
        return (
            f"let 'fix --target {suspect.target}' replace these operators, "
            "or ship the float network (--recipe fp32 or fp16)"
        )
    return (
        "time it on the device, and if it is slower there too, ship the float network (--recipe fp32 or fp16)"
    )


def _smaller(suspect: Suspect) -> str:
    if suspect.output in _SMALL:
        return "resizes inside the network dominate: train it with fewer, or ship it in float (--recipe fp32)"
    return "build it with --output lowres, and let the app enlarge the scores"


__all__ = ["Suspect", "complaints"]
