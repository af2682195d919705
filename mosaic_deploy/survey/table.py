"""A survey's table in Markdown, and what it comes to per target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mosaic_deploy.survey.session import PEER
from mosaic_deploy.survey.trial import Trial

_HEAD = (
    "network", "target", "verdict", "unknown", "asked", "fixes", "built", "float parity", "int8 agreement",
    "mIoU", "emulated float16", "QDQ on CPU", "fallback MACs", "time", "params M", "GMACs", "MiB", "ms",
    "float ms", "check CPU s", "build s", "note",
)  # fmt: skip
LEGEND = (
    "`int8 agreement` is the share of pixels that keep the float network's class. A `*` behind it: the "
    "weights are untrained, so it says how integers treat random numbers. `constant` or `ties`: the float "
    "network gives one class, or scores alike, so keeping its classes would mean nothing. `ms` is measured "
    "where the runtime here is the hardware's own, `(busy)` where others wanted the cores; `float ms` "
    "is ONNX Runtime beside it."
)


def peers(trials: Sequence[Trial]) -> dict[str, float]:
    """Network -> agreement of ONNX Runtime's QDQ with the float network."""
    return {t.network: t.agreement for t in trials if t.target == PEER and t.agreement is not None}


def failures(trials: Sequence[Trial]) -> list[str]:
    """A line for each that was cleared and then not built, or is wrong, or came to no verdict."""
    qdq = peers(trials)
    lines = []
    for trial in trials:
        where = f"{trial.network} on {trial.target}"
        if trial.late:
            lines.append(f"{where}: {trial.error}")
        elif trial.cleared and trial.built is False:
            lines.append(f"{where}: cleared but not built: {trial.error}")
        elif trial.cleared and (why := trial.wrong(qdq.get(trial.network))):
            lines.append(f"{where}: cleared but wrong: {why}")
        elif trial.verdict == "error":
            lines.append(f"{where}: no verdict: {trial.error}")
        elif trial.cleared and trial.error and trial.built is not True:
            lines.append(f"{where}: cleared, then: {trial.error}")
    return lines


def markdown(trials: Sequence[Trial]) -> str:
    """One row per network and target, then the summary and the seconds of check."""
    qdq = peers(trials)
    rows = [row(_HEAD), row(["---"] * len(_HEAD))]
    rows += [row(_cells(trial, qdq.get(trial.network))) for trial in trials]
    return "\n".join([*rows, "", LEGEND, "", *summary(trials), "", *_seconds(trials), ""])


def _cells(trial: Trial, peer: float | None) -> list[str]:
    return [
        trial.network,
        trial.target,
        trial.verdict,
        _count(trial.unknown),
        _count(trial.unknown_asked),
        ", ".join(trial.fixes) or "-",
        state(trial, peer),
        kept(trial, trial.conversion, digits=3),
        kept(trial, trial.agreement),
        miou(trial),
        share(trial.emulated),
        share(peer),
        share(trial.fallback_macs),
        share(trial.fallback_time),
        _scaled(trial.parameters, 1e6, 2),
        _scaled(trial.macs, 1e9, 2),
        _scaled(trial.size_bytes, 2**20, 2),
        milliseconds(trial),
        _scaled(trial.float_ms, 1, 1),
        _scaled(trial.check_cpu_s, 1, 1),
        _scaled(trial.build_s, 1, 1),
        why(trial, peer),
    ]


def state(trial: Trial, peer: float | None) -> str:
    """Whether there is a network, in a word."""
    if trial.late:
        return "time limit"
    wrong = trial.wrong(peer)
    return {None: "-", True: "wrong" if wrong else "yes", False: "no"}[trial.built]


def why(trial: Trial, peer: float | None) -> str:
    """What is wrong, what failed or what was refused, and the files that show it."""
    refused = "; ".join(trial.refused[:2]) if trial.verdict == "unsupported" else ""
    note = (trial.wrong(peer) or trial.error or refused)[:160]
    shown = f" [{', '.join(trial.reproducers[:2])}]" if trial.reproducers else ""
    return f"{note}{shown}".replace("|", "\\|") or "-"


def kept(trial: Trial, value: float | None, digits: int = 1) -> str:
    """A share of kept classes, or the word that says why it means nothing."""
    if value is None:
        return "-"
    if trial.degenerate:
        return f"- ({trial.degenerate})"
    return f"{value:.{digits}%}{' *' if trial.untrained and digits == 1 else ''}"


def milliseconds(trial: Trial) -> str:
    """The median, and whether others disturbed it."""
    return "-" if trial.time_ms is None else f"{trial.time_ms:.1f}{' (busy)' if trial.busy else ''}"


