"""Model cards: a network's source, contract and licence."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mosaic_deploy.specs.contract import Contract
from mosaic_deploy.specs.fields import Beside, Name, Share, Spec, Switches

Side = Annotated[int, Field(ge=1, le=8192)]


class Source(Spec):
    """Where a model's graph comes from: a zoo network with weights, or an ONNX file."""

    factory: str | None = None
    switches: Switches = Field(default_factory=dict)
    weights: Beside | None = None
    """safetensors, relative to the card."""
    onnx: Beside | None = None
    """relative to the card."""
    input_shape: tuple[Side, Side, Side, Side] | None = None
    """Of the ONNX file's image, where it has dynamic sides."""
    output: str | None = None
    """Name of the ONNX file's output, where it has several."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.factory is None) == (self.onnx is None):
            raise ValueError("name either a factory or an onnx file")
        if self.factory is None and (self.switches or self.weights):
            raise ValueError("switches and weights go with a factory, not with an onnx file")
        if self.onnx is None and (self.input_shape or self.output):
            raise ValueError("input_shape and output go with an onnx file, not with a factory")
        return self


class Training(Spec):
    """How the weights came about."""

    data: tuple[str, ...]
    commands: tuple[str, ...]
    miou: dict[str, Share] = Field(default_factory=dict)
    """Measured mIoU in [0, 1] per data set and split, of the exported float network."""


class Published(Spec):
    """Figures of the network that others published, to stand beside ours."""

    source: Annotated[str, Field(min_length=1)]
    """Paper with its table, or repository."""
    data: str = ""
    """Data set and split, and the size of the image where it is another than the contract's."""
    miou: Share | None = None
    parameters: Annotated[int, Field(gt=0)] | None = None
    macs: Annotated[int, Field(gt=0)] | None = None
    """Multiply-accumulates for one image."""
    note: str = ""

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.miou is None and self.parameters is None and self.macs is None:
            raise ValueError("state miou, parameters or macs")
        return self


class ModelCard(Spec):
    """A model: its source, its contract, its licence."""

    schema_version: Literal[1] = Field(alias="schema")
    name: Name
    summary: str
    licence: str
    source: Source
    contract: Contract
    training: Training | None = None
    published: tuple[Published, ...] = ()
    data: str | None = None
    """The data set that parity is measured on unless told otherwise; None where there is no labelled one."""

    @property
    def untrained(self) -> bool:
        """Whether it is a network of the zoo that comes without weights."""
        return self.source.factory is not None and self.source.weights is None
