"""Write ``docs/reference/cli.md`` from the command line itself: ``uv run python docs/generate_cli.py``.

A test compares the page with what this program makes, so an option cannot change without its page.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import typer.main

from mosaic_deploy.cli.app import app

PAGE = Path(__file__).parent / "reference" / "cli.md"

_HEAD = """\
<!-- Written by docs/generate_cli.py: run it again after a change of the command line. -->

# Command line

Results go to standard output, progress and talk to standard error. Where standard error is no terminal,
progress comes as plain lines. See [exit codes](exit-codes.md) and [the JSON objects](json.md).

"""


_TAIL = """
`mosaic-deploy --install-completion` lets bash, zsh or fish complete commands and options from the next
shell on; `--show-completion` prints what that installs. `MOSAIC_DEBUG=1` is as `--verbose`, `MOSAIC_QUIET=1`
as `--quiet`. Without a terminal output has 150 columns, unless `COLUMNS` says otherwise; below 130 the table
of a build becomes a block each.

"""


def render() -> str:
    """The page as Markdown."""
    group: Any = typer.main.get_command(app)
    parts = [_HEAD, _plain(group.help), "\n", _examples(group)]
    ours = (p for p in group.params if p.name in ("version", "verbose", "quiet"))
    rows = "".join(f"| {_flags(p)} | {_meaning(p)} |\n" for p in ours)
    parts += [
        f"\nOf every command, before or behind its name:\n\n| option | meaning |\n|---|---|\n{rows}",
        _TAIL,
    ]
    parts.append("| command | what it does |\n|---|---|\n")
    for name, command in group.commands.items():
        parts.append(f"| [`{name}`](#mosaic-deploy-{name}) | {_cell(command.help)} |\n")
    parts += [_describe(name, command) for name, command in group.commands.items()]
    return "".join(parts)


def _describe(name: str, command: Any) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option"]
    usage = " ".join(["mosaic-deploy", name, *(_word(p) for p in arguments), "[OPTIONS]"])
    parts = [f"\n## mosaic-deploy {name}\n\n{_plain(command.help)}\n\n```text\n{usage}\n```\n"]
    if arguments:
        rows = "".join(f"| `{p.name.upper()}` | {_meaning(p)} |\n" for p in arguments)
        parts.append(f"\n| argument | meaning |\n|---|---|\n{rows}")
    for panel in dict.fromkeys(p.rich_help_panel for p in options):
        title = f"\n{panel}:\n" if panel else ""
        shown = [p for p in options if p.rich_help_panel == panel]
        rows = "".join(f"| {_flags(p)} | {_meaning(p)} |\n" for p in shown)
        parts.append(f"{title}\n| option | meaning |\n|---|---|\n{rows}")
    parts.append(_examples(command))
    return "".join(parts)


def _examples(command: Any) -> str:
    """The command lines at the end of a help, as a block for a shell."""
    lines = (command.epilog or "").split("\n\n")[1:]
    return f"\n```sh\n{'\n'.join(lines)}\n```\n" if lines else ""


def _word(argument: Any) -> str:
    name = str(argument.name).upper()
    return name if argument.required else f"[{name}]"


def _flags(option: Any) -> str:
    names = ", ".join((*option.opts, *option.secondary_opts))
    if option.is_flag:
        return f"`{names}`"
    return f"`{names} {option.metavar}`"


def _meaning(param: Any) -> str:
    notes = []
    if param.required:
        notes.append("required")
    elif param.default is not None and param.default is not False:
        notes.append(f"default `{param.default}`")
    if param.min is not None:
        notes.append(f"at least {param.min}")
    if param.multiple:
        notes.append("may be repeated")
    end = f" ({', '.join(notes)})" if notes else ""
    return f"{_cell(param.help or '')}{end}"


def _cell(text: str) -> str:
    return _plain(text).replace("\n", " ").replace("|", "\\|")


def _plain(text: str) -> str:
    """Turn the help's bold into code, and drop Typer's line breaks."""
    return re.sub(r"\[bold\](.*?)\[/\]", r"`\1`", text).strip()


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
