"""``mosaic-deploy.toml``: what a person's repository asks of ``check``, and what it knowingly puts up with.

    models = ["models/*.onnx"]        what is checked where the command line names nothing
    targets = ["dsp", "cpu"]
    [[waiver]]                        one violation that passes until a day, with the reason

A waiver hides nothing: what it covers is shown as waived. When its day is over, the gate says no.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, cast, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from mosaic_deploy.errors import SpecError, UsageError
from mosaic_deploy.specs.fields import Share
from mosaic_deploy.specs.registry import spec_names
from mosaic_deploy.specs.target import TargetSpec
from mosaic_deploy.specs.toml import nearest, read_toml

FILE = "mosaic-deploy.toml"
"""The file's name; it lies at the top of a repository."""

UnknownNodes = Literal["fail", "warn", "ask"]
"""What becomes of nodes that nothing is known of: the gate says no, it only says so, or the target's
compiler is asked, and what it cannot tell fails."""

MODELS = 10_000
"""Most files that the patterns may name."""


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _filled(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text


def _below(pattern: str) -> str:
    way = PurePosixPath(_filled(pattern))
    if way.is_absolute() or ".." in way.parts or "\\" in pattern:
        raise ValueError(f"'{pattern}' must name files beside the config or below: no absolute path, no '..'")
    return pattern


Filled = Annotated[str, AfterValidator(_filled)]
Below = Annotated[str, AfterValidator(_below)]


class Waiver(_Spec):
    """A violation that passes for a while."""

    op: Filled
    """The operator as violations name it, with its domain where that is not ONNX's own."""
    node: Filled
    """Pattern of node names: ``*`` for any text, ``?`` for one character, ``[ab]`` for one of these."""
    reason: Filled
    expires: date
    """The last day on which it holds."""
    targets: tuple[str, ...] = ()
    """None named means all."""
    models: tuple[Below, ...] = ()
    """Patterns of the models' paths from the config's folder; none named means all."""

    def expired(self, today: date) -> bool:
        """Tell whether its last day is over."""
        return today > self.expires

    def covers(self, node: str, op: str) -> bool:
        """Tell whether it speaks of a node, its day aside."""
        return self.op == op and fnmatchcase(node, self.node)

    def applies(self, target: str, model: str) -> bool:
        """Tell whether it holds for a target, and for a model by its path from the config's folder."""
        return (not self.targets or target in self.targets) and (
            not self.models or any(fnmatchcase(model, pattern) for pattern in self.models)
        )

    def __str__(self) -> str:
        return f"waiver of {self.op} in '{self.node}' ({self.reason})"


class ProjectConfig(_Spec):
    """The whole file."""

    schema_version: Literal[1] = Field(alias="schema")
    models: tuple[Below, ...] = ()
    """Patterns, from the config's folder; ``**`` is any number of folders."""
    targets: tuple[str, ...] = ()
    max_fallback_macs: Share | None = None
    """Largest share of a model's multiply-accumulates, in [0, 1], that may fall back; None leaves it to the
    targets."""
    unknown: UnknownNodes | None = None
    """What becomes of nodes that nothing is known of; None asks where the target's toolchain is there."""
    waiver: tuple[Waiver, ...] = ()

    def find_models(self, folder: Path) -> tuple[Path, ...]:
        """List the files that the patterns name, sorted.

        Raises ``UsageError`` for a pattern that names none, and for absurdly many files.
        """
        found: set[Path] = set()
        for pattern in self.models:
            files = [path for path in folder.glob(pattern) if path.is_file()]
            if not files:
                raise UsageError(f"{folder / FILE}: models '{pattern}' names no file in {folder}")
            found.update(files)
        if len(found) > MODELS:
            raise UsageError(
                f"{folder / FILE}: models names {len(found)} files; at most {MODELS} are supported"
            )
        return tuple(sorted(found))


def unknown_nodes(text: str | None, option: str) -> UnknownNodes | None:
    """Read one of the three words; raises ``UsageError`` for another, with the nearest."""
    for word in get_args(UnknownNodes):
        if text == word:
            return cast("UnknownNodes", word)
    if text is None:
        return None
    known = get_args(UnknownNodes)
    raise UsageError(f"{option} {text!r}: not one of {', '.join(known)}{nearest(text, known)}")


def find_config(start: Path) -> Path | None:
    """Find the file in a folder or the nearest above it, up to the top of the repository."""
    start = start.resolve()
    for folder in (start, *start.parents):
        if (folder / FILE).is_file():
            return folder / FILE
        if (folder / ".git").exists():
            return None
    return None


def read_config(path: Path) -> ProjectConfig:
    """Read the file.

    Raises ``SpecError`` as ``read_toml`` does, and for a target that there is not.
    """
    config = read_toml(ProjectConfig, path)
    _require_targets((*config.targets, *(name for waiver in config.waiver for name in waiver.targets)), path)
    return config


def _require_targets(wanted: Iterable[str], path: Path) -> None:
    known = spec_names(TargetSpec)
    for name in wanted:
        if name not in known and not name.endswith(".toml"):
            raise SpecError(f"{path}: no target '{name}'{nearest(name, known)}; known: {', '.join(known)}")
