"""``mosaic-deploy zoo`` and ``field``: parse, call, render, exit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mosaic_deploy.cli.output import JsonFlag, NoInstall, say

if TYPE_CHECKING:
    from mosaic_deploy.survey.survey import Request

ZOO_EXAMPLES = ("zoo", "zoo mosaic lraspp_mnv3_large --targets cpu,dsp", "zoo --table --markdown")
FIELD_EXAMPLES = ("field", "field smp_unet timm_lcnet --targets dsp", "field --check-only")

Targets = Annotated[str, typer.Option(metavar="NAME,...|all", help="Targets, with commas, or 'all'.")]
Images = Annotated[
    int, typer.Option(min=1, help="Validation images; a network above 100 GMACs or a megapixel gets one.")
]
Calibration = Annotated[
    int, typer.Option(min=1, help="Calibration images; a network above 100 GMACs or a megapixel gets two.")
]
Jobs = Annotated[int, typer.Option(min=1, help="Networks tried at a time; timing is one at a time.")]
Limit = Annotated[
    float,
    typer.Option(
        min=1, metavar="SECONDS", help="Time limit of a network on a target; ten times that above 100 GMACs."
    ),
]
Budget = Annotated[
    float, typer.Option(min=0, metavar="SECONDS", help="Time that asking a compiler about nodes may take.")
]
Arch = Annotated[str, typer.Option(help="Hexagon architectures, such as 73,75.")]
CheckOnly = Annotated[bool, typer.Option("--check-only", help="Build nothing.")]
NoAsk = Annotated[bool, typer.Option("--no-ask", help="Ask no compiler about unknown nodes.")]
NoTime = Annotated[bool, typer.Option("--no-time", help="Time nothing.")]
Table = Annotated[bool, typer.Option("--table", help="Try nothing; show what is on record, of any version.")]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print the whole table, as Markdown.")]


def zoo(
    names: Annotated[
        list[str] | None, typer.Argument(help="Names or paths of model cards; default: all of the zoo.")
    ] = None,
    targets: Targets = "all",
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Directory of the records, logs and table.")
    ] = Path("survey/zoo"),
    images: Images = 2,
    calibration_images: Calibration = 8,
    jobs: Jobs = 2,
    limit: Limit = 300.0,
    budget: Budget = 20.0,
    arch: Arch = "75",
    check_only: CheckOnly = False,
    no_ask: NoAsk = False,
    no_time: NoTime = False,
    table: Table = False,
    markdown: Markdown = False,
    json_: JsonFlag = False,
    no_install: NoInstall = False,  # noqa: ARG001  # its callback does it
) -> None:
    """Try every network of the zoo on every target: verdict, build, parity, size and time; resumes."""
    from mosaic_deploy.survey.cards import card_subjects
    from mosaic_deploy.survey.survey import Request
    from mosaic_deploy.survey.trial import Terms

    terms = Terms(images, calibration_images, arch, budget, limit, check_only, not no_ask)
    request = Request(card_subjects(names or ()), targets, terms, out, jobs, not no_time, table)
    _show(request, markdown=markdown, as_json=json_)


def field(
    names: Annotated[
        list[str] | None, typer.Argument(help="Networks of the list; default: all of it.")
    ] = None,
    targets: Targets = "all",
    list_: Annotated[
        Path | None, typer.Option("--list", metavar="FILE", help="Another list of networks (.toml).")
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Directory of the records, logs and table.")
    ] = Path("survey/field"),
    images: Images = 2,
    calibration_images: Calibration = 8,
    jobs: Jobs = 2,
    limit: Limit = 900.0,
    budget: Budget = 60.0,
    arch: Arch = "75",
    check_only: CheckOnly = False,
    no_ask: NoAsk = False,
    no_time: NoTime = False,
    table: Table = False,
    markdown: Markdown = False,
    json_: JsonFlag = False,
    no_install: NoInstall = False,  # noqa: ARG001  # its callback does it
) -> None:
    """Try networks that nobody here wrote (torchvision, smp, timm) on every target; resumes."""
    from mosaic_deploy.survey.field.recipes import LIST
    from mosaic_deploy.survey.field.subjects import field_subjects
    from mosaic_deploy.survey.survey import Request
    from mosaic_deploy.survey.trial import Terms

    terms = Terms(images, calibration_images, arch, budget, limit, check_only, not no_ask)
    subjects = field_subjects(names or (), list_ or LIST)
    request = Request(subjects, targets, terms, out, jobs, not no_time, table)
    _show(request, markdown=markdown, as_json=json_)


def _show(request: Request, *, markdown: bool, as_json: bool) -> None:
    """Hold the survey, print it, and exit with 1 where something is not as it should be."""
    import json

    from mosaic_deploy.survey.survey import TABLE, hold_survey

    survey = hold_survey(request, say)
    if as_json:
        print(json.dumps(survey.to_json(), allow_nan=False))
    else:
        print(survey.markdown() if markdown else survey.matrix())
    for line in survey.failures:
        say(line)
    say(f"the whole table: {request.out / TABLE}")
    raise typer.Exit(int(bool(survey.failures)))
