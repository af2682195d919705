"""Pages made of a survey's records: the zoo beside what was published of it, and the field."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from mosaic_deploy.specs.model_card import ModelCard, Published
from mosaic_deploy.survey.table import (
    LEGEND,
    kept,
    matrix_rows,
    milliseconds,
    miou,
    peers,
    row,
    state,
    summary,
    why,
)
from mosaic_deploy.survey.trial import Trial

_MADE = "<!-- Written by docs/generate_models.py from a survey's records: do not edit. -->"


def models_page(cards: Sequence[ModelCard], trials: Sequence[Trial], *, plot: str = "") -> str:
    """The zoo: a table of networks, one of targets, and a part per network.

    Args:
        cards: of the networks, in the order of the page.
        trials: of the zoo's survey.
        plot: the picture's place, relative to the page; '' for none.
    """
    named = {trial.network for trial in trials}
    parts = [_MADE, "", "# Models", "", *_intro(), "", *_overview(cards, trials), ""]
    if plot:
        parts += [f"![mIoU against time, a colour per target]({plot})", ""]
    parts += ["## On the targets", "", *matrix_rows(trials), "", LEGEND, "", *_not_tried(cards, named)]
    parts += [*summary(trials), ""]
    for card in cards:
        if card.name in named:
            parts += _network(card, [trial for trial in trials if trial.network == card.name])
    return "\n".join(parts)


def field_page(trials: Sequence[Trial]) -> str:
    """Networks that nobody here wrote, on the targets."""
    rows = [row(_DETAIL), row(["---"] * len(_DETAIL))]
    qdq = peers(trials)
    rows += [row([t.network, *_detail(t, qdq.get(t.network))]) for t in trials]
    return "\n".join(
        [
            _MADE,
            "",
            "# Networks that nobody here wrote",
            "",
            "torchvision's, segmentation-models-pytorch's and timm's, with random weights, and MediaPipe's, "
            "trained, on every target through the command line: `mosaic-deploy field`. "
            "[How it is held](how-to/survey.md).",
            "",
            *matrix_rows(trials),
            "",
            LEGEND,
            "",
            *summary(trials),
            "",
            "## Every trial",
            "",
            *rows,
            "",
        ]
    )


def plot_miou(trials: Sequence[Trial], place: Path) -> bool:
    """Draw mIoU against time, a colour per target, for trained networks; whether there was one to draw.

    Times of a busy machine are not drawn: a plot cannot say so of a point.
    """
    shown = [
        (trial.network, trial.target, trial.time_ms, trial.device_miou)
        for trial in trials
        if trial.device_miou is not None and trial.time_ms is not None and not trial.busy
    ]
    if not shown:
        return False
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import FuncFormatter

    mpl.rcParams["svg.hashsalt"] = "mosaic-deploy"  # the same picture is the same file
    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    for target in dict.fromkeys(target for _, target, _, _ in shown):
        own = [(ms, height) for _, name, ms, height in shown if name == target]
        axes.scatter([ms for ms, _ in own], [height for _, height in own], label=target, s=28)
    for network, _, ms, height in shown:
        axes.annotate(network, (ms, height), fontsize=7, xytext=(3, 3), textcoords="offset points")
    axes.set_xscale("log")
    for kind in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        kind(FuncFormatter(lambda ms, _place: f"{ms:g}"))
    axes.margins(x=0.15)  # for the names
    axes.set_xlabel("median ms on this machine's CPU, 2 threads")
    axes.set_ylabel("mIoU of what was built, on the survey's images")
    axes.grid(alpha=0.3)
    axes.legend()
    place.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(place, format="svg", metadata={"Date": None})
    pyplot.close(figure)
    return True


def _not_tried(cards: Sequence[ModelCard], named: Collection[str]) -> list[str]:
    left = [card.name for card in cards if card.name not in named]
    return [f"Not tried yet: {', '.join(left)}.", ""] if left else []


def _intro() -> list[str]:
    return [
        "Every network of the zoo: what its authors published, and what `mosaic-deploy zoo` measured. "
        "[How that is done](how-to/survey.md). Parameters are those of the deployed graph, batch norms "
        "folded, and multiply-accumulates are for one image of the stated size."
    ]


def _overview(cards: Sequence[ModelCard], trials: Sequence[Trial]) -> list[str]:
    head = ("network", "image", "weights", "params M", "published", "GMACs", "published", "mIoU", "published")
    rows = [row(head), row(["---"] * len(head))]
    by_name = {trial.network: trial for trial in trials if trial.parameters}
    for card in cards:
        ours = by_name.get(card.name)
        theirs = card.published
        rows.append(
            row(
                [
                    f"[{card.name}](#{card.name})" if card.name in by_name else card.name,
                    f"{card.contract.height}x{card.contract.width}",
                    "untrained" if card.untrained else "trained",
                    _scaled(ours.parameters if ours else None, 1e6),
                    _scaled(next((p.parameters for p in theirs if p.parameters), None), 1e6),
                    _scaled(ours.macs if ours else None, 1e9),
                    _scaled(next((p.macs for p in theirs if p.macs), None), 1e9),
                    _trained(card),
                    "; ".join(f"{p.miou:.4f} {p.data}" for p in theirs if p.miou is not None) or "-",
                ]
            )
        )
    return rows


def _trained(card: ModelCard) -> str:
    if card.training is None or not card.training.miou:
        return "-"
    return "; ".join(f"{value:.4f} {data}" for data, value in card.training.miou.items())


_DETAIL = (
    "network",
    "target",
    "verdict",
    "fixes",
    "built",
    "float parity",
    "int8",
    "mIoU",
    "MiB",
    "ms",
    "note",
)


def _network(card: ModelCard, trials: Sequence[Trial]) -> list[str]:
    qdq = peers(trials)
    head = _DETAIL[1:]
    rows = [row(head), row(["---"] * len(head))]
    rows += [row(_detail(trial, qdq.get(trial.network))) for trial in trials]
    published = [f"- {_said(entry)}" for entry in card.published]
    return [
        f"## {card.name}",
        "",
        f"{card.summary}.",
        "",
        *published,
        *([""] if published else []),
        *rows,
        "",
    ]


def _said(entry: Published) -> str:
    figures = [
        f"mIoU {entry.miou:.4f}{f' on {entry.data}' if entry.data else ''}" if entry.miou is not None else "",
        f"{entry.parameters:,} parameters" if entry.parameters else "",
        f"{entry.macs:,} multiply-accumulates" if entry.macs else "",
        entry.note,
    ]
    return f"{entry.source}: {', '.join(text for text in figures if text)}"


def _detail(trial: Trial, peer: float | None) -> list[str]:
    return [
        trial.target,
        trial.verdict,
        ", ".join(trial.fixes) or "-",
        state(trial, peer),
        kept(trial, trial.conversion, digits=3),
        kept(trial, trial.agreement),
        miou(trial),
        _scaled(trial.size_bytes, 2**20),
        milliseconds(trial),
        why(trial, peer),
    ]


def _scaled(value: float | None, unit: float) -> str:
    return "-" if value is None else f"{value / unit:.2f}"
