"""How commands speak: results on stdout, talk and progress on stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mosaic_deploy.cli.progress_bars import Bars
    from mosaic_deploy.workers.progress import StageProgress

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, nothing else.")]


def _forbid_installing(value: bool) -> bool:  # typer's callback
    if value:
        os.environ["MOSAIC_NO_INSTALL"] = "1"  # for this process and its children
    return value


NoInstall = Annotated[
    bool,
    typer.Option(
        "--no-install", callback=_forbid_installing, help="Fail where a toolchain would have to be installed."
    ),
]


FILE_PANEL = "An ONNX file that leaves it open"
InputShape = Annotated[
    str | None,
    typer.Option(
        metavar="N,C,H,W",
        rich_help_panel=FILE_PANEL,
        help="Size of the image where the file has dynamic dimensions, such as 1,3,512,512.",
    ),
]
OutputName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", rich_help_panel=FILE_PANEL, help="Output to deploy where the file has several."
    ),
]


def say(text: str) -> None:
    """Tell a person something."""
    print(text, file=sys.stderr)


def show(as_json: bool, record: dict[str, object], view: Callable[[], object]) -> None:
    """Print a result: the record as one JSON object, or what ``view`` makes for a person."""
    if as_json:
        print(json.dumps(record, allow_nan=False))
        return
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 150).print(view())


def bars(*, quiet: bool) -> Bars:
    """Progress bars, loaded when they are needed."""
    from mosaic_deploy.cli.progress_bars import Bars

    return Bars(quiet=quiet)


@contextmanager
def late_bars() -> Iterator[StageProgress]:
    """Progress bars whose library is loaded once there is something to show."""
    with ExitStack() as stack:
        shown: list[Bars] = []

        def tell(stage: str, share: float, note: str) -> None:
            if not shown:
                shown.append(stack.enter_context(bars(quiet=False)))
            shown[0](stage, share, note)

        yield tell


def give(text: str, output: Path | None) -> None:
    """Print, or write beside the file and move into its place."""
    from mosaic_deploy.errors import UsageError
    from mosaic_deploy.files import write_whole

    if output is None:
        if text:
            print(text)
        return
    try:
        write_whole(output, f"{text}\n" if text else "")
    except OSError as err:
        raise UsageError(f"--output {output}: cannot be written ({err.strerror})") from err
