"""The field table in Markdown, and what it comes to per target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.field.trial import Trial

PEER = "ort-mobile"
"""The target that runs the QDQ graph on ONNX Runtime: what int8 agreement elsewhere is compared with."""
_HEAD = (
    "network", "target", "verdict", "unknown", "asked", "fixes", "built", "float parity", "int8 agreement",
    "emulated float16", "QDQ on CPU", "fallback MACs", "time", "check CPU s", "build s", "note",
)  # fmt: skip


def peers(trials: Sequence[Trial]) -> dict[str, float]:
    """Network -> agreement of ONNX Runtime's QDQ with the float network."""
    return {t.network: t.agreement for t in trials if t.target == PEER and t.agreement is not None}


def failures(trials: Sequence[Trial]) -> list[str]:
    """A line for each that was cleared and then not built, or is wrong, or came to no verdict."""
    qdq = peers(trials)
    lines = []
    for trial in trials:
        if trial.cleared and trial.built is False:
            lines.append(f"{trial.network} on {trial.target}: cleared but not built: {trial.error}")
        elif trial.cleared and (why := trial.wrong(qdq.get(trial.network))):
            lines.append(f"{trial.network} on {trial.target}: cleared but wrong: {why}")
        elif trial.verdict == "error":
            lines.append(f"{trial.network} on {trial.target}: no verdict: {trial.error}")
        elif trial.cleared and trial.error:
            lines.append(f"{trial.network} on {trial.target}: cleared, then: {trial.error}")
    return lines


def markdown(trials: Sequence[Trial]) -> str:
    """One row per network and target, then the summary and the seconds of check."""
    qdq = peers(trials)
    rows = [_row(_HEAD), _row(["---"] * len(_HEAD))]
    rows += [_row(_cells(trial, qdq.get(trial.network))) for trial in trials]
    return "\n".join([*rows, "", *_summary(trials), "", *_seconds(trials), ""])


def _cells(trial: Trial, peer: float | None) -> list[str]:
    wrong = trial.wrong(peer)
    note = wrong or trial.error or ("; ".join(trial.refused[:2]) if trial.verdict == "unsupported" else "")
    built = {None: "-", True: "wrong" if wrong else "yes", False: "no"}[trial.built]
    return [
        trial.network,
        trial.target,
        trial.verdict,
        _count(trial.unknown),
        _count(trial.unknown_asked),
        ", ".join(trial.fixes) or "-",
        built,
        _share(trial.conversion, 3),
        _share(trial.agreement),
        _share(trial.emulated),
        _share(peer),
        _share(trial.fallback_macs),
        _share(trial.fallback_time),
        _seconds_of(trial.check_cpu_s),
        _seconds_of(trial.build_s),
        note[:160].replace("|", "\\|") or "-",
    ]


def _summary(trials: Sequence[Trial]) -> list[str]:
    qdq = peers(trials)
    head = (
        "target", "networks", "cleared", "refused", "undecided", "no verdict", "cleared but not built",
        "cleared but wrong", "unknown", "unknown after asking", "check CPU s, most", "build s",
    )  # fmt: skip
    rows = [_row(head), _row(["---"] * len(head))]
    for target in dict.fromkeys(trial.target for trial in trials):
        own = [trial for trial in trials if trial.target == target]
        nodes = sum(trial.nodes or 0 for trial in own)
        rows.append(
            _row(
                [
                    target,
                    str(len(own)),
                    str(sum(t.cleared for t in own)),
                    str(sum(t.verdict == "unsupported" for t in own)),
                    str(sum(t.verdict == "undecided" for t in own)),
                    str(sum(t.verdict not in ("unsupported", "undecided") and not t.cleared for t in own)),
                    str(sum(t.cleared and t.built is False for t in own)),
                    str(sum(bool(t.cleared and t.wrong(qdq.get(t.network))) for t in own)),
                    _part([t.unknown for t in own], nodes),
                    _part([t.unknown_asked for t in own], nodes),
                    _seconds_of(max((t.check_cpu_s or 0 for t in own), default=None)),
                    _seconds_of(sum(t.build_s or 0 for t in own)),
                ]
            )
        )
    return rows


def _seconds(trials: Sequence[Trial]) -> list[str]:
    targets = list(dict.fromkeys(trial.target for trial in trials))
    rows = [_row(["check, CPU s", *targets]), _row(["---"] * (len(targets) + 1))]
    by_network: dict[str, dict[str, float | None]] = {}
    for trial in trials:
        by_network.setdefault(trial.network, {})[trial.target] = trial.check_cpu_s
    for network, seconds in by_network.items():
        rows.append(_row([network, *(_seconds_of(seconds.get(target)) for target in targets)]))
    return rows


def _part(counts: Sequence[int | None], nodes: int) -> str:
    known = [count for count in counts if count is not None]
    return f"{sum(known)} of {nodes}, {sum(known) / nodes:.1%}" if known and nodes else "-"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _count(value: int | None) -> str:
    return "-" if value is None else str(value)


def _share(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}%}"


def _seconds_of(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def summary_json(trials: Sequence[Trial]) -> Mapping[str, object]:
    """All records and the failures, for a machine."""
    return {"schema": 1, "failures": failures(trials), "trials": [trial.to_json() for trial in trials]}
