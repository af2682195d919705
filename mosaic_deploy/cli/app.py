"""The command line: parse, call, render, exit. Results go to stdout, talk to stderr."""

from __future__ import annotations

import atexit
import gc
import os
import re
import signal
import sys
from types import FrameType
from typing import NoReturn

import typer

from mosaic_deploy.cli import bench, build, check, doctor, models, probe, render_streets, run, targets

app = typer.Typer(
    name="mosaic-deploy",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Take a segmentation model to mobile hardware, and measure with the vendor's own compiler and "
    "runtime whether it still works there.\n\n"
    "Start with [bold]mosaic-deploy build --target dsp[/]. Exit codes: 0 good, 1 a check failed, "
    "2 bad usage or input, 3 a tool is missing or failed.",
)
_DEPLOY, _MODELS = "Deploy", "Models"

app.command(rich_help_panel=_DEPLOY)(build.build)
app.command(rich_help_panel=_DEPLOY)(check.check)
app.command(rich_help_panel=_DEPLOY)(run.run)
app.command(rich_help_panel=_DEPLOY)(bench.bench)
app.command(rich_help_panel=_DEPLOY)(doctor.doctor)
app.command(rich_help_panel=_DEPLOY)(targets.targets)
app.command(rich_help_panel=_DEPLOY)(probe.probe)
app.command("import-mlperf", rich_help_panel=_MODELS)(models.import_mlperf)
app.command(rich_help_panel=_MODELS)(models.train)
app.command("render-streets", rich_help_panel=_MODELS)(render_streets.render_streets)

_INTERRUPTED = 130
_SYNC = "uv sync --inexact --extra"
_STOPPED = "stopped; no partial files were left"


def main() -> NoReturn:
    """Run the command line; every failure is one line on stderr and an exit code of its own."""
    from mosaic_deploy.errors import MosaicError

    signal.signal(signal.SIGTERM, _terminate)
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # looking for some takes longer than a table
    gc.set_threshold(50_000)  # start-up makes many values and next to no cycles
    atexit.register(gc.freeze)  # so that the interpreter does not search them all once more at its end
    try:
        code = app(standalone_mode=False)
    except MosaicError as err:
        _fail(str(err), err.exit_code)
    except typer.TyperException as err:
        _fail(f"{err.format_message()} (see --help)", 2)
    except (KeyboardInterrupt, typer.Abort):
        _fail(_STOPPED, _INTERRUPTED)
    except BrokenPipeError:
        sys.exit(141)
    except Exception as err:  # the last resort: a bug is one line too
        extra = _extra_of(err.name) if isinstance(err, ModuleNotFoundError) else None
        if extra is not None:
            _fail(f"{err}: pip install 'mosaic-deploy[{extra}]' (in a clone: {_SYNC} {extra})", 3)
        if os.environ.get("MOSAIC_DEBUG"):
            raise
        _fail(f"a bug in mosaic-deploy: {type(err).__name__}: {err}; set MOSAIC_DEBUG=1 to see where", 3)
    if code == _INTERRUPTED:  # typer turns Ctrl-C into this
        _fail(_STOPPED, _INTERRUPTED)
    sys.exit(code if isinstance(code, int) else 0)


def _extra_of(module: str | None) -> str | None:
    """The smallest extra of this package that brings the distribution of a module; None where none does."""
    from importlib import metadata

    wanted = (module or "").partition(".")[0].replace("_", "-")
    brings: dict[str, list[str]] = {}
    for line in metadata.requires("mosaic-deploy") or ():
        found = re.fullmatch(r"([\w.-]+).*\bextra == ['\"]([\w-]+)['\"].*", line)
        if found:
            brings.setdefault(found[2], []).append(found[1])
    extras = [extra for extra, names in brings.items() if wanted in names]
    return min(extras, key=lambda extra: len(brings[extra]), default=None)


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _fail(message: str, code: int) -> NoReturn:
    print(f"mosaic-deploy: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)
