"""The command line: parse, call, render, exit. Results go to stdout, talk to stderr."""

from __future__ import annotations

import atexit
import gc
import os
import re
import signal
import sys
from types import FrameType
from typing import Annotated, NoReturn

import typer

from mosaic_deploy._version import __version__
from mosaic_deploy.cli import (
    bench,
    build,
    calibrate,
    check,
    contract,
    diff,
    doctor,
    models,
    probe,
    render_streets,
    report,
    run,
    sensitivity,
    targets,
    validate,
    zoo,
)
from mosaic_deploy.cli.command import Command, Program, examples
from mosaic_deploy.cli.output import DEBUG, QUIET, cause

app = typer.Typer(
    name="mosaic-deploy",
    cls=Program,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Take a segmentation model to mobile hardware, and measure with the vendor's own compiler and "
    "runtime whether it still works there.\n\n"
    "Start with [bold]mosaic-deploy build --target dsp[/]. Exit codes: 0 good, 1 a check failed, "
    "2 bad usage or input, 3 a tool is missing or failed, 4 a comparison says nothing.",
    epilog=examples(
        "doctor",
        "check my_net.onnx --target all",
        "build --target dsp",
        "build my_net.onnx --target cpu --data folder:my_images --input-mean 127.5 --input-scale 127.5",
        "run build/mosaic-dsp-w8a8 street.jpg -o seen.png",
    ),
)
_DEPLOY, _MODELS, _SURVEYS = "Deploy", "Models", "Surveys"
_COMMANDS = (
    (build.build, _DEPLOY, build.EXAMPLES),
    (check.check, _DEPLOY, check.EXAMPLES),
    (calibrate.calibrate, _DEPLOY, calibrate.EXAMPLES),
    (sensitivity.sensitivity, _DEPLOY, sensitivity.EXAMPLES),
    (run.run, _DEPLOY, run.EXAMPLES),
    (validate.validate, _DEPLOY, validate.EXAMPLES),
    (contract.contract, _DEPLOY, contract.EXAMPLES),
    (diff.diff, _DEPLOY, diff.EXAMPLES),
    (bench.bench, _DEPLOY, bench.EXAMPLES),
    (report.report, _DEPLOY, report.EXAMPLES),
    (doctor.doctor, _DEPLOY, doctor.EXAMPLES),
    (targets.targets, _DEPLOY, targets.EXAMPLES),
    (probe.probe, _DEPLOY, probe.EXAMPLES),
    (models.import_mlperf, _MODELS, models.IMPORT_EXAMPLES),
    (models.import_tflite, _MODELS, models.TFLITE_EXAMPLES),
    (models.train, _MODELS, models.TRAIN_EXAMPLES),
    (render_streets.render_streets, _MODELS, render_streets.EXAMPLES),
    (zoo.zoo, _SURVEYS, zoo.ZOO_EXAMPLES),
    (zoo.field, _SURVEYS, zoo.FIELD_EXAMPLES),
)
for _function, _panel, _lines in _COMMANDS:
    _name = _function.__name__.replace("_", "-")
    app.command(_name, cls=Command, rich_help_panel=_panel, epilog=examples(*_lines))(_function)


def _say_version(value: bool) -> bool:  # typer's callback
    if value:
        print(f"mosaic-deploy {__version__}")
        raise typer.Exit
    return value


@app.callback()
def program(
    version: Annotated[  # noqa: ARG001  # its callback does it
        bool,
        typer.Option(
            "--version", callback=_say_version, is_eager=True, metavar="", help="Print the version."
        ),
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose", "-v", metavar="", help="Say more: every step, and the cause and log of what fails."
        ),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", metavar="", help="Say nothing but results and errors.")
    ] = False,
) -> None:
    """Options of every command; they may stand behind it too."""
    for wanted, variable in ((verbose, DEBUG), (quiet, QUIET)):
        if wanted:
            os.environ[variable] = "1"


_INTERRUPTED = 130
_SYNC = "uv sync --inexact --extra"
_STOPPED = "stopped; no partial files were left"


def main() -> NoReturn:
    """Run the command line; every failure is one line on stderr and an exit code of its own."""
    from mosaic_deploy.errors import MosaicError

    signal.signal(signal.SIGTERM, _terminate)
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # looking for some takes longer than a table
    gc.set_threshold(50_000)  # start-up makes many values and next to no cycles
    atexit.register(_leave)
    sys.argv[1:] = _program_options_first(sys.argv[1:])
    try:
        code = app(standalone_mode=False)
    except MosaicError as err:
        cause(str(err), err)
        _fail(str(err), err.exit_code)
    except typer.TyperException as err:
        _fail(f"{err.format_message()} (see --help)", 2)
    except (KeyboardInterrupt, typer.Abort):
        _fail(_STOPPED, _INTERRUPTED)
    except BrokenPipeError:
        sys.exit(141)
    except Exception as err:  # noqa: BLE001  # the last resort: a bug is one line too
        extra = _extra_of(err.name) if isinstance(err, ModuleNotFoundError) else None
        if extra is not None:
            _fail(f"{err}: pip install 'mosaic-deploy[{extra}]' (in a clone: {_SYNC} {extra})", 3)
        cause("", err)
        _fail(f"a bug in mosaic-deploy: {type(err).__name__}: {err}; --verbose shows where", 3)
    if code == _INTERRUPTED:  # typer turns Ctrl-C into this
        _fail(_STOPPED, _INTERRUPTED)
    sys.exit(code if isinstance(code, int) else 0)


def _program_options_first(words: list[str]) -> list[str]:
    """Let ``-v`` and ``-q`` stand behind a command as well as before it."""
    end = words.index("--") if "--" in words else len(words)
    ours = ("-v", "--verbose", "-q", "--quiet")
    first = [word for word in words[:end] if word in ours]
    return [*first, *(word for word in words[:end] if word not in ours), *words[end:]]


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


def _leave() -> None:
    """Spare the interpreter a last search of all values; Triton, if loaded, would call them leaks."""
    if "triton" not in sys.modules:
        gc.freeze()


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _fail(message: str, code: int) -> NoReturn:
    print(f"mosaic-deploy: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)
