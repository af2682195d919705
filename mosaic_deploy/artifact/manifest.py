"""The manifest of an artifact: one schema, by which a build writes it and whoever opens it reads it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.dataclasses import dataclass

from mosaic_deploy.backends.protocol import Step
from mosaic_deploy.specs.fields import Name

MANIFEST = "manifest.json"
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of an artifact as its manifest lists it."""

    path: str
    kind: str
    bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    ships: bool = False
    """Whether a device loads it."""
    part_of: str = ""
    """What the files that only together are a network have in common."""


class _Part(BaseModel):
    """A part of the manifest; what later versions add is left alone."""

    model_config = ConfigDict(frozen=True)


class _Whole(BaseModel):
    """A spec as it was when the artifact was built: what is named here is checked, the rest is kept."""

    model_config = ConfigDict(frozen=True, extra="allow")


class TargetRecord(_Whole):
    """The target's TOML, with the options of the command line."""

    name: Name
    backend: str


class RecipeRecord(_Whole):
    """The recipe's TOML."""

    name: Name


class DataRecord(_Part):
    """What ranges were calibrated on, or parity was measured on."""

    dataset: str
    images: int
    note: str = ""


class ToolchainRecord(_Part):
    """A toolchain that a build used."""

    name: Name
    digest: str
    """Hex digest of its packages: two builds of the same digests and inputs are the same byte for byte."""


class TensorFacts(_Whole):
    """What every backend states of an input or output; more is its own."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None
    zero_point: int | None


class NetworkFacts(_Whole):
    """What every backend states of a network that it made."""

    input: TensorFacts
    output: TensorFacts


class FixRecord(_Part):
    """A pass that rewrote the graph before it was compiled."""

    name: str
    exact: bool
    """Whether it changes nothing but rounding."""
    nodes: tuple[str, ...] = ()
    """Names of the nodes that it replaced."""
    node_error: float | None = None
    output_error: float | None = None
    """Largest difference, as a share of the range, in what it replaced and at the outputs."""


class Manifest(_Part):
    """Everything that an artifact says of itself."""

    schema_version: Literal[1] = Field(alias="schema")
    mosaic_deploy: str = ""
    """The version that wrote it."""
    model: Name
    licence: str = ""
    target: TargetRecord
    recipe: RecipeRecord
    contract: dict[str, Any]
    """The contract's fields and their ``digest``."""
    passed: bool
    undecided: str = ""
    """Why the comparison says nothing, where that is why it did not pass."""
    untrained: bool = False
    """Whether the weights are random."""
    made_from: dict[str, str] = {}
    """Digests of the model, the data and whatever else the build depended on, by what it is."""
    facts: dict[str, Any]
    """The backend's own, with ``NetworkFacts`` where a network was made."""
    calibration: DataRecord | None = None
    validation: DataRecord | None = None
    toolchains: tuple[ToolchainRecord, ...] = ()
    steps: tuple[Step, ...] = ()
    fixes: tuple[FixRecord, ...] = ()
    files: tuple[Entry, ...]

    def to_json(self) -> dict[str, object]:
        """The object that ``manifest.json`` holds."""
        return self.model_dump(mode="json", by_alias=True)
