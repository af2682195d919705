"""How commands speak: results on stdout, talk and progress on stderr."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mosaic_deploy.cli.progress_bars import Bars
    from mosaic_deploy.workers.progress import StageProgress

DEBUG, QUIET = "MOSAIC_DEBUG", "MOSAIC_QUIET"
"""Environment variables of ``--verbose`` and ``--quiet``."""
_PIPE_WIDTH = 150
"""Columns where standard output is no terminal and COLUMNS is not set."""
_TAIL = 40
"""Lines of a failed tool's log that ``--verbose`` shows."""

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


def wants(variable: str) -> bool:
    """Whether ``--verbose`` or ``--quiet``, or its variable, was given."""
    return bool(os.environ.get(variable))


def say(text: str) -> None:
    """Tell a person something, unless they asked for quiet."""
    if not wants(QUIET):
        print(text, file=sys.stderr)


def cause(text: str, error: BaseException | None = None) -> None:
    """Show with ``--verbose`` where an error came from, and the end of the log that its text names."""
    if not wants(DEBUG):
        return
    if error is not None:
        traceback.print_exception(error, file=sys.stderr)
    _, named, path = text.partition("; log: ")
    log = Path(path.split()[0]) if named and path.strip() else None
    if log is not None and log.is_file():
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        plain = ("".join(c for c in line if c.isprintable() or c == "\t") for line in lines[-_TAIL:])
        print(f"the end of {log}:", *(f"  {line}" for line in plain), sep="\n", file=sys.stderr)


def show(as_json: bool, record: dict[str, object], view: Callable[[], object]) -> None:
    """Print a result: the record as one JSON object, or what ``view`` makes for a person."""
    if as_json:
        print(json.dumps(record, allow_nan=False))
        return
    from rich.console import Console

    stated = os.environ.get("COLUMNS", "").isdigit()
    Console(width=None if sys.stdout.isatty() or stated else _PIPE_WIDTH).print(view())


def bars(*, quiet: bool) -> Bars:
    """Progress bars, loaded when they are needed."""
    from mosaic_deploy.cli.progress_bars import Bars

    return Bars(quiet=quiet or wants(QUIET), **({"every_s": 1.0} if wants(DEBUG) else {}))


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
        raise UsageError(f"--out {output}: cannot be written ({err.strerror})") from err
