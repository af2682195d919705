"""How a command's help looks, and old spellings that still work."""

from __future__ import annotations

from typing import Any, final

from typer.core import TyperCommand, TyperGroup

_VALUES = {
    "<str>": "TEXT",
    "<list[str]>": "TEXT",
    "<int>": "N",
    "<int range>": "N",
    "<float>": "X",
    "<float range>": "X",
    "<path>": "PATH",
    "<list[path]>": "PATH",
}
"""Typer's words for what an option takes -> ours."""
_OLD = {"--output": "--out"}
"""Options of before -> their names now, where a command has no option of the old name."""


@final
class Command(TyperCommand):
    """A command whose flags take nothing in its help, and whose options say in a word what they take."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # Typer's own arguments, passed on
        super().__init__(*args, **kwargs)
        for param in self.params:
            _say_value(param)

    def get_help_option(self, ctx: Any) -> Any:
        """``--help``, which takes nothing either."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.metavar = ""
        return option

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse as ever, old spellings of options too."""
        known = {name for param in self.params for name in (*param.opts, *param.secondary_opts)}
        return super().parse_args(ctx, [_renamed(word, known) for word in args])


@final
class Program(TyperGroup):
    """The program, whose flags take nothing in its help either."""

    def get_params(self, ctx: Any) -> Any:
        """Its options, and Typer's own."""
        params = super().get_params(ctx)
        for param in params:
            _say_value(param)
        return params


def _say_value(param: Any) -> None:
    if param.param_type_name != "option" or param.metavar is not None:
        return
    if param.is_flag:
        param.metavar = ""
        return
    shown = f"<{param.bare_type()}>"
    param.metavar = _VALUES.get(shown.replace("Path", "path"), shown)


def _renamed(word: str, known: set[str]) -> str:
    name, equals, value = word.partition("=")
    new = _OLD.get(name, name)
    return word if name in known or new not in known else f"{new}{equals}{value}"


def examples(*lines: str) -> str:
    """Command lines as the end of a command's help."""
    return "\n\n".join(["Examples:", *(f"mosaic-deploy {line}" for line in lines)])
