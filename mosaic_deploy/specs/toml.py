"""TOML files checked against a schema, with an answer to every mistake that names the place and the cure."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from mosaic_deploy.errors import SpecError


def read_toml[M: BaseModel](kind: type[M], path: Path) -> M:
    """Read one TOML file against its schema.

    Raises ``SpecError``, one line that begins with the path, for a file that cannot be read or is not
    TOML, an unknown key (with the nearest known one), a missing key and a value outside its range.
    """
    return checked(kind, parse_toml(read_text(path), path), path)


def read_text(path: Path) -> str:
    """Read a file of text; raises ``SpecError`` as ``read_toml`` does."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as err:
        raise SpecError(f"{path}: cannot be read ({err})") from err


def parse_toml(text: str, path: Path) -> dict[str, Any]:
    """Parse the text of the file at ``path``; raises ``SpecError`` as ``read_toml`` does."""
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as err:
        raise SpecError(f"{path}: not valid TOML: {err}") from err


def checked[M: BaseModel](kind: type[M], raw: Mapping[str, object], path: Path) -> M:
    """Hold what the file at ``path`` says against its schema; raises ``SpecError`` as ``read_toml`` does."""
    try:
        return kind.model_validate(raw)
    except ValidationError as err:
        raise SpecError(f"{path}: {_explain(err, kind)}") from err


def nearest(name: str, known: Iterable[str]) -> str:
    """`` (did you mean 'x'?)``, or nothing if no known name is near."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean '{close[0]}'?)" if close else ""


def _explain(err: ValidationError, kind: type[BaseModel]) -> str:
    """The first problem in words; an unknown key goes first: often it is why another one is missing."""
    problems = err.errors(include_url=False)
    problem = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
    where = ".".join(_written(problem["loc"], kind))
    if problem["type"] == "extra_forbidden":
        known = _keys(kind, problem["loc"][:-1])
        return f"unknown key '{where}'{nearest(str(problem['loc'][-1]), known)}"
    if problem["type"] == "missing":
        return f"the key '{where}' is missing"
    found = "" if problem["type"] == "value_error" else f", found {problem['input']!r:.60}"
    said = problem["msg"].removeprefix("Value error, ").replace("\n", " ")
    return f"{where or 'the file'}: {said}{found}"


def _written(way: tuple[int | str, ...], kind: type[BaseModel]) -> list[str]:
    """The way as the file has it: where a key takes this or that, pydantic puts in which of them it tried."""
    tried = {model.__name__ for field in kind.model_fields.values() for model in _models(field.annotation)}
    return [str(part) for part in way if part not in tried]


def _keys(kind: type[BaseModel], way: tuple[int | str, ...]) -> list[str]:
    """The keys of the table at ``way``; a table inside an optional or a list is found as well."""
    for part in way:
        field = next((f for name, f in kind.model_fields.items() if part in (name, f.alias)), None)
        kind = next(_models(field.annotation), kind) if field else kind
    return [field.alias or name for name, field in kind.model_fields.items()]


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)
