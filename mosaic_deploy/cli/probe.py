"""``mosaic-deploy probe``: parse, call, render, exit. Heavy imports wait for their use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from mosaic_deploy.cli.output import JsonFlag, NoInstall, bars, give, say, show

if TYPE_CHECKING:
    from mosaic_deploy.probing.report import Use

EXAMPLES = (
    "probe dsp --random 100 --seed 1",
    "probe dsp --op Resize --verify",
    "probe dsp --replay",
    "probe dsp --model my_net.onnx --budget 600",
)


def probe(
    target: Annotated[str, typer.Argument(help="A target, such as dsp, or an op table, such as litert-gpu.")],
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="NET.onnx", help="Try this network's windows of one to four nodes instead of a test grid."
        ),
    ] = None,
    budget: Annotated[
        float | None, typer.Option(min=0, help="Seconds that --model may try windows; default: 600.")
    ] = None,
    op: Annotated[
        list[str] | None, typer.Option(help="Operator to probe, such as Resize; default: all.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Compilers run in parallel; default: one per core.")
    ] = None,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Run the table's own test grid again, and fail where results differ."),
    ] = False,
    replay: Annotated[
        bool,
        typer.Option("--replay", help="Check the table against its recorded results; nothing is compiled."),
    ] = False,
    rule: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Only the cases behind this rule; lists them with their results."),
    ] = None,
    random: Annotated[
        int | None,
        typer.Option(min=1, help="Run this many random cases instead; with --out, in addition."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the cases.")] = 0,
    record: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.jsonl", help="Keep results in this file; cases that are in it are not run again."
        ),
    ] = None,
    evidence: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Record the results in this .evidence.jsonl.xz file, for --replay; with --model: the folder"
            " of what compilers said before.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Write the new op table to this file instead of standard output."),
    ] = None,
    save: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Directory for reproducers of the cases that disagree.")
    ] = None,
    json_: JsonFlag = False,
    no_install: NoInstall = False,  # noqa: ARG001  # its callback does it
) -> None:
    """Run operators through a target's real compiler, to generate its op table or to verify it."""
    if model is not None or budget is not None:
        grid = bool(op or verify or replay or rule or random or seed or record or output)
        _network(model, target, budget, evidence, save, jobs, grid=grid, json_=json_)
    from mosaic_deploy.probing.run import ProbeRequest
    from mosaic_deploy.probing.run import probe as run

    request = ProbeRequest(
        target=target,
        use=_use(
            _Asked(verify=verify, replay=replay, rules=bool(rule), evidence=evidence is not None),
            random,
            output,
        ),
        ops=tuple(dict.fromkeys(op or ())),
        jobs=jobs,
        count=random or 0,
        seed=seed,
        record=record,
        rules=tuple(dict.fromkeys(rule or ())),
        evidence=evidence,
        save=save,
    )
    with bars(quiet=json_) as progress:
        report = run(request, lambda share, note: progress("probe", share, note))
    makes = bool(report.text)
    if makes and (output is not None or not json_):
        give(report.text.rstrip("\n"), output)
    if not makes or output is not None or json_:
        show(json_, report.to_json(), report.agreement.view)
    for line in report.explain():
        say(line)
    raise typer.Exit(report.exit_code)


def _network(
    model: Path | None,
    target: str,
    budget: float | None,
    evidence: Path | None,
    save: Path | None,
    jobs: int | None,
    *,
    grid: bool,
    json_: bool,
) -> NoReturn:
    """Probe a network; raises ``UsageError`` for options of the test grid beside it."""
    from mosaic_deploy.errors import UsageError
    from mosaic_deploy.probing.network import BUDGET_S, NetworkRequest, probe_network

    if model is None:
        raise UsageError("--budget needs --model: the test grid has none")
    if grid:
        raise UsageError(
            "--model takes --budget, --evidence, --save and --jobs: the rest is of the test grid"
        )
    request = NetworkRequest(model, target, BUDGET_S if budget is None else budget, evidence, save, jobs)
    with bars(quiet=json_) as progress:
        report = probe_network(request, lambda share, note: progress("probe", share, note))
    show(json_, report.to_json(), report.view)
    for line in report.explain():
        say(line)
    raise typer.Exit(report.exit_code)


@dataclass(frozen=True, slots=True)
class _Asked:
    """Options that are there or not."""

    verify: bool
    replay: bool
    rules: bool
    evidence: bool


def _use(asked: _Asked, random: int | None, output: Path | None) -> Use:
    """What the options ask for; raises ``UsageError`` for two things at once."""
    from mosaic_deploy.errors import UsageError

    named = "--replay" if asked.replay else "--verify"
    if asked.verify and asked.replay:
        raise UsageError(
            "--verify and --replay cannot be combined: one runs cases, the other reads their results"
        )
    if (asked.verify or asked.replay) and (random or output is not None):
        raise UsageError(f"{named} cannot be combined with --random or --out: it writes no table")
    if asked.rules and not (asked.verify or asked.replay):
        raise UsageError("--rule needs --verify or --replay")
    if asked.evidence and (asked.replay or random):
        raise UsageError(
            "--evidence records results of the test grid: it cannot be combined with --replay or --random"
        )
    if asked.verify or asked.replay:
        return "verify" if asked.verify else "replay"
    return "random" if random and output is None else "make"
