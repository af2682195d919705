"""Targets: kinds of hardware and the backends that serve them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mosaic_deploy.specs.fields import Name, Options, OutputKind, Share, Spec


class TargetSpec(Spec):
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
    dynamic_shapes: bool = False
    """Whether a tensor's size may depend on the image, as ``vim`` needs."""
    recipes: Annotated[tuple[Name, ...], Field(min_length=1)]
    """Quantisation recipes that the backend takes; the first is the default."""
    tolerance: Share = 0.01
    """Largest drop in mIoU that passes, in [0, 1]."""
    agreement_tolerance: Share = 0.05
    """Largest share of pixels that may change their class where there are no labels, in [0, 1]."""
    max_fallback_macs: Share | None = None
    """Largest share of a network's multiply-accumulates, in [0, 1], that may run in other kernels than the
    target's own, on the same processor; None where the op table says what may."""
    times: bool = False
    """Whether what runs its files here is the runtime of the hardware it is for, so that times rank networks;
    a simulator's do not."""
    slow: bool = False
    """Whether its runtime here, a simulator, takes seconds for an image: then no more images are run than it
    takes until the verdict of all is certain."""
    options: Options = Field(default_factory=dict)
    """What the backend alone understands."""
