"""Facts in TOML: model cards, targets and quantisation recipes, checked against a schema when read.

Names are looked up in the project's own folders; a path to a ``.toml`` file is read as it is. An unknown
name is answered with the nearest known one, an unknown key with the nearest known key.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from mosaic_deploy.contract import Contract
from mosaic_deploy.errors import SpecError
from mosaic_deploy.schema import nearest, read_toml

Scalar = str | int | float | bool
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
Share = Annotated[float, Field(ge=0, le=1)]
Switches = dict[str, Scalar | tuple[Scalar, ...]]
Options = dict[str, Scalar | tuple[Scalar, ...]]
"""What one backend alone understands."""


def _beside(path: Path) -> Path:
    if path.is_absolute() or ".." in path.parts or not path.name:
        raise ValueError(f"'{path}' must lie beside the card or below: no absolute path and no '..'")
    return path


Beside = Annotated[Path, AfterValidator(_beside)]
"""A file's path relative to the TOML file that names it, which never leads out of that file's folder."""


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(_Spec):
    """Where a model's graph comes from: a zoo network with weights, or an ONNX file."""

    factory: str | None = None
    switches: Switches = {}
    weights: Beside | None = None
    """safetensors, relative to the card."""
    onnx: Beside | None = None
    """relative to the card."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.factory is None) == (self.onnx is None):
            raise ValueError("name either a factory or an onnx file")
        if self.factory is None and (self.switches or self.weights):
            raise ValueError("switches and weights go with a factory, not with an onnx file")
        return self


class Training(_Spec):
    """How the weights came about."""

    data: tuple[str, ...]
    commands: tuple[str, ...]
    miou: dict[str, Share] = {}
    """Measured mIoU in [0, 1] per data set and split, of the exported float network."""


class ModelCard(_Spec):
    """A model: its source, its contract, its licence."""

    schema_version: Literal[1] = Field(alias="schema")
    name: Name
    summary: str
    licence: str
    source: Source
    contract: Contract
    training: Training | None = None
    data: str | None = None
    """The data set that parity is measured on unless told otherwise; None where there is no labelled one."""


Float = Literal["float16", "float32"]
OutputKind = Literal["logits", "lowres", "classmap"]


class TargetSpec(_Spec):
    """A kind of hardware: the backend that serves it, and the facts that backend needs."""

    schema_version: Literal[1] = Field(alias="schema")
    name: Name
    summary: str
    backend: str
    ops: str | None = None
    """Name of the op table that the check uses; None where there is none yet."""
    layout: Literal["NCHW", "NHWC"] | None = None
    """Order of the input's axes in the files that the target takes; None keeps the model's own."""
    output: OutputKind = "logits"
    """What the deployed network gives unless told otherwise: the fastest kind that keeps parity."""
    recipes: Annotated[tuple[Name, ...], Field(min_length=1)]
    """Quantisation recipes that the backend takes; the first is the default."""
    tolerance: Share = 0.01
    """Largest drop in mIoU (or loss of agreement) that passes, in [0, 1]."""
    options: Options = {}
    """What the backend alone understands."""


class Grid(_Spec):
    """How numbers are quantised."""

    bits: Literal[8, 16]
    signed: bool
    symmetric: bool
    per_channel: bool = False


class Calibration(_Spec):
    """How ranges are found."""

    method: Literal["minmax", "percentile", "entropy"] = "minmax"
    percentile: Annotated[float, Field(gt=50, le=100)] = 99.99
    samples: Annotated[int, Field(ge=1, le=4096)] = 32


class QuantRecipe(_Spec):
    """A way to quantise: weight and activation grids, and the calibration."""

    schema_version: Literal[1] = Field(alias="schema")
    name: Name
    summary: str
    weights: Grid | Float
    activations: Grid | Float
    calibration: Calibration = Calibration()
    """Unused where nothing becomes an integer."""
    tolerance: Share | None = None
    """Largest drop in mIoU that passes, in [0, 1], in place of the target's."""

    @model_validator(mode="after")
    def _both(self) -> Self:
        if isinstance(self.weights, Grid) != isinstance(self.activations, Grid):
            raise ValueError("weights and activations are both integers or both floats")
        return self

    @property
    def precision(self) -> Literal["w8a8", "w8a16", "float"]:
        """The column of the op tables that this recipe falls under."""
        if not isinstance(self.activations, Grid):
            return "float"
        return "w8a8" if self.activations.bits == 8 else "w8a16"


_FOLDERS: dict[type[BaseModel], tuple[str, str]] = {
    ModelCard: ("models", "model"),
    TargetSpec: ("targets", "target"),
    QuantRecipe: ("quant", "recipe"),
}


def spec_root() -> Path:
    """The folder that holds ``models``, ``targets``, ``quant`` and ``calib_data``.

    In an installed wheel it lies inside the package, in a checkout beside it.
    """
    package = Path(__file__).resolve().parent
    inside = package / "_specs"
    return inside if inside.is_dir() else package.parent


def names[S: (ModelCard, TargetSpec, QuantRecipe)](kind: type[S]) -> tuple[str, ...]:
    """All names of one kind that the project knows, sorted."""
    folder, _ = _FOLDERS[kind]
    return tuple(sorted(p.stem for p in (spec_root() / folder).glob("*.toml")))


def load[S: (ModelCard, TargetSpec, QuantRecipe)](kind: type[S], name: str) -> S:
    """Read a spec by its name, or by the path of a ``.toml`` file.

    Raises ``SpecError`` for an unknown name (with the nearest), a file that is not TOML, an unknown key
    (with the nearest), a value outside its range, and one of the project's files that states another name.
    """
    path = locate(kind, name)
    spec = read(kind, path)
    if spec.name != name and not name.endswith(".toml"):
        raise SpecError(f"{path}: states the name '{spec.name}', its file is called '{name}'")
    return spec


def locate[S: (ModelCard, TargetSpec, QuantRecipe)](kind: type[S], name: str) -> Path:
    """The file behind a name or a path; raises ``SpecError`` if there is none."""
    folder, word = _FOLDERS[kind]
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise SpecError(f"{name}: no such file")
        return path
    known = names(kind)
    if name not in known:
        raise SpecError(f"no {word} '{name}'{nearest(name, known)}; known: {', '.join(known) or 'none'}")
    return spec_root() / folder / f"{name}.toml"


def read[S: (ModelCard, TargetSpec, QuantRecipe)](kind: type[S], path: Path) -> S:
    """Read one TOML file against its schema; raises ``SpecError``."""
    return read_toml(kind, path)


__all__ = [
    "Calibration",
    "Grid",
    "ModelCard",
    "QuantRecipe",
    "Source",
    "TargetSpec",
    "Training",
    "load",
    "locate",
    "names",
    "nearest",
    "read",
    "spec_root",
]
