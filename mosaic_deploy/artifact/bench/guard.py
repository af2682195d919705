"""Integers that do not pay: slower than their float network, or mostly Resize and ArgMax; and the way out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mosaic_deploy.artifact.bench.report import Row
from mosaic_deploy.artifact.open import Artifact

_ENDS = ("Resize", "ArgMax")
"""Operators that make a class map, or scores at full size, of a network's scores."""
_MOST = 0.5
"""Share of the time from which on they dominate."""
_FULL_SIZE = ("logits", "classmap")


def remarks(rows: Sequence[Row], artifacts: Sequence[Artifact]) -> tuple[tuple[str, ...], ...]:
    """Say of each artifact, in its turn, what is wrong with its time and what to do; mostly nothing.

    Args:
        rows: the figures.
        artifacts: what they are of, in the same order.
    """
    return tuple(
        (*_slower(row, artifact), *_simulated_ends(row, artifact), *_ends(row, artifact, rows, artifacts))
        for row, artifact in zip(rows, artifacts, strict=True)
    )


def _slower(row: Row, artifact: Artifact) -> Iterable[str]:
    """Integers that the whole interval says are slower than floats."""
    found = row.to_float
    if found is None or not _integers(artifact) or (found.interval or (found.value,))[0] <= 1:
        return
    yield (
        f"{row.timed.name}: slower than its float network on ONNX Runtime, x{found}: {_blame(artifact)}; "
        "build another recipe (auto, fp16, fp32) where that is faster"
    )


def _blame(artifact: Artifact) -> str:
    """What of it computes elsewhere than in the runtime's fast integer kernels, as the build found."""
    fallback = artifact.built.facts.get("fallback")
    if not isinstance(fallback, Mapping) or not fallback.get("operators"):
        return "all of it runs in the runtime's own kernels, which are slow for it here"
    operators = ", ".join(fallback["operators"])
    share = fallback.get("time_share")
    time = "" if share is None else f", {share:.0%} of the time"
    return f"{operators} have no fast integer kernel{time}"


def _simulated_ends(row: Row, artifact: Artifact) -> Iterable[str]:
    """Resize and ArgMax by a simulator's cycles."""
    entry = artifact.float_onnx
    if not row.timed.hot_spots or entry is None:
        return
    kinds = _operators(artifact.path(entry))
    share = sum(part for node, part in row.timed.hot_spots if kinds.get(node) in _ENDS)
    if share > _MOST:
        yield f"{row.timed.name}: {_dominate(share, 'the simulated cycles')}"


def _ends(row: Row, artifact: Artifact, rows: Sequence[Row], artifacts: Sequence[Artifact]) -> Iterable[str]:
    """The same by time, where the network without them was timed in the same turns."""
    if row.output not in _FULL_SIZE or row.timed.latencies is None:
        return
    same = (artifact.model, artifact.target, artifact.recipe)
    for other, its in zip(rows, artifacts, strict=True):
        alike = (its.model, its.target, its.recipe) == same and other.output == "lowres"
        if alike and other.timed.latencies is not None:
            share = 1 - other.timed.latencies.median_s / row.timed.latencies.median_s
            if share > _MOST:
                yield f"{row.timed.name}: {_dominate(share, f'the time, beside {other.timed.name}')}"


def _dominate(share: float, what: str) -> str:
    return (
        f"Resize and ArgMax take {share:.0%} of {what}: build with --output lowres, and make the class map "
        "in the app, where most cells need no scores"
    )


def _integers(artifact: Artifact) -> bool:
    facts = artifact.built.facts
    return any("int8" in str(facts.get(key, "")) for key in ("precision", "arithmetic"))


def _operators(path: Path) -> dict[str, str]:
    """Name of each node of the float graph -> its operator."""
    import onnx

    return {node.name: node.op_type for node in onnx.load(path, load_external_data=False).graph.node}
