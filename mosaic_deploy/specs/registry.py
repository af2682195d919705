"""Facts in TOML: model cards, targets and quantisation recipes, checked against a schema when read.

Names are looked up in the project's own folders; a path to a ``.toml`` file is read as it is. An unknown
name is answered with the nearest known one, an unknown key with the nearest known key.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mosaic_deploy.errors import SpecError
from mosaic_deploy.specs.root import spec_root
from mosaic_deploy.specs.toml import nearest, read_toml

if TYPE_CHECKING:  # who asks for a target needs no model card, nor the contract in it
    from mosaic_deploy.specs.model_card import ModelCard
    from mosaic_deploy.specs.recipe import QuantRecipe
    from mosaic_deploy.specs.target import TargetSpec

_FOLDERS: Mapping[str, tuple[str, str]] = {
    "ModelCard": ("models", "model"),
    "TargetSpec": ("targets", "target"),
    "QuantRecipe": ("quant", "recipe"),
}
"""Of each kind its folder, and what errors call it."""


def spec_names[S: (ModelCard, TargetSpec, QuantRecipe)](kind: type[S]) -> tuple[str, ...]:
    """All names of one kind that the project knows, sorted."""
    folder, _ = _FOLDERS[kind.__name__]
    return tuple(sorted(p.stem for p in (spec_root() / folder).glob("*.toml")))


def load_spec[S: (ModelCard, TargetSpec, QuantRecipe)](kind: type[S], name: str) -> S:
    """Read a spec by its name, or by the path of a ``.toml`` file.

    Raises ``SpecError`` for an unknown name (with the nearest), a file that is not TOML, an unknown key
    (with the nearest), a value outside its range, and one of the project's files that states another name.
    """
    path = locate_spec(kind, name)
    spec = read_spec(kind, path)
    if spec.name != name and not name.endswith(".toml"):
        raise SpecError(f"{path}: states the name '{spec.name}', its file is called '{name}'")
    return spec


def locate_spec[S: (ModelCard, TargetSpec, QuantRecipe)](kind: type[S], name: str) -> Path:
    """The file behind a name or a path; raises ``SpecError`` if there is none."""
    folder, word = _FOLDERS[kind.__name__]
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise SpecError(f"{name}: no such file")
        return path
    known = spec_names(kind)
    if name not in known:
        raise SpecError(f"no {word} '{name}'{nearest(name, known)}; known: {', '.join(known) or 'none'}")
    return spec_root() / folder / f"{name}.toml"


def read_spec[S: (ModelCard, TargetSpec, QuantRecipe)](kind: type[S], path: Path) -> S:
    """Read one TOML file against its schema; raises ``SpecError``."""
    return read_toml(kind, path)


__all__ = [
    "load_spec",
    "locate_spec",
    "nearest",
    "read_spec",
    "spec_names",
]