def miou(trial: Trial) -> str:
    """Of the float network and of what was built, and on how many images."""
    if trial.reference_miou is None or trial.device_miou is None:
        return "-"
    images = f" ({trial.data})" if trial.data else ""
    return f"{trial.reference_miou:.4f} to {trial.device_miou:.4f}{images}"


def summary(trials: Sequence[Trial]) -> list[str]:
    """A row per target."""
    qdq = peers(trials)
    head = (
        "target", "networks", "cleared", "refused", "undecided", "no verdict", "cleared but not built",
        "cleared but wrong", "time limit", "unknown", "unknown after asking", "check CPU s, most", "build s",
    )  # fmt: skip
    rows = [row(head), row(["---"] * len(head))]
    for target in dict.fromkeys(trial.target for trial in trials):
        own = [trial for trial in trials if trial.target == target]
        nodes = sum(trial.nodes or 0 for trial in own)
        counts = (
            len(own),
            sum(t.cleared for t in own),
            sum(t.verdict == "unsupported" for t in own),
            sum(t.verdict == "undecided" for t in own),
            sum(t.verdict not in ("unsupported", "undecided") and not t.cleared for t in own),
            sum(t.cleared and t.built is False and not t.late for t in own),
            sum(bool(t.cleared and t.wrong(qdq.get(t.network))) for t in own),
            sum(bool(t.late) for t in own),
        )
        cells = [
            target,
            *(str(count) for count in counts),
            _part([t.unknown for t in own], nodes),
            _part([t.unknown_asked for t in own], nodes),
            _scaled(max((t.check_cpu_s or 0 for t in own), default=None), 1, 1),
            _scaled(sum(t.build_s or 0 for t in own), 1, 1),
        ]
        rows.append(row(cells))
    return rows


def _seconds(trials: Sequence[Trial]) -> list[str]:
    targets = list(dict.fromkeys(trial.target for trial in trials))
    rows = [row(["check, CPU s", *targets]), row(["---"] * (len(targets) + 1))]
    by_network: dict[str, dict[str, float | None]] = {}
    for trial in trials:
        by_network.setdefault(trial.network, {})[trial.target] = trial.check_cpu_s
    for network, seconds in by_network.items():
        rows.append(row([network, *(_scaled(seconds.get(target), 1, 1) for target in targets)]))
    return rows


def _part(counts: Sequence[int | None], nodes: int) -> str:
    known = [count for count in counts if count is not None]
    return f"{sum(known)} of {nodes}, {sum(known) / nodes:.1%}" if known and nodes else "-"


def row(cells: Sequence[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def _count(value: int | None) -> str:
    return "-" if value is None else str(value)


def share(value: float | None, digits: int = 1) -> str:
    """A share in percent."""
    return "-" if value is None else f"{value:.{digits}%}"


def _scaled(value: float | None, unit: float, digits: int) -> str:
    return "-" if value is None else f"{value / unit:.{digits}f}"


def summary_json(trials: Sequence[Trial]) -> Mapping[str, object]:
    """All records and the failures, for a machine."""
    return {"schema": 1, "failures": failures(trials), "trials": [trial.to_json() for trial in trials]}


def matrix(trials: Sequence[Trial]) -> str:
    """A row per network, a column per target: agreement and time, or the word for what happened."""
    lines = _matrix(trials)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def matrix_rows(trials: Sequence[Trial]) -> list[str]:
    """The same as rows of Markdown."""
    head, *rest = _matrix(trials)
    return [row(head), row(["---"] * len(head)), *(row(line) for line in rest)]


def _matrix(trials: Sequence[Trial]) -> list[list[str]]:
    qdq = peers(trials)
    targets = list(dict.fromkeys(trial.target for trial in trials))
    cells = {(t.network, t.target): _short(t, qdq.get(t.network)) for t in trials}
    names = dict.fromkeys(trial.network for trial in trials)
    return [
        ["network", *targets],
        *([name, *(cells.get((name, t), "not tried") for t in targets)] for name in names),
    ]


def _short(trial: Trial, peer: float | None) -> str:
    if trial.late:
        return "time limit"
    if trial.verdict == "unsupported":
        return "refused"
    if trial.verdict == "error":
        return "no verdict"
    if not trial.built:
        return trial.verdict if trial.built is None else "not built"
    good = "wrong" if trial.wrong(peer) else kept(trial, trial.agreement)
    return good if trial.time_ms is None else f"{good}, {milliseconds(trial)} ms"
