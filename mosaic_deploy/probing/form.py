"""Forms: the ways to use an operator that probing tries, each with its axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import product

from mosaic_deploy.probing.sketch import Sketch, Value, versions_of


@dataclass(frozen=True, slots=True)
class Form:
    """One way to use one operator."""

    op: str
    """An operator of ONNX's own domain."""
    name: str
    """Distinguishes the operator's forms: ``dense``, ``linear-half-pixel``."""
    draw: Callable[[Sketch], object]
    """Adds the node to a sketch: first its data and constants, then ``sketch.node(...)``, once."""
    ranks: tuple[int, ...] = (4,)
    """Of the data."""
    dtypes: tuple[str, ...] = ("float32",)
    """Of the data, as numpy says; float32 is also tried quantised."""
    quantized: bool = True
    """Whether float32 is worth trying quantised."""
    axes: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    """What else varies, all combinations: ``{"kernel": (1, 3, 5)}``. The first value is the plain one."""
    more: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    """Further values of the same axes for random cases, inside and outside what tables allow."""
    discriminators: tuple[str, ...] = ()
    """Constraints (``constraints/``) that may decide: rules are told apart by them."""
    least: int = 1
    """The oldest version of the operator in which the form can be written."""

    @property
    def versions(self) -> tuple[int, ...]:
        """Versions of the operator that it is tried in, oldest first."""
        return versions_of(self.op, self.least)

    def grid(self) -> list[dict[str, Value]]:
        """Every combination of the axes' values, the plain one first."""
        names = list(self.axes)
        return [dict(zip(names, values, strict=True)) for values in product(*self.axes.values())]
